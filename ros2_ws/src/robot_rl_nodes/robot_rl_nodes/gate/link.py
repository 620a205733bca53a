"""The robot as topics: its state in, commands for its controller out.

Not here: rclpy, and what becomes of a command before it gets here (`runtime.gate`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from robot_rl.core.clock import NS_PER_S, Clock
from robot_rl.core.errors import ContractError, HardwareError
from robot_rl.core.spec import TCP_POSE, ActionSpec
from robot_rl.core.types import SafeAction, Vector
from robot_rl.runtime.gate.message import Sample, as_numbers, as_vector
from robot_rl_nodes.conversion import ns_from_stamp, vectors_from
from robot_rl_nodes.gate.writer import Gripper, Writer
from robot_rl_nodes.topic import ROBOT_STATE

SILENCE_S = 1.0
"""A robot that has said nothing for so long was lost: a person looks before it moves again."""

_STATE = ROBOT_STATE.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """What the link says, and to whom.

    Args:
        command: publishes on the controller's topic.
        gripper: publishes on the gripper's.
        recover: asks the robot to obey again.
        intruded: why the controller's topics are not this gate's alone; "" if they are.
    """

    command: Callable[[Any], None]
    gripper: Callable[[Any], None]
    recover: Callable[[], object]
    intruded: Callable[[], str]


class TopicLink:
    """Implements `runtime.gate.seam.RobotLink` for a robot of ROS.

    A driver that dies comes back by itself, so its silence never ends the gate: the arm is held
    while it says nothing new, and stopped for a person once it has been silent for `SILENCE_S`.

    Args:
        action: of the gate, per period.
        writer: of the controller.
        ways: out.
        time_of: monotonic time of a header's stamp [ns].
        most_s: age of a state that is borne.
        clock: the gate's.

    Attributes:
        frame: the robot's base frame.
        complaint: why the newest state was not taken; empty if it was.
        stamp: of the newest state that was.
    """

    def __init__(
        self,
        action: ActionSpec,
        writer: Writer,
        ways: Ways,
        time_of: Callable[[Any], int],
        most_s: float,
        clock: Clock,
    ) -> None:
        self._writer = writer
        self._ways = ways
        self._time_of = time_of
        self._most_ns = round(most_s * NS_PER_S)
        self._clock = clock
        self._arm = action.size - (action.names[-1] == "gripper")
        grips = self._arm < action.size
        self._gripper = Gripper(action.scale[-1], clock) if grips else None
        self._sample: Sample | None = None
        self._stamp_ns = 0
        self._heard_ns = 0
        self._distrusted_ns = 0
        self._robot_fault = ""
        self._own_fault = ""
        self.frame = ""
        self.complaint = ""
        self.stamp: Any = None

    def put(self, message: Any) -> None:
        """Take a `RobotState` in; one that cannot be right is complained about."""
        self._heard_ns = self._clock.now_ns()
        # Even where nothing else of it can be believed.
        self._robot_fault = str(message.fault)
        if self._heard_ns < self._distrusted_ns:
            return
        try:
            vectors = vectors_from(message.vectors)
            stamp_ns = self._time_of(message.header.stamp)
        except ContractError as error:
            self.complaint = f"{_STATE}: {error}"
            return
        since_ns = ns_from_stamp(message.header.stamp) - self._stamp_ns
        self._stamp_ns += since_ns
        if since_ns < 0:
            self.distrust(f"{_STATE}: its stamps went back by {-since_ns / NS_PER_S:.3f} s")
        elif since_ns > 0:
            self.complaint = ""
            self.frame, self.stamp = str(message.header.frame_id), message.header.stamp
            self._sample = Sample(
                stamp_ns=stamp_ns,
                sequence=int(message.commands),
                fault="",
                vectors=as_numbers(vectors),
            )

    def distrust(self, why: str) -> None:
        """Believe no stamp for as long as a state may be old: clocks have jumped."""
        self.complaint = why
        self._distrusted_ns = self._clock.now_ns() + self._most_ns

    def check(self) -> None:
        """See whether the arm may be taken.

        Raises:
            HardwareError: naming the topic that is silent or wrong.
        """
        self.poll()
        if self._sample is None or self._age_ns > self._most_ns:
            raise HardwareError(self.trouble or f"{_STATE} is silent: is its node active?")
        if self._own_fault:
            raise HardwareError(self._own_fault)

    @property
    def trouble(self) -> str:
        """Why the arm should be held now, where the gate cannot see that; empty if not."""
        if self.complaint:
            return self.complaint
        now_ns = self._clock.now_ns()
        if self._sample and self._age_ns > self._most_ns > now_ns - self._heard_ns:
            return (
                f"{_STATE}: its stamps have stood still, or been old, for "
                f"{self._most_ns / NS_PER_S:g} s: does /clock run?"
            )
        return ""

    @property
    def sample(self) -> Sample:
        """The newest state; its fault is the robot's own, or the link's."""
        if self._sample is None:
            raise HardwareError(f"{_STATE} has said nothing yet")
        fault = self._own_fault or self._robot_fault
        return (
            self._sample
            if not fault
            else Sample(
                stamp_ns=self._sample.stamp_ns,
                sequence=self._sample.sequence,
                fault=fault,
                vectors=self._sample.vectors,
            )
        )

    def poll(self) -> None:
        """See whether the robot is still there, and the controller's topics ours alone."""
        self._own_fault = self._ways.intruded()
        silent_ns = self._clock.now_ns() - self._heard_ns
        if self._sample and silent_ns > SILENCE_S * NS_PER_S:
            self._own_fault = f"{_STATE} has been silent for more than {SILENCE_S:g} s"

    def move(self, action: SafeAction) -> None:
        """Publish a command, which lasts for one period."""
        message = self._writer.write(action.values[: self._arm], self._measured)
        if message is not None:
            self._ways.command(message)
        wish = self._gripper.write(float(action.values[-1])) if self._gripper else None
        if wish is not None:
            self._ways.gripper(wish)

    def hold(self) -> None:
        """Publish a hold, as the last word, whatever has gone wrong."""
        message = self._writer.write(as_vector((0.0,) * self._arm), self._measured)
        if message is not None:
            self._ways.command(message)

    def clear(self, by: str) -> None:
        """Ask a robot that has stopped by itself to obey again."""
        if not self._own_fault:
            self._ways.recover()

    @property
    def _age_ns(self) -> int:
        return self._clock.now_ns() - (self._sample.stamp_ns if self._sample else 0)

    @property
    def _measured(self) -> Vector | None:
        """Pose of the tcp, if it was measured lately enough to be true."""
        if self._sample is None or self._age_ns > self._most_ns:
            return None
        pose = self._sample.vectors.get(TCP_POSE)
        return None if pose is None else as_vector(pose)
