"""What the gate stands between, however it is connected: a robot, and whoever commands.

Over sockets these are `DriverLink` and `Desk`; a middleware brings its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from robot_rl.core.spec import ActionSpec
from robot_rl.core.types import SafeAction
from robot_rl.runtime.gate.message import Clear, Report, Resume, Sample, Stop
from robot_rl.runtime.gate.seat import Party, Seat

Act = Stop | Clear | Resume
"""What concerns the gate itself."""


class RobotLink(Protocol):
    """The one way by which the arm can be told to move."""

    @property
    def sample(self) -> Sample:
        """The newest that was heard; its fault is why nothing should move."""
        ...

    def poll(self) -> object:
        """Hear what the robot has said.

        Raises:
            HardwareError: if it cannot be heard or told any more.
        """
        ...

    def move(self, action: SafeAction) -> None:
        """Send a command; it lasts for one period of the gate."""
        ...

    def clear(self, by: str) -> None:
        """Ask a robot that has stopped by itself to obey again, on the word of a person."""
        ...


class CommandDesk(Protocol):
    """Where commanders come in: seats are given and commands taken, all else is passed on."""

    @property
    def action(self) -> ActionSpec:
        """Of the commanders."""
        ...

    @property
    def period_s(self) -> float:
        """Of the gate."""
        ...

    @property
    def actor(self) -> Seat:
        """For what acts by itself."""
        ...

    @property
    def person(self) -> Seat:
        """For a person."""
        ...

    def hear(self) -> Sequence[tuple[Party, Act]]:
        """Take in what has been said; return what concerns the gate itself, in order."""
        ...

    def tell(self, report: Report) -> None:
        """Tell everybody who listens what the gate did in this tick."""
        ...
