"""A disk for tests: it fails when told to, and remembers what was asked of it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from robot_rl.data.disk.durable import Disk


class FailingDisk(Disk):
    """Fails the N-th operation with ENOSPC, a write after half of its bytes.

    It does not wait for the medium, so that every N can be tried.

    Args:
        fail_at: which operation fails, from 1; 0 for none.
        lasting: every operation after it fails too.
    """

    def __init__(self, fail_at: int = 0, *, lasting: bool = False) -> None:
        self.operations: list[tuple[str, str]] = []
        self.fail_at = fail_at
        self._lasting = lasting

    @property
    def failed(self) -> bool:
        """Whether an operation has failed."""
        return 0 < self.fail_at <= len(self.operations)

    def make_dir(self, path: Path) -> None:
        """Make a directory, or fail."""
        self._count("make_dir", path)
        super().make_dir(path)

    def open_new(self, path: Path) -> int:
        """Create a file, or fail."""
        self._count("open_new", path)
        return super().open_new(path)

    def write(self, descriptor: int, data: bytes) -> None:
        """Write all, or half and fail."""
        try:
            self._count("write", _path_of(descriptor))
        except OSError:
            super().write(descriptor, data[: len(data) // 2])
            raise
        super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        """Pretend to wait, or fail."""
        self._count("sync", _path_of(descriptor))

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut a file, or fail."""
        self._count("truncate", _path_of(descriptor))
        super().truncate(descriptor, size)

    def rename(self, source: Path, target: Path) -> None:
        """Rename, or fail."""
        self._count("rename", target)
        super().rename(source, target)

    def _count(self, operation: str, path: Path) -> None:
        self.operations.append((operation, str(path)))
        number = len(self.operations)
        if number == self.fail_at or (self._lasting and 0 < self.fail_at < number):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def _path_of(descriptor: int) -> Path:
    return Path(f"/proc/self/fd/{descriptor}").readlink()
