"""The one place that writes to disk for keeps: write, fsync, rename. Reading needs no care.

`Disk` is handed to whatever stores something, so that a test can fail the N-th operation. What
the files mean is not known here.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

TEMPORARY_PREFIX = ".tmp-"
"""Names that begin so are unfinished work of a process that died; nobody was told of them."""


class Disk:
    """Durable file operations: what returned survives a kill and a loss of power.

    Rename without fsync leaves empty files after power loss, so a tree is published as: write
    aside, fsync every file and directory, rename, fsync the parent.
    """

    def make_dir(self, path: Path) -> None:
        """Make a directory; its parent exists, itself does not."""
        path.mkdir()

    def make_dirs(self, path: Path) -> None:
        """Make a directory and its missing parents, names durable."""
        if not path.is_dir():
            self.make_dirs(path.parent)
            self.make_dir(path)
            self.sync_dir(path.parent)

    def open_new(self, path: Path) -> int:
        """Create a file that does not exist yet and return its descriptor."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)

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

    def remove_tree(self, path: Path) -> None:
        """Delete a directory; it is renamed first, so that nobody reads it half deleted."""
        hidden = path if path.name.startswith(TEMPORARY_PREFIX) else _temporary(path)
        if hidden != path:
            self.rename(path, hidden)
        shutil.rmtree(hidden)

    def sync_dir(self, path: Path) -> None:
        """Make the names in a directory durable."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self.sync(descriptor)
        finally:
            os.close(descriptor)

    def write_file(self, path: Path, data: bytes) -> None:
        """Write a new file; its name is durable only after `sync_dir` of its directory."""
        descriptor = self.open_new(path)
        try:
            self.write(descriptor, data)
            self.sync(descriptor)
        finally:
            os.close(descriptor)

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
            written.unlink(missing_ok=True)
        self.sync_dir(path.parent)

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


def tree_digest(files: Mapping[str, bytes]) -> str:
    """Return the sha256 (hex) over names, sizes and bytes of `files`, whatever their order."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{len(files[name])}\0".encode())
        digest.update(files[name])
    return digest.hexdigest()


def _temporary(target: Path) -> Path:
    return target.parent / f"{TEMPORARY_PREFIX}{target.name}-{time.monotonic_ns()}"


def remove_leftovers(disk: Disk, root: Path) -> None:
    """Delete the unfinished work of processes that died. The caller holds the lock on `root`."""
    for path in root.glob(f"{TEMPORARY_PREFIX}*"):
        disk.remove_tree(path)
