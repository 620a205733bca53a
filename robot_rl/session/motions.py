"""What the keys of each page want: the newest motion of every client, from any thread."""

from __future__ import annotations

import threading

from robot_rl.session.command import Gone, Motion

_MOST_CLIENTS = 64
_OVER = 1e-6
"""What rounding on the way may put on top of a full deflection."""


class Motions:
    """Keeps the newest motion of each client, and who has gone since it was last asked.

    Args:
        size: elements of an action.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.RLock()
        self._newest: dict[str, Motion] = {}
        self._gone: dict[str, str] = {}

    def refuse(self, motion: Motion) -> str:
        """Why a motion is none, in words for a person; empty if it is one."""
        got = len(motion.action)
        if got != self._size:
            return f"a motion of {got} numbers, expected {self._size}"
        # Also false for NaN; what is infinite would not survive the way to float32.
        if not all(abs(x) <= 1.0 + _OVER for x in motion.action):
            return f"a motion of {motion.action}, expected numbers in [-1, 1]"
        return ""

    def put(self, motion: Motion) -> None:
        """Remember a motion that is not refused; one that comes late is nothing."""
        with self._lock:
            before = self._newest.get(motion.client)
            if before is not None and motion.number <= before.number:
                return
            if before is None and len(self._newest) >= _MOST_CLIENTS:
                self._newest.pop(next(iter(self._newest)))
            self._newest[motion.client] = motion

    def leave(self, gone: Gone) -> None:
        """A client can no longer be heard."""
        with self._lock:
            self._newest.pop(gone.client, None)
            if len(self._gone) < _MOST_CLIENTS:
                self._gone[gone.client] = gone.why

    def forget(self, client: str) -> None:
        """Wait for the next motion of a client."""
        with self._lock:
            self._newest.pop(client, None)

    def take_gone(self) -> dict[str, str]:
        """Who has gone since this was last asked, and why."""
        if not self._gone:
            return {}
        with self._lock:
            gone, self._gone = self._gone, {}
            return gone

    def all(self) -> tuple[Motion, ...]:
        """The newest of each client, in the order in which they were first heard."""
        with self._lock:
            return tuple(self._newest.values())
