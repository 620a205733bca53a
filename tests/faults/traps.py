"""A disk on which something happens at the N-th operation; in the middle of it if that writes."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

from robot_rl.data.disk.durable import Disk


class TrapDisk(Disk):
    """Calls `spring` at the N-th operation, from 1, and at those after it if `lasting`.

    It does not wait for the medium, so that every N can be tried.
    """

    def __init__(
        self, at: int = 0, spring: Callable[[], None] | None = None, *, lasting: bool = False
    ) -> None:
        self.operations: list[str] = []
        self.at = at
        self.lasting = lasting
        self.spring = spring or (lambda: None)
        self._lock = threading.Lock()

    @property
    def sprung(self) -> bool:
        return 0 < self.at <= len(self.operations)

    def make_dir(self, path: Path) -> None:
        self._pass("make_dir")
        super().make_dir(path)

    def open_new(self, path: Path) -> int:
        self._pass("open_new")
        return super().open_new(path)

    def open_append(self, path: Path) -> int:
        self._pass("open_append")
        return super().open_append(path)

    def write(self, descriptor: int, data: bytes) -> None:
        self._pass(
            "write", lambda: super(TrapDisk, self).write(descriptor, data[: len(data) // 2])
        )
        super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        self._pass("sync")

    def truncate(self, descriptor: int, size: int) -> None:
        self._pass("truncate")
        super().truncate(descriptor, size)

    def rename(self, source: Path, target: Path) -> None:
        self._pass("rename")
        super().rename(source, target)

    def unlink(self, path: Path) -> None:
        self._pass("unlink")
        super().unlink(path)

    def sync_dir(self, path: Path) -> None:
        self._pass("sync_dir")

    def _pass(self, operation: str, half: Callable[[], None] = lambda: None) -> None:
        with self._lock:
            self.operations.append(operation)
            number = len(self.operations)
        if number == self.at or (self.lasting and 0 < self.at < number):
            half()
            self.spring()


def failing(code: int) -> Callable[[], None]:
    """Fail with this error number."""

    def fail() -> None:
        raise OSError(code, os.strerror(code))

    return fail


def die() -> None:
    """Be killed: no destructor, no handler, nothing flushed."""
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()
