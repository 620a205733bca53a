"""Episodes on disk, for keeps. One writer; an episode is saved when `append` returns, not before.

Layout: `manifest.jsonl` lists what is saved, `episodes/<id>.zarr` are immutable zarr 3 groups,
`orphans/` holds complete episodes that the manifest does not list. Not here: recording, views
such as relabelled rewards, and export to other formats.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from robot_rl.core.episode import Episode
from robot_rl.core.errors import ContractError, StorageError, did_you_mean
from robot_rl.core.spec import ObservationSpec
from robot_rl.data.disk.durable import Disk, read_tree, remove_leftovers, tree_digest
from robot_rl.data.store.episode_zarr import decode_episode, encode_episode
from robot_rl.data.store.manifest import Entry, Manifest

_LOG = logging.getLogger(__name__)
_VALID_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


class EpisodeStore:
    """A directory of episodes under one contract.

    Opening takes the lock, cuts off a torn manifest line, deletes unfinished temporary folders
    and moves unlisted episodes to `orphans/`.

    Args:
        path: the directory; made if absent.
        contract: hash of task, observation and action specs (`TaskSpec.contract`).
        observation: if given, units, frames and element names are written with the vectors.
        disk: what writes; tests hand in one that fails.

    Raises:
        ContractError: if the store was started under another contract.
        StorageError: if another process has it open, or it cannot be opened.
    """

    def __init__(
        self,
        path: Path | str,
        contract: str,
        *,
        observation: ObservationSpec | None = None,
        disk: Disk | None = None,
    ) -> None:
        self.path = Path(path)
        self.contract = contract
        self._observation = observation
        self._disk = disk or Disk()
        self._episodes = self.path / "episodes"
        self._orphans = self.path / "orphans"
        self._open = contextlib.ExitStack()
        try:
            with contextlib.ExitStack() as stack:
                self._recover(stack)
                self._open = stack.pop_all()
        except OSError as error:
            raise StorageError(f"cannot open the episode store {self.path}: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._manifest.entries)

    def __iter__(self) -> Iterator[Episode]:
        """Read the episodes in the order in which they were saved."""
        return (self.read(episode_id) for episode_id in self.ids())

    def close(self) -> None:
        """Let go of the lock."""
        self._open.close()

    def ids(self) -> list[str]:
        """Return the ids of the saved episodes in the order in which they were saved."""
        return list(self._manifest.entries)

    @property
    def orphans(self) -> list[str]:
        """Names of complete episodes that were never reported as saved. They are not read."""
        return sorted(p.name for p in self._orphans.iterdir()) if self._orphans.is_dir() else []

    def append(self, episode: Episode) -> None:
        """Save an episode. When this returns it survives a kill and a loss of power.

        Raises:
            ContractError: if the episode carries another contract, or an id no file can have.
            StorageError: if the id is taken, or the disk is full or failed: the episode is then
                not saved, and those saved before are intact.
        """
        self._check(episode)
        files = encode_episode(episode, self._observation)
        entry = Entry(id=episode.episode_id, steps=len(episode), sha256=tree_digest(files))
        target = self._folder(episode.episode_id)
        try:
            self._set_aside(target)
            self._disk.publish_tree(target, files)
            self._list(entry, target)
        except OSError as error:
            raise StorageError(
                f"episode {episode.episode_id!r} was not saved in {self.path}: {error}; the "
                f"{len(self)} episodes saved before are intact. Free the disk and append it again"
            ) from error

    def read(self, episode_id: str) -> Episode:
        """Read one episode, checksum verified.

        Raises:
            StorageError: if it is not listed, or its files are not what was saved.
        """
        entry = self._entry(episode_id)
        try:
            files = read_tree(self._folder(episode_id))
        except OSError as error:
            raise StorageError(f"episode {episode_id!r} is not readable: {error}") from error
        if tree_digest(files) != entry.sha256:
            raise StorageError(
                f"episode {episode_id!r} in {self._folder(episode_id)} is damaged: its files are "
                "not those that were saved; restore them from a copy"
            )
        episode = decode_episode(files)
        if len(episode) != entry.steps:
            raise StorageError(
                f"episode {episode_id!r} has {len(episode)} steps, saved were {entry.steps}"
            )
        return episode

    def verify(self, episode_id: str) -> bool:
        """Return whether an episode's files are, bit by bit, those that were saved.

        Raises:
            StorageError: if it is not listed.
        """
        entry = self._entry(episode_id)
        try:
            return tree_digest(read_tree(self._folder(episode_id))) == entry.sha256
        except OSError:
            return False

    def _recover(self, stack: contextlib.ExitStack) -> None:
        self._disk.make_dirs(self._episodes)
        stack.callback(os.close, _lock(self.path / "lock"))
        manifest = Manifest(self.path / "manifest.jsonl", self.contract, self._disk)
        self._manifest = stack.enter_context(manifest)
        remove_leftovers(self._disk, self._episodes)
        for folder in sorted(self._episodes.iterdir()):
            if folder.suffix == ".zarr" and folder.stem not in self._manifest.entries:
                self._set_aside(folder)
        self._disk.sync_dir(self._episodes)

    def _set_aside(self, folder: Path) -> None:
        if not folder.exists():
            return
        self._disk.make_dirs(self._orphans)
        target, number = self._orphans / folder.name, 0
        while target.exists():
            number += 1
            target = self._orphans / f"{folder.stem}-{number}.zarr"
        self._disk.rename(folder, target)
        _LOG.warning("%s was never reported as saved: moved to %s", folder, target)

    def _check(self, episode: Episode) -> None:
        if not _VALID_ID.fullmatch(episode.episode_id):
            raise ContractError(
                f"episode id {episode.episode_id!r}: expected letters, digits, '.', '_' and '-'"
            )
        if self._manifest.broken:
            raise StorageError(f"{self.path} is in doubt after a disk error; open it again")
        if episode.metadata.contract != self.contract:
            raise ContractError(
                f"episode {episode.episode_id!r} has contract {episode.metadata.contract!r}, "
                f"the store {self.contract!r}"
            )
        if episode.episode_id in self._manifest.entries:
            raise StorageError(
                f"episode {episode.episode_id!r} is already saved in {self.path}; saved episodes "
                "never change, use another id"
            )

    def _list(self, entry: Entry, folder: Path) -> None:
        try:
            self._manifest.append(entry)
        except OSError:
            # In doubt the folder must stay: its line may turn out to have been written.
            if not self._manifest.broken:
                with contextlib.suppress(OSError):
                    self._disk.remove_tree(folder)
            raise

    def _entry(self, episode_id: str) -> Entry:
        entries = self._manifest.entries
        if episode_id not in entries:
            raise StorageError(
                f"no episode {episode_id!r} in {self.path}{did_you_mean(episode_id, entries)}"
            )
        return entries[episode_id]

    def _folder(self, episode_id: str) -> Path:
        return self._episodes / f"{episode_id}.zarr"


def _lock(path: Path) -> int:
    """Lock `path` for this process and return the descriptor that holds the lock."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise StorageError(
            f"{path.parent} is open in process {holder}; one process at a time may write. "
            "Stop it, or use another directory"
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor
