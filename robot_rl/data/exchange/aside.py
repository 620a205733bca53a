"""A folder that is made aside and appears under its name whole, or not at all.

What is in it is not known here.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Generator
from pathlib import Path

from robot_rl.core.errors import StorageError
from robot_rl.data.disk.durable import TEMPORARY_PREFIX, Disk


@contextlib.contextmanager
def made_aside(target: Path, disk: Disk) -> Generator[Path]:
    """Yield a path beside `target` to make a folder at; publish it when the block ends well.

    The block may keep what it needs for the moment beside that path, in its parent: that goes
    when the block ends. A kill at any point leaves `target` absent or complete; what it leaves
    beside is removed by the next call for the same target.

    Raises:
        StorageError: `target` is there already, another process is at it, or the disk failed.
    """
    _refuse_taken(target)
    work = target.parent / f"{TEMPORARY_PREFIX}{target.name}-unfinished"
    try:
        disk.make_dirs(target.parent)
        work.mkdir(exist_ok=True)
        with _locked(work, target):
            try:
                _empty(work)
                made = work / target.name
                yield made
                sync_tree(made, disk)
                _refuse_taken(target)
                disk.rename(made, target)
                disk.sync_dir(target.parent)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        if os.path.lexists(target):
            raise StorageError(
                f"{target} is there and whole, but may not survive a loss of power: {error}; "
                "check the disk, remove it and try again"
            ) from error
        raise StorageError(
            f"{target} was not written: {error}; nothing is left of it. Free the disk or choose "
            "another place, and try again"
        ) from error


def sync_tree(root: Path, disk: Disk) -> None:
    """Wait until every file and every name under `root` is on the medium."""
    for folder, _, names in os.walk(root, topdown=False):
        for name in names:
            descriptor = os.open(Path(folder) / name, os.O_RDONLY)
            try:
                disk.sync(descriptor)
            finally:
                os.close(descriptor)
        disk.sync_dir(Path(folder))


def _refuse_taken(target: Path) -> None:
    if os.path.lexists(target):
        raise StorageError(
            f"{target} is there already, expected a new name; choose another or remove it first"
        )


@contextlib.contextmanager
def _locked(work: Path, target: Path) -> Generator[None]:
    descriptor = os.open(work, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise StorageError(
            f"another process is writing {target} just now ({work}); wait for it to end"
        ) from error
    try:
        yield
    finally:
        os.close(descriptor)


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
