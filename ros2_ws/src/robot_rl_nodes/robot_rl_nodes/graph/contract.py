"""What the loop over a live graph needs of it, and what travels between them. No rclpy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from robot_rl.core.clock import Clock
from robot_rl.core.protocol import Judgement
from robot_rl.core.types import Observation, Vector
from robot_rl_nodes.graph.period import GateTick


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The newest of one stream.

    Args:
        observation: stamped by this machine's monotonic clock.
        stamp_ns: of the message's header, ROS time [ns].
    """

    observation: Observation
    stamp_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What a reward model said.

    Args:
        judgement: reward and outcome.
        stamp_ns: of the instant that was judged, by this machine's monotonic clock.
    """

    judgement: Judgement
    stamp_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """An observation, and from which messages it was joined.

    Args:
        observation: as the policy sees it.
        stamp_ns: of its instant, ROS time [ns].
        streams: stamp of the sample's header by stream, ROS time [ns].
    """

    observation: Observation
    stamp_ns: int
    streams: Mapping[str, int]


class GraphPort(Protocol):
    """The live graph, as the loop needs it. No method waits."""

    clock: Clock
    seated: bool
    """Whether the actor's seat at the gate is ours."""
    refusal: str
    """Why the gate did not give the seat; empty if it did, or has not answered yet."""
    ended: bool
    """Whether nobody wants the episode any more."""

    def ros_now_ns(self) -> int:
        """ROS time [ns]."""
        ...

    def ask_seat(self) -> None:
        """Ask for the actor's seat."""
        ...

    def leave_seat(self) -> None:
        """Give it back: the arm comes to rest, and nobody is missed."""
        ...

    def offer(self, action: Vector | None, seen_ns: int = 0) -> None:
        """Let the gate have an action float32[d]; None to want nothing.

        Args:
            action: normalised.
            seen_ns: stamp of the observation that it was decided from, ROS time [ns].
        """
        ...

    def samples(self) -> Mapping[str, Sample | None]:
        """The newest of each stream; None where nothing was heard."""
        ...

    def complaints(self) -> Mapping[str, str]:
        """Why the newest message of a stream was not taken, by stream."""
        ...

    def ticks(self) -> Sequence[GateTick]:
        """The gate's ticks since the last call, the oldest first."""
        ...

    def judged(self) -> Sequence[Judged]:
        """What reward models said since the last call, the oldest first."""
        ...


class PersonPort(Protocol):
    """The person's seat at the gate, where somebody sits at the run itself. No method waits."""

    @property
    def seated(self) -> bool:
        """Whether the seat is ours."""
        ...

    @property
    def refusal(self) -> str:
        """Why it is not, in words; empty if it is, or the gate has not answered yet."""
        ...

    def offer(self, action: Vector | None, seen_ns: int = 0) -> None:
        """Let the gate have what the person wants, an action float32[d]; None for nothing.

        Args:
            action: normalised.
            seen_ns: stamp of the newest observation, ROS time [ns].
        """
        ...

    def resume(self) -> None:
        """Tell the gate that the person has given the arm back."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long is waited for whom.

    Args:
        max_age_s: an action decided from older samples is not offered.
        ready_s: for fresh samples of all streams and the seat, before an episode.
        gate_s: of the gate's silence, after which it counts as lost.
    """

    max_age_s: float = 0.25
    ready_s: float = 5.0
    gate_s: float = 0.5
