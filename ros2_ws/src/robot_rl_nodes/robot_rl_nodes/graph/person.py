"""The person's seat at the gate, for somebody who sits at the run itself."""

from __future__ import annotations

import logging
import threading

import numpy as np
from robot_rl_msgs.msg import ActionStamped
from robot_rl_msgs.srv import SetControlSource

from robot_rl.core.errors import HardwareError
from robot_rl.core.protocol import OperatorInput
from robot_rl.core.spec import ActionSpec
from robot_rl.core.types import Source, Vector
from robot_rl_nodes.graph.answer import result_of
from robot_rl_nodes.graph.gate import GraphGate
from robot_rl_nodes.graph.message import action_message
from robot_rl_nodes.managed_node import ManagedNode
from robot_rl_nodes.operator.seat import PersonSeat
from robot_rl_nodes.operator.voice import Voice
from robot_rl_nodes.topic import PERSON_ACTION, TAKE_PERSON_SEAT

_LOG = logging.getLogger(__name__)

_BEAT_S = 0.04
"""As often as a page is to be heard; each motion is a word of its own."""
_NEVER_SILENT_S = 0.0
"""Whoever speaks here was heard by the run's loop, which knows best."""
_RESUME_NS = 200_000_000
_LEFT_S = 0.5


class RosPerson:
    """Keeps the seat, from activation on (implements `contract.PersonPort`).

    Args:
        node: that is being set up.
        name: of the person.
        action: what they want.
        gate: asked to go on in their name.
    """

    def __init__(self, node: ManagedNode, name: str, action: ActionSpec, gate: GraphGate) -> None:
        self._node, self._name, self._action, self._gate = node, name, action, gate
        self._rest = np.zeros(action.size, np.float32)
        self._lock = threading.Lock()
        self._voice = Voice(_NEVER_SILENT_S)
        self._word: ActionStamped | None = None
        self._resumed_ns = 0
        self._leaving = False
        self._out = node.publish_on(PERSON_ACTION)
        # Motion is heard of the page as often as the run's loop turns.
        self._seat = PersonSeat(node, name, self._given, SetControlSource.Request.PAGE)
        node.every(_BEAT_S, self._beat)

    @property
    def seated(self) -> bool:
        """See `PersonPort`."""
        return self._seat.taken

    @property
    def refusal(self) -> str:
        """See `PersonPort`."""
        return self._seat.complaint

    def offer(self, action: Vector | None, seen_ns: int = 0) -> None:
        """See `PersonPort`."""
        active = action is not None
        said = OperatorInput(active=active, action=self._rest if action is None else action)
        with self._lock:
            if not self._seat.taken:
                return
            word = self._voice.say(said, self._node.monotonic.now_ns())
            message = action_message(
                word.action if word.active else None,
                self._action,
                source=Source.HUMAN,
                seq=word.seq,
                stamp_ns=self._node.now_ns,
                seen_ns=seen_ns,
            )
            message.policy_id = self._name
            self._word = message
            self._out.publish(message)

    def resume(self) -> None:
        """See `PersonPort`."""
        now_ns = self._node.monotonic.now_ns()
        if now_ns - self._resumed_ns > _RESUME_NS:
            self._resumed_ns = now_ns
            self._gate.ask_resume(self._name)

    def leave(self) -> None:
        """Give the seat back, for good; waits a moment for the gate to have heard it."""
        self._leaving = True
        if (answer := self._seat.leave()) is None:
            return
        try:
            result_of(answer, TAKE_PERSON_SEAT, _LEFT_S)
        except HardwareError as error:
            _LOG.warning("%s: the gate will miss %s and hold", error, self._name)

    def _given(self, epoch: int, size: int) -> None:
        with self._lock:
            self._voice.given(epoch, size)
            self._word = None

    def _beat(self) -> None:
        if not self._leaving:
            self._seat.keep()
        if not self._seat.taken:
            return
        if self._word is None:
            self.offer(None)
        with self._lock:
            if self._word is not None:
                self._out.publish(self._word)
