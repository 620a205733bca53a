"""The gate of a live graph, as whoever sits at the run asks it: how it stands, stop, clear, go on.

The gate is another process. A stop that it has not confirmed counts as latched here, and is said
again until it is.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Any

from rcl_interfaces.srv import GetParameters
from robot_rl_msgs.msg import SafetyState
from robot_rl_msgs.srv import ClearStop
from std_srvs.srv import Trigger

from robot_rl.config.load import load
from robot_rl.control.limits import SafetyLimits
from robot_rl.core.clock import NS_PER_S
from robot_rl.core.errors import GateStopError
from robot_rl.core.types import GateState
from robot_rl.runtime.gate.cell import GateCell
from robot_rl_nodes.gate.plan import limited
from robot_rl_nodes.graph.answer import answer_of
from robot_rl_nodes.graph.port import RosPort
from robot_rl_nodes.managed_node import ManagedNode
from robot_rl_nodes.topic import GATE_CLEAR, GATE_STOP, SAFETY_STATE

_LOG = logging.getLogger(__name__)

UNHEARD = "the gate is not heard: is its node active? The robot's own watchdog stops the arm"
"""The cause while it is silent."""
_NODE = "command_gate"
_SILENT_S = 1.0
_ANSWER_S = 1.0
_FOLLOWS_S = 1.5
"""A gate that has agreed to clear waits up to a second for the robot."""
_AGAIN_S = 0.1
_LOOK_S = 0.005


class GraphGate:
    """Asks the graph's gate (implements `session.needs.SessionGate`).

    From any thread but the node's own, which brings the answers.

    Args:
        node: that is being set up.
        port: hears each tick of the gate.
    """

    def __init__(self, node: ManagedNode, port: RosPort) -> None:
        self._node = node
        self._port = port
        # A signal handler, which may stop, interrupts the very thread that holds it.
        self._lock = threading.RLock()
        self._safety: Any = SafetyState()
        self._heard_ns: int | None = None
        self._unconfirmed = ""
        self._stop = self._client(Trigger, GATE_STOP)
        self._clear = self._client(ClearStop, GATE_CLEAR)
        self._parameters = self._client(GetParameters, f"{_NODE}/get_parameters")
        node.listen_to(SAFETY_STATE, self._hear)
        node.every(_AGAIN_S, self._insist)

    @property
    def state(self) -> GateState:
        """RUN, HOLD, or a latched STOP or ESTOP; STOP while the gate is not heard."""
        with self._lock:
            if self._unconfirmed:
                return GateState.ESTOP
            if self._silent:
                return GateState.STOP
            # Two topics tell it, and either may come first.
            tick = self._port.newest
            return max(GateState(self._safety.state), tick.state if tick else GateState.RUN)

    @property
    def cause(self) -> str:
        """Why it is in that state, in words for a person."""
        with self._lock:
            if self._unconfirmed:
                return self._unconfirmed
            return UNHEARD if self._silent else str(self._safety.cause)

    @property
    def limits(self) -> SafetyLimits:
        """What it lets nothing exceed, as its parameters say now.

        Raises:
            HardwareError: if it does not answer in time.
            ConfigError: if the cell that it names cannot be read here.
        """
        names = ["cell", "max_tcp_speed_m_s"]
        answer = answer_of(self._parameters, GetParameters.Request(names=names), _ANSWER_S)
        cell, speed = answer.values
        path, speed_m_s = str(cell.string_value), float(speed.double_value)
        return limited(load(Path(path), GateCell), speed_m_s).limits

    def estop(self, cause: str) -> None:
        """Latch STOP at the gate; here it counts from now on, whatever the gate says meanwhile."""
        with self._lock:
            self._unconfirmed = cause
        self._say_stop()

    def clear(self, by: str) -> None:
        """End what is latched; returns once the gate has followed.

        Raises:
            GateStopError: if it refuses, or the robot does not follow; the words say why.
            HardwareError: if it does not answer in time.
        """
        self._ask(ClearStop.Request.CLEAR, by, self.cause)
        end_s = time.monotonic() + _FOLLOWS_S
        while self.state >= GateState.STOP:
            if time.monotonic() > end_s:
                raise GateStopError(f"the gate has not cleared: {self.cause}")
            time.sleep(_LOOK_S)

    def resume(self, by: str) -> None:
        """End a HOLD, or the rest after a person has let go.

        Raises:
            GateStopError: if the gate refuses; the words say why.
            HardwareError: if it does not answer in time.
        """
        self._ask(ClearStop.Request.RESUME, by, "")

    def ask_resume(self, by: str) -> None:
        """As `resume`, without waiting for an answer; a refusal is logged."""
        if self._clear.service_is_ready():
            request = ClearStop.Request(request=int(ClearStop.Request.RESUME), by=by)
            self._clear.call_async(request).add_done_callback(_log_refusal)

    def _client(self, kind: Any, name: str) -> Any:
        client = self._node.create_client(kind, name)
        self._node.when_unmade(lambda: self._node.destroy_client(client))
        return client

    def _ask(self, what: int, by: str, cause: str) -> None:
        request = ClearStop.Request(request=int(what), by=by, cause=cause)
        answer = answer_of(self._clear, request, _ANSWER_S)
        if not answer.success:
            raise GateStopError(f"the gate refuses: {answer.message}")

    @property
    def _silent(self) -> bool:
        tick = self._port.newest
        heard = [ns for ns in (self._heard_ns, tick.heard_ns if tick else None) if ns is not None]
        return self._node.monotonic.now_ns() - max(heard, default=0) > _SILENT_S * NS_PER_S

    def _hear(self, message: SafetyState) -> None:
        with self._lock:
            self._safety, self._heard_ns = message, self._node.monotonic.now_ns()
            if message.state >= SafetyState.STOP:
                self._unconfirmed = ""

    def _insist(self) -> None:
        if self._unconfirmed:
            self._say_stop()

    def _say_stop(self) -> None:
        if self._stop.service_is_ready():
            self._stop.call_async(Trigger.Request())
        else:
            _LOG.error("%s is not offered: the stop is said again until it is", GATE_STOP)


def _log_refusal(future: Any) -> None:
    answer = future.result()
    if not answer.success:
        _LOG.warning("the gate does not go on: %s", answer.message)
