"""Where episodes come from, and how they become a store. The formats have modules of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from robot_rl.core.episode import Episode
from robot_rl.core.errors import StorageError
from robot_rl.core.recording import RecordingSpec
from robot_rl.data.disk.durable import Disk
from robot_rl.data.exchange.aside import made_aside
from robot_rl.data.store.episode_store import EpisodeStore

Progress = Callable[[int, int], None]
"""Told how many episodes are done, and how many there are."""


class Source(Protocol):
    """Episodes of one recording, in whatever format they lie."""

    @property
    def spec(self) -> RecordingSpec:
        """What all episodes have in common."""
        ...

    def __len__(self) -> int:
        """Number of episodes."""
        ...

    def episodes(self) -> Iterator[Episode]:
        """Read the episodes in order, each complete; a second call starts anew."""
        ...


def import_into(
    source: Source,
    target: Path,
    progress: Progress | None = None,
    *,
    disk: Disk | None = None,
) -> int:
    """Make a new episode store of all episodes of a source; return how many there are.

    The store is made aside, every episode verified, then renamed: `target` is absent or complete.

    Raises:
        StorageError: `target` is there already, the source has no episode or cannot be read, or
            the disk failed.
        ContractError: an episode does not match the source's spec.
    """
    with made_aside(target, disk or Disk()) as folder:
        with EpisodeStore(folder, source.spec, disk=disk) as store:
            for count, episode in enumerate(source.episodes(), 1):
                store.append(episode)
                if progress:
                    progress(count, len(source))
            ids = store.ids()
            damaged = [i for i in ids if not store.verify(i)]
        if len(ids) != len(source) or not ids:
            raise StorageError(
                f"the source of {target} gave {len(ids)} episodes, expected {len(source) or 1}"
            )
        if damaged:
            raise StorageError(
                f"{target}: episode {damaged[0]!r} did not read back as it was written; "
                "check the disk, then import again"
            )
    return len(ids)
