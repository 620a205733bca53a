"""What waits to be sent by a thread: in turn, or only the newest of a kind. It never grows."""

from __future__ import annotations

import threading
from collections.abc import Hashable


class Mail[M]:
    """Takes messages from any thread for the one that sends them; putting one in never waits.

    Args:
        most: messages in turn that wait at most.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: dict[Hashable, M] = {}
        self._count = 0
        self._in_turn = 0
        self._closed = False
        self._news = threading.Condition()

    def put(self, message: M) -> bool:
        """Send a message in its turn; False, and it is dropped, if too many wait."""
        with self._news:
            if self._in_turn >= self._most:
                return False
            self._count += 1
            self._in_turn += 1
            self._waiting[self._count] = message
            self._news.notify()
            return True

    def put_newest(self, kind: str, message: M) -> None:
        """Send a message in place of one of that kind that still waits, and at its turn."""
        with self._news:
            self._waiting[kind] = message
            self._news.notify()

    def take(self) -> M | None:
        """Wait for a message; None once the mail is closed."""
        with self._news:
            self._news.wait_for(lambda: self._waiting or self._closed)
            if self._closed:
                return None
            kind = next(iter(self._waiting))
            if isinstance(kind, int):
                self._in_turn -= 1
            return self._waiting.pop(kind)

    def close(self) -> None:
        """Let nothing more out; whoever waits for a message hears of it."""
        with self._news:
            self._closed = True
            self._news.notify_all()
