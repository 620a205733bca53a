"""What the motion law asks of the place where an arm is; one implementation per kind of action."""

from __future__ import annotations

from typing import Protocol

from robot_rl.control.motion.bend import Bent
from robot_rl.control.motion.bound import Bounds
from robot_rl.control.motion.reading import Reading


class View(Protocol):
    """What a command may be where the arm is."""

    def bounds(self) -> Bounds:
        """What a command and its way to rest must keep to."""
        ...

    def cut(self, step: list[float]) -> Bent:
        """Cut a command at once to what positions and contact allow."""
        ...

    def shape(self, step: list[float]) -> Bent:
        """Cut and slow what is only asked for."""
        ...


class Space(Protocol):
    """Limits of one kind of action."""

    def look(self, reading: Reading) -> View:
        """Return what a command may be where the arm is."""
        ...
