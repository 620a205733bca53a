"""What is wrong with one stored file, in words; reads no column of one that is as it was."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from robot_rl.core.errors import StorageError
from robot_rl.core.recording import RecordingSpec
from robot_rl.data.store.format.episode_attributes import latent_size
from robot_rl.data.store.format.episode_zarr import check_members, member_names
from robot_rl.data.store.format.episode_zip import Archive, listed_members, sound_members
from robot_rl.data.store.format.label_zarr import decode_label
from robot_rl.data.store.format.stored_file import is_intact
from robot_rl.data.store.manifest import Entry, LabelEntry


def episode_problem(path: Path, entry: Entry, spec: RecordingSpec | None) -> str:
    """Return what is wrong with the file of an episode; nothing if it is as it was saved.

    Without a spec only the checksum is looked at.
    """

    def names(sound: Archive) -> list[str]:
        if spec is None or entry.steps > entry.bytes:
            return []
        size = 0
        # Where the attributes are not sound, they are named, and the latent may go unnamed.
        with contextlib.suppress(StorageError):
            size = latent_size(sound)
        return member_names(spec, entry.steps, size)

    if not is_intact(path, entry.bytes, entry.sha256):
        return _what_is_damaged(path, entry.bytes, names)

    def check(archive: Archive) -> None:
        if spec is not None:
            same_episode(archive, entry, *check_members(archive, spec))

    return _what_is_wrong(path, check)


def label_problem(path: Path, label: LabelEntry, steps: int) -> str:
    """Return what is wrong with the file of a label; nothing if it is as it was saved."""
    if not is_intact(path, label.bytes, label.sha256):
        return _what_is_damaged(path, label.bytes, lambda _: [])
    return _what_is_wrong(path, lambda archive: same_label(archive, label, steps))


def same_episode(archive: Archive, entry: Entry, episode_id: str, steps: int) -> None:
    """Refuse a file that holds another episode than its entry says.

    Raises:
        StorageError: naming both.
    """
    if (episode_id, steps) != (entry.id, entry.steps):
        raise StorageError(
            f"{archive.title} holds episode {episode_id!r} of {steps} steps, expected "
            f"{entry.id!r} of {entry.steps}"
        )


def same_label(archive: Archive, entry: LabelEntry, steps: int) -> None:
    """Refuse a file that holds another label than its entry says, or of another episode.

    Raises:
        StorageError: naming both.
    """
    episode_id, version, label = decode_label(archive)
    found = (episode_id, label.name, version)
    if found != (entry.id, entry.name, entry.version):
        raise StorageError(f"{archive.title} holds label {found}, expected {entry}")
    if len(label.values) not in (1, steps, steps + 1):
        raise StorageError(
            f"{archive.title} has {len(label.values)} values, expected 1, {steps} or {steps + 1}"
        )


def _what_is_wrong(path: Path, check: Callable[[Archive], None]) -> str:
    try:
        with path.open("rb") as file:
            check(Archive(file, listed_members(file, str(path)), str(path)))
    except (StorageError, OSError) as error:
        return f"its checksum is right, what it holds is not: {error}"
    return ""


def _what_is_damaged(path: Path, size: int, expected: Callable[[Archive], list[str]]) -> str:
    """Say which members of a file are not what was saved; `expected` reads the sound ones."""
    try:
        with path.open("rb") as file:
            got = os.fstat(file.fileno()).st_size
            sound = sound_members(file, str(path))
            names = expected(Archive(file, sound, str(path)))
            if not names:
                with contextlib.suppress(StorageError):
                    names = [*listed_members(file, str(path))]
    except FileNotFoundError:
        return "the file is missing"
    except OSError as error:
        return f"not readable: {error}"
    damaged = [name for name in names if name not in sound]
    cut = f"it has {got} bytes, saved were {size}; " if got != size else ""
    if not damaged:
        return f"damaged: {cut}its members are whole, what is around them is not"
    shown = ", ".join(damaged[:5]) + (", ..." if len(damaged) > 5 else "")
    return f"damaged: {cut}{len(damaged)} of {len(names)} members are not sound: {shown}"
