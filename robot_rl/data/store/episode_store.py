"""Episodes on disk, for keeps. One writer; an episode is saved when `append` returns, not before.

Layout: `manifest.jsonl` tells what is saved, deleted and labelled (see `journal`);
`episodes/<id>.zarr.zip` are immutable, each a zarr 3 group in an uncompressed zip;
`labels/<id>/<name>-<version>.zarr.zip` are too; `open/` holds the logs of episodes that are being
recorded, `orphans/` what was never reported as saved. Not here: reading (`episode_reader`),
repair (`doctor`), and export to other formats.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from robot_rl.core.episode import Episode, EpisodeMetadata
from robot_rl.core.errors import ContractError, StorageError
from robot_rl.core.recording import RecordingSpec
from robot_rl.data.disk.durable import Disk
from robot_rl.data.log.episode_log import EpisodeLog
from robot_rl.data.log.image_channels import ImageCoding
from robot_rl.data.store.episode_reader import EpisodeReader
from robot_rl.data.store.format.episode_zarr import check_episode, episode_members
from robot_rl.data.store.format.label_zarr import check_label, label_members
from robot_rl.data.store.format.stored_file import publish
from robot_rl.data.store.journal import JournalWriter, start_journal
from robot_rl.data.store.label import Label
from robot_rl.data.store.layout import Layout, is_episode_id, require_room, require_store
from robot_rl.data.store.lock import take_lock
from robot_rl.data.store.manifest import (
    Entry,
    LabelEntry,
    Record,
    deleted_record,
    purged_record,
    undone_record,
)
from robot_rl.data.store.recording import Recording, require_space
from robot_rl.data.store.recovery import (
    recover_logs,
    remove_purged,
    set_aside,
    sync_names,
    tidy,
)

_LOG = logging.getLogger(__name__)


class EpisodeStore(EpisodeReader):
    """A folder of episodes of one spec, open for writing; a context manager.

    Opening takes the lock, cuts off a torn manifest line, deletes unfinished files, moves
    unlisted ones to `orphans/`, and makes interrupted episodes of recordings that nobody sealed.

    Args:
        path: the folder; made if absent.
        spec: what the episodes are recordings of; None for that of the store, which must exist.
        log_images: how the log of a running episode keeps images; a sealed one keeps them exactly.
        disk: what writes; tests hand in one that fails.

    Raises:
        ContractError: if the store was started with another spec; names every difference.
        StorageError: if another process has it open, it is none, or it cannot be opened.
    """

    def __init__(
        self,
        path: Path | str,
        spec: RecordingSpec | None = None,
        *,
        log_images: ImageCoding = "raw",
        disk: Disk | None = None,
    ) -> None:
        self._log_images: ImageCoding = log_images
        self._disk = disk or Disk()
        self._open = contextlib.ExitStack()
        try:
            with contextlib.ExitStack() as stack:
                self._start(Layout(Path(path)), spec, stack)
                super().__init__(path, spec)
                self._writer = stack.enter_context(JournalWriter(self._journal, self._disk))
                self._recover()
                self._open = stack.pop_all()
        except OSError as error:
            raise StorageError(f"cannot open the episode store {path}: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the lock."""
        self._open.close()

    @property
    def orphans(self) -> list[str]:
        """Names of files that were never reported as saved. They are not read."""
        folder = self._layout.orphans
        return sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []

    def append(self, episode: Episode) -> None:
        """Save an episode. When this returns it survives a kill and a loss of power.

        Raises:
            ContractError: if the episode is not of the store's spec, or has an id that no file
                can have.
            StorageError: if the id was ever taken, or the disk is full or failed: the episode is
                then not saved, and those saved before are intact.
        """
        self._check_id(episode.episode_id)
        self._check_metadata(episode.episode_id, episode.metadata)
        check_episode(episode, self.spec)
        target = self._layout.episode(episode.episode_id)

        def entry(size: int, sha256: str) -> Record:
            return Entry.of(episode, size, sha256).to_record()

        try:
            self._publish(target, episode_members(episode, self.spec), entry)
        except OSError as error:
            raise StorageError(
                f"episode {episode.episode_id!r} was not saved in {self.path}: {error}; the "
                f"{len(self)} episodes saved before are intact. Free the disk and append it again"
            ) from error

    def delete(self, episode_id: str) -> None:
        """Hide an episode. Its file stays, and `undo` brings it back, until `purge`.

        Raises:
            StorageError: if there is none, or it is deleted already; nothing changes then.
        """
        self._manifest.live(episode_id)
        self._write(deleted_record(episode_id))

    def undo(self, episode_id: str | None = None) -> str:
        """Take back the newest delete or label, of one episode if given; return what it was.

        A label's version number is not used again.

        Raises:
            StorageError: if there is nothing to undo; nothing changes then.
        """
        operation = self._manifest.newest(episode_id)
        if operation.label is None and not self._layout.episode(operation.id).exists():
            raise StorageError(
                f"{operation} cannot be undone: the file is not in {self._layout.episodes}; a "
                f"repair moves damaged ones to {self._layout.damaged}"
            )
        self._write(undone_record(operation.line))
        return str(operation)

    def purge(self) -> list[str]:
        """Remove deleted episodes and their labels for good; return their ids.

        Raises:
            StorageError: if the disk failed before they were given up.
        """
        ids = self.deleted()
        if ids:
            self._write(purged_record(ids))
            try:
                remove_purged(self._layout, ids, self._disk)
            except OSError as error:
                _LOG.warning("%s: the next opening removes the rest: %s", self.path, error)
        return ids

    def add_label(self, episode_id: str, label: Label) -> int:
        """Save a label of an episode, durably, and return its version, from 1.

        Raises:
            ContractError: if it does not fit the episode.
            StorageError: if there is no such episode, or the disk is full or failed: the label is
                then not saved.
        """
        check_label(label, self._manifest.live(episode_id).steps)
        version = self._manifest.next_version(episode_id, label.name)
        target = self._layout.label(episode_id, label.name, version)

        def entry(size: int, sha256: str) -> Record:
            return LabelEntry(
                id=episode_id, name=label.name, version=version, bytes=size, sha256=sha256
            ).to_record()

        try:
            self._disk.make_dirs(target.parent)
            # A folder made by a call that failed may be there without its name being durable.
            self._disk.sync_dir(self._layout.labels)
            self._publish(target, label_members(label, episode_id, version), entry)
        except OSError as error:
            raise StorageError(
                f"label {label.name!r} of episode {episode_id!r} was not saved in {self.path}: "
                f"{error}. Free the disk and add it again"
            ) from error
        return version

    def record(self, episode_id: str, metadata: EpisodeMetadata) -> Recording:
        """Begin an episode: its steps go to a log, from which it is recovered if nobody seals it.

        Raises:
            ContractError: if the metadata are of another spec, or no file can have the id.
            StorageError: if the id was ever taken, or less than twice the size of the longest
                episode is free.
        """
        self._check_id(episode_id)
        self._check_metadata(episode_id, metadata)
        path = self._layout.log(episode_id)
        if path.exists():
            raise StorageError(
                f"episode {episode_id!r} is being recorded already, or waits to be recovered: "
                f"{path} is there; use another id"
            )
        try:
            require_space(self.path, self.spec, self._disk)
            self._disk.make_dirs(path.parent)
        except OSError as error:
            raise StorageError(f"{self.path}: {error}; nothing was recorded") from error
        log = EpisodeLog(
            path, self.spec, episode_id, metadata, images=self._log_images, disk=self._disk
        )
        return Recording(episode_id, log, self.append, self._disk)

    def _start(
        self, layout: Layout, spec: RecordingSpec | None, stack: contextlib.ExitStack
    ) -> None:
        """Take the lock, and write the manifest's header if there is none."""
        if spec is None:
            require_store(layout.path)
        else:
            require_room(layout.path)
            self._disk.make_dirs(layout.episodes)
        stack.callback(os.close, take_lock(layout.lock))
        if spec is not None and not layout.manifest.exists():
            start_journal(layout.path, spec, self._disk)

    def _recover(self) -> None:
        sync_names(self._layout, self._disk)
        tidy(self._layout, self._manifest, self._disk)
        recover_logs(
            self._layout,
            self.spec,
            self._disk,
            is_known=self._manifest.is_known,
            append=self.append,
        )

    def _check_id(self, episode_id: str) -> None:
        if not is_episode_id(episode_id):
            raise ContractError(
                f"episode id {episode_id!r}: expected letters, digits, '.', '_' and '-'"
            )
        self._check_certain()
        if self._manifest.is_known(episode_id):
            raise StorageError(
                f"episode {episode_id!r} is already saved in {self.path}, if perhaps deleted or "
                "purged; saved episodes never change, use another id"
            )

    def _check_metadata(self, episode_id: str, metadata: EpisodeMetadata) -> None:
        if metadata.contract != self.spec.contract:
            raise ContractError(
                f"episode {episode_id!r} has contract {metadata.contract!r}, the store "
                f"{self.spec.contract!r}: task, observation or action differ; use another folder"
            )
        if metadata.robot not in ("", self.spec.robot):
            raise ContractError(
                f"episode {episode_id!r} is of robot {metadata.robot!r}, the store of "
                f"{self.spec.robot!r}; use another folder"
            )

    def _check_certain(self) -> None:
        if self._writer.closed:
            raise StorageError(f"{self.path} was closed; open it again")
        if self._writer.broken:
            raise StorageError(f"{self.path} is in doubt after a disk error; open it again")

    def _publish(
        self,
        target: Path,
        members: Iterable[tuple[str, bytes]],
        record: Callable[[int, str], Record],
    ) -> None:
        """Write a file and then its line: only that makes it exist."""
        self._check_certain()
        if target.exists():
            set_aside(target, self._layout, self._disk)
        size, sha256 = publish(self._disk, target, members)
        try:
            self._writer.append(record(size, sha256))
        except OSError:
            # In doubt the file must stay: its line may turn out to have been written.
            if not self._writer.broken:
                with contextlib.suppress(OSError):
                    self._disk.remove_file(target)
            raise

    def _write(self, record: Record) -> None:
        self._check_certain()
        try:
            self._writer.append(record)
        except OSError as error:
            happened = (
                "open it again to see whether it was done"
                if self._writer.broken
                else "nothing was changed; free the disk and try again"
            )
            raise StorageError(f"{self.path}: {error}: {happened}") from error
