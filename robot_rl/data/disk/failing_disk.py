"""A disk for tests: it fails when told to, and remembers what was asked of it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from robot_rl.data.disk.durable import Disk


class FailingDisk(Disk):
    """Fails the N-th operation, a write after half of its bytes.

    It does not wait for the medium, so that every N can be tried.

    Args:
        fail_at: which operation fails, from 1; 0 for none.
        lasting: every operation after it fails too.
        error: with what it fails: `errno.ENOSPC`, a full disk, or `errno.EIO`, a broken one.
        free_bytes: how much space is said to be free; None for what there is.
    """

    def __init__(
        self,
        fail_at: int = 0,
        *,
        lasting: bool = False,
        error: int = errno.ENOSPC,
        free_bytes: int | None = None,
    ) -> None:
        self.operations: list[tuple[str, str]] = []
        self.fail_at = fail_at
        self.free = free_bytes
        self._lasting = lasting
        self._error = error

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

    def open_append(self, path: Path) -> int:
        """Open a file, or fail."""
        self._count("open_append", path)
        return super().open_append(path)

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

    def unlink(self, path: Path) -> None:
        """Delete a file, or fail."""
        self._count("unlink", path)
        super().unlink(path)

    def sync_dir(self, path: Path) -> None:
        """Pretend to wait, or fail."""
        self._count("sync_dir", path)

    def free_bytes(self, path: Path) -> int:
        """Return what was said to be free, or what is."""
        return super().free_bytes(path) if self.free is None else self.free

    def _count(self, operation: str, path: Path) -> None:
        self.operations.append((operation, str(path)))
        number = len(self.operations)
        if number == self.fail_at or (self._lasting and 0 < self.fail_at < number):
            raise OSError(self._error, os.strerror(self._error), str(path))


def _path_of(descriptor: int) -> Path:
    return Path(f"/proc/self/fd/{descriptor}").readlink()
