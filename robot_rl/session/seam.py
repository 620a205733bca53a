"""How the parts of a session speak with each other; whoever fits may stand in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from robot_rl.core.episode import Episode
from robot_rl.session.command import Answer, Command, Gone, Motion
from robot_rl.session.view import Frame, View


class Desk(Protocol):
    """Where what a person wants is handed in, from any thread; nothing here waits."""

    def submit(self, command: Command, answer: Callable[[Answer], None]) -> None:
        """Ask for something; `answer` is called once, soon, in whatever thread."""
        ...

    def move(self, motion: Motion) -> None:
        """Say what the keys want now."""
        ...

    def gone(self, gone: Gone) -> None:
        """Say that somebody can no longer be heard."""
        ...


class Outlet(Protocol):
    """Shows the session to somebody. What it cannot take in time it drops: the next will do."""

    def show(self, view: View) -> None:
        """Show how all stands; from the control loop's thread, returns at once."""
        ...

    def picture(self, frame: Frame) -> None:
        """Show a camera's picture; from any thread, returns at once."""
        ...


class Amends(Protocol):
    """Who learned from an episode that a person has changed since."""

    def amend(self, episode_id: str, episode: Episode | None) -> None:
        """Learn from the episode as it is now, and no more as it was; None: not at all."""
        ...


class Learner(Amends, Protocol):
    """Who learns from the episodes; another one takes its place when it is lost."""

    @property
    def loss(self) -> str:
        """Why it is lost, in words for a person; empty while it lives. Never waits."""
        ...
