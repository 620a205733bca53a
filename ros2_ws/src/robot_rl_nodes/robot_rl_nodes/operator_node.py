"""A person with a device in the hand: what they do becomes actions in the person's seat.

Hosts any component whose `build()` returns a `core.protocol.Operator`. If the device is gone the
node says so, falls silent and gives the seat back.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robot_rl_msgs.msg import ActionStamped, EpisodeState

from robot_rl.config.load import load
from robot_rl.config.model import Config
from robot_rl.core.errors import ContractError
from robot_rl.core.types import Observation, Source
from robot_rl_nodes import topic
from robot_rl_nodes.conversion import float32s, stamp_from_ns, vectors_from
from robot_rl_nodes.device import DEVICE
from robot_rl_nodes.diagnostic import Level
from robot_rl_nodes.gate.desk import KINDS
from robot_rl_nodes.managed_node import ManagedNode
from robot_rl_nodes.operator.seat import PersonSeat
from robot_rl_nodes.operator.voice import Voice, Word
from robot_rl_nodes.parameter import Parameter
from robot_rl_nodes.process import main
from robot_rl_nodes.source import HeaderTime

_PERIOD_S = 0.01


class OperatorNode(ManagedNode):
    """Speaks for one person."""

    PARAMETERS = (
        DEVICE,
        Parameter(
            name="name",
            default="",
            description="of the person, told with every action and shown to others",
            required=True,
        ),
        Parameter(
            name="kind",
            default="tcp_delta",
            description="of the device's actions; the gate refuses another than its own",
            choices=tuple(KINDS),
        ),
        Parameter(
            name="silent_after_s",
            default=0.09,
            description="a device that was not heard for longer is lost [s]",
            minimum=0.02,
            maximum=0.5,
        ),
    )

    def __init__(self, **of: Any) -> None:
        super().__init__("operator_node", **of)
        self._operator: Any = None

    def setup(self, values: Mapping[str, Any]) -> None:
        """Build the device, and listen to what the person looks at."""
        self._name = values["name"]
        self._config: Any = load(Path(values["device"]), Config)
        self._operator = self._config.build()
        self._kind = KINDS[values["kind"]]
        self._voice = Voice(values["silent_after_s"])
        self._time_of = HeaderTime(lambda: self.now_ns, self.monotonic)
        self._seen: Observation | None = None
        self._state: Any = None
        self._episode = ""
        self._out = self.publish_on(topic.PERSON_ACTION)
        self.listen_to(topic.ROBOT_STATE, self._look, max_age_s=0.5)
        self.listen_to(topic.EPISODE_STATE, self._follow)
        self._seat = PersonSeat(self, self._name, self._voice.given)
        self.every(_PERIOD_S, self._speak)

    def begin(self) -> None:
        """Open the device."""
        if self._operator is None:
            self._operator = self._config.build()
        if hasattr(self._operator, "__enter__"):
            self._operator.__enter__()
        self._operator.reset(0)

    def rest(self) -> None:
        """Give the seat back, and let go of the device."""
        self._seat.leave()
        operator, self._operator = self._operator, None
        if hasattr(operator, "__exit__"):
            operator.__exit__(None, None, None)

    def _look(self, state: Any) -> None:
        try:
            stamp_ns = self._time_of(state.header.stamp)
            self._seen = Observation(stamp_ns=stamp_ns, vectors=vectors_from(state.vectors))
            self._state = state
            self.diagnostics.clear("robot")
        except ContractError as error:
            self.diagnostics.set("robot", Level.ERROR, f"robot/state: {error}")

    def _follow(self, state: EpisodeState) -> None:
        if state.phase == EpisodeState.RUNNING and state.episode_id != self._episode:
            self._episode = state.episode_id
            self._operator.reset(int(state.seed))

    def _speak(self) -> None:
        self._seat.keep()
        if self._seen is None:
            self.diagnostics.set("device", Level.WARN, "waits for robot/state")
            return
        said = self._operator.poll(self._seen)
        if not self._seat.taken:
            return
        word = self._voice.say(said, self.monotonic.now_ns())
        self._out.publish(self._message(word))
        if self._voice.let_go:
            self.diagnostics.set("device", Level.OK, "drives" if word.active else "at rest")
        else:
            self.diagnostics.set("device", Level.WARN, "waits for the dead-man to be let go")

    def _message(self, word: Word) -> ActionStamped:
        message = ActionStamped(
            seq=int(word.seq),
            source=int(Source.HUMAN),
            kind=int(self._kind),
            active=bool(word.active),
            data=float32s(word.action),
            policy_id=self._name,
        )
        stamp_from_ns(self.now_ns, message.header.stamp)
        message.header.frame_id = self._state.header.frame_id
        message.obs_stamp = self._state.header.stamp
        return message


if __name__ == "__main__":
    raise SystemExit(main(lambda context: OperatorNode(context=context)))
