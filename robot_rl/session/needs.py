"""What a session needs of the parts it is given; whoever fits may stand in."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from robot_rl.core.types import GateState, Observation, Outcome
from robot_rl.session.view import CameraView, CheckView, DataView, EpisodeRow


class SessionGate(Protocol):
    """What a session asks of the safety gate; each may be called from any thread."""

    @property
    def state(self) -> GateState:
        """RUN, HOLD, or a latched STOP or ESTOP."""
        ...

    @property
    def cause(self) -> str:
        """Why it is in that state, in words for a person."""
        ...

    def estop(self, cause: str) -> None:
        """Latch ESTOP."""
        ...

    def clear(self, by: str) -> None:
        """End what is latched."""
        ...

    def resume(self, by: str) -> None:
        """End a HOLD."""
        ...


class Preflight(Protocol):
    """What is checked before the start."""

    @property
    def good(self) -> bool:
        """Whether nothing is left that hinders the start."""
        ...

    def run(self) -> None:
        """Check everything anew; takes its time."""
        ...

    def confirm(self, name: str, by: str) -> None:
        """A person says that they tried something.

        Raises:
            RobotRlError: if nothing of that name is to be tried.
        """
        ...

    def views(self) -> tuple[CheckView, ...]:
        """How each check stands."""
        ...


class Eyes(Protocol):
    """The cameras, as a person sees them."""

    def observed(self, observation: Observation) -> None:
        """Take the pictures of an observation; returns at once."""
        ...

    def views(self) -> tuple[CameraView, ...]:
        """How each camera stands."""
        ...


class Reviewing(Protocol):
    """What a person may do to recorded episodes; each returns words for the person.

    Raises:
        RobotRlError: where it cannot be done; nothing has changed then.
    """

    def relabel(self, episode_id: str, outcome: Outcome) -> str:
        """Judge an episode anew."""
        ...

    def trim(self, episode_id: str, begin: int, end: int) -> str:
        """Keep the steps from `begin` up to and without `end`."""
        ...

    def delete(self, episode_id: str) -> str:
        """Discard an episode."""
        ...

    def note(self, episode_id: str, text: str) -> str:
        """Write something down about an episode."""
        ...

    def undo(self) -> str:
        """Take back the newest of these."""
        ...

    def rows(self, most: int = 50) -> tuple[EpisodeRow, ...]:
        """The newest episodes, newest first."""
        ...

    def data(self, folder: Path, target: int) -> DataView:
        """What is on the disk."""
        ...
