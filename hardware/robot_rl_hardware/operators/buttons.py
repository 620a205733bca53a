"""What a person's buttons mean, and when one was pressed. Pure."""

from __future__ import annotations

from collections.abc import Set
from typing import Literal

from robot_rl.core.protocol import OperatorEvent

Word = Literal[
    "dead_man",
    "gripper",
    "take_over",
    "give_back",
    "success",
    "failure",
    "re_record",
    "pause",
    "stop",
]
"""`dead_man` and `gripper` count while they are held, the others when they are pressed.

`take_over` brings the arm to rest until it is given back; whoever holds the dead-man drives.
"""

EVENTS = {event.value: event for event in OperatorEvent}
LABELS = frozenset({OperatorEvent.SUCCESS, OperatorEvent.FAILURE, OperatorEvent.RE_RECORD})
"""What speaks of one episode."""


class Edges:
    """Tells presses from what is held: a button that stays down was pressed once."""

    def __init__(self) -> None:
        self._down: Set[str] = frozenset()

    def __call__(self, down: Set[str]) -> tuple[str, ...]:
        """Return the names that are down now and were not before."""
        pressed = tuple(sorted(down - self._down))
        self._down = down
        return pressed

    def forget(self) -> None:
        """Nothing is held, as far as is known."""
        self._down = frozenset()
