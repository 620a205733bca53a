"""The one place that writes to disk for keeps: write, fsync, rename. Reading needs no care.

`Disk` is handed to whatever stores something, so that a test can fail the N-th operation. What
the files mean is not known here.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

TEMPORARY_PREFIX = ".tmp-"
"""Names that begin so are unfinished work of a process that died; nobody was told of them."""


class Disk:
    """Durable file operations: what returned survives a kill and a loss of power.

    Rename without fsync leaves empty files after power loss, so a file or tree is published as:
    write aside, fsync every file and directory, rename, fsync the parent.

    The first methods, up to `free_bytes`, are the primitives: all that a disk for tests replaces.
    """

    def make_dir(self, path: Path) -> None:
        """Make a directory; its parent exists, itself does not."""
        path.mkdir()

    def open_new(self, path: Path) -> int:
        """Create a file that does not exist yet and return its descriptor."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)

    def open_append(self, path: Path) -> int:
        """Open a file that is there, to write behind its end, and return its descriptor."""
        return os.open(path, os.O_WRONLY | os.O_APPEND)

    def write(self, descriptor: int, data: bytes) -> None:
        """Write all of `data` at the descriptor's position."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]

    def sync(self, descriptor: int) -> None:
        """Wait until what was written is on the medium."""
        os.fsync(descriptor)

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut a file to `size` bytes."""
        os.ftruncate(descriptor, size)

    def rename(self, source: Path, target: Path) -> None:
        """Rename within one directory tree; atomic."""
        source.rename(target)

    def unlink(self, path: Path) -> None:
        """Delete a file."""
        path.unlink()

    def sync_dir(self, path: Path) -> None:
        """Make the names in a directory durable."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def free_bytes(self, path: Path) -> int:
        """Return how much may still be written where `path` is [bytes]."""
        return shutil.disk_usage(path).free

    def make_dirs(self, path: Path) -> None:
        """Make a directory and its missing parents, names durable."""
        if not path.is_dir():
            self.make_dirs(path.parent)
            self.make_dir(path)
            self.sync_dir(path.parent)

    def remove_file(self, path: Path) -> None:
        """Delete a file for good; that it is gone already is no error."""
        if path.exists():
            self.unlink(path)
            self.sync_dir(path.parent)

    def remove_tree(self, path: Path) -> None:
        """Delete a directory; it is renamed first, so that nobody reads it half deleted."""
        hidden = path if path.name.startswith(TEMPORARY_PREFIX) else _temporary(path)
        if hidden != path:
            self.rename(path, hidden)
        shutil.rmtree(hidden)

    def write_file(self, path: Path, data: bytes) -> None:
        """Write a new file; its name is durable only after `sync_dir` of its directory."""
        self._write_parts(path, [data])

    def replace_file(self, path: Path, data: bytes) -> None:
        """Put `data` in the place of a file, or make it: the old or the new is there, whole.

        Raises:
            OSError: the disk is full or failed; the file is then as before.
        """
        written = _temporary(path)
        try:
            self.write_file(written, data)
            self.rename(written, path)
        finally:
            with contextlib.suppress(OSError):
                self._discard(written)
        self.sync_dir(path.parent)

    def publish_file(self, target: Path, parts: Iterable[bytes]) -> None:
        """Make file `target`, which must not be there yet; its parts need not fit into memory.

        Raises:
            OSError: the disk is full or failed; `target` is then not there, as before. So it is
                when `parts` raises.
        """
        written = _temporary(target)
        published = False
        try:
            self._write_parts(written, parts)
            self.rename(written, target)
            written = target
            self.sync_dir(target.parent)
            published = True
        finally:
            if not published:
                with contextlib.suppress(OSError):
                    self._discard(written)

    def publish_tree(self, target: Path, files: Mapping[str, bytes]) -> None:
        """Make directory `target` with `files` (by relative path, at most one folder deep).

        `target` must not be there yet, or be empty.

        Raises:
            OSError: the disk is full or failed; `target` is then not there, as before.
        """
        written = _temporary(target)
        try:
            self._write_tree(written, files)
            self.rename(written, target)
            written = target
            self.sync_dir(target.parent)
        except OSError:
            with contextlib.suppress(OSError):
                self.remove_tree(written)
            raise

    def _write_parts(self, path: Path, parts: Iterable[bytes]) -> None:
        descriptor = self.open_new(path)
        try:
            for part in parts:
                self.write(descriptor, part)
            self.sync(descriptor)
        finally:
            os.close(descriptor)

    def _discard(self, path: Path) -> None:
        if path.exists():
            self.unlink(path)

    def _write_tree(self, root: Path, files: Mapping[str, bytes]) -> None:
        self.make_dir(root)
        folders = sorted({root / name.split("/")[0] for name in files if "/" in name})
        for folder in folders:
            self.make_dir(folder)
        for name, data in files.items():
            self.write_file(root / name, data)
        for folder in [*folders, root]:
            self.sync_dir(folder)


def read_tree(root: Path) -> dict[str, bytes]:
    """Read every file under `root`, by relative path.

    Raises:
        OSError: if `root` is missing or unreadable.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"no directory {root}")
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def _temporary(target: Path) -> Path:
    return target.parent / f"{TEMPORARY_PREFIX}{target.name}-{time.monotonic_ns()}"


def remove_leftovers(disk: Disk, root: Path) -> None:
    """Delete the unfinished work of processes that died. The caller holds the lock on `root`."""
    for path in root.glob(f"{TEMPORARY_PREFIX}*"):
        if path.is_dir():
            disk.remove_tree(path)
        else:
            disk.unlink(path)
