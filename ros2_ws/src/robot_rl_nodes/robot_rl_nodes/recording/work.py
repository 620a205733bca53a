"""Work that is done one thing after another in a thread, so that a node's callbacks never wait."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from robot_rl.core.errors import StorageError

_TICK_S = 0.1
_LONGEST = 4096


class Work:
    """A thread that does what it is handed, in order.

    Args:
        name: of the thread.
        idle: called about ten times a second, in between.

    Attributes:
        failure: what went wrong; nothing is done any more.
    """

    def __init__(self, name: str, idle: Callable[[], None]) -> None:
        self.failure: Exception | None = None
        self._idle = idle
        self._queue: queue.Queue[Callable[[], None]] = queue.Queue(_LONGEST)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def behind(self) -> int:
        """How many things wait to be done."""
        return self._queue.qsize()

    def do(self, what: Callable[[], None]) -> None:
        """Hand something over.

        Raises:
            StorageError: if the thread is too far behind.
            Exception: what went wrong before.
        """
        self.check()
        try:
            self._queue.put_nowait(what)
        except queue.Full:
            raise StorageError(
                f"{self._thread.name} is {_LONGEST} messages behind; record to a faster disk, "
                "fewer cameras or at a lower rate"
            ) from None

    def check(self) -> None:
        """Raise what went wrong in the thread, if anything has."""
        if self.failure is not None:
            raise self.failure

    def close(self) -> None:
        """Do what is left, and end.

        Raises:
            Exception: what went wrong.
        """
        self._stop.set()
        self._thread.join()
        self.check()

    def _run(self) -> None:
        try:
            while not (self._stop.is_set() and self._queue.empty()):
                try:
                    what = self._queue.get(timeout=_TICK_S)
                except queue.Empty:
                    what = None
                if what is not None:
                    what()
                self._idle()
        except Exception as error:  # noqa: BLE001 - raised again in the thread of whoever asks next
            self.failure = error
