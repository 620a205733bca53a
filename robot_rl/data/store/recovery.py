"""What a writer puts right when it opens a store: leftovers of processes that died.

Everything here may be interrupted anywhere, and be done again. The caller holds the lock.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from robot_rl.core.episode import Episode
from robot_rl.core.errors import ContractError, StorageError
from robot_rl.core.recording import RecordingSpec
from robot_rl.core.types import Outcome
from robot_rl.data.disk.durable import Disk, remove_leftovers
from robot_rl.data.log.recovery import LoggedEpisode, read_log
from robot_rl.data.store.layout import LOG_SUFFIX, SUFFIX, Layout, unused
from robot_rl.data.store.manifest import Manifest
from robot_rl.data.store.recording import remove_log

_LOG = logging.getLogger(__name__)


def sync_names(layout: Layout, disk: Disk) -> None:
    """Make the names durable that a process may have made and not waited for when it died."""
    with contextlib.suppress(PermissionError):
        disk.sync_dir(layout.path.parent)
    for folder in (layout.path, layout.episodes, layout.labels, layout.open):
        if folder.is_dir():
            disk.sync_dir(folder)


def tidy(layout: Layout, manifest: Manifest, disk: Disk) -> None:
    """Delete unfinished and purged files, and set aside those that the manifest does not list.

    Raises:
        OSError: the disk failed.
    """
    folders = [layout.path, layout.episodes, layout.open, *label_folders(layout)]
    for folder in folders:
        remove_leftovers(disk, folder)
    for path in _files(layout.episodes):
        episode_id = path.name.removesuffix(SUFFIX)
        if episode_id in manifest.purged:
            disk.remove_file(path)
        elif episode_id not in manifest.entries or not path.name.endswith(SUFFIX):
            set_aside(path, layout, disk)
    for folder in label_folders(layout):
        _tidy_labels(folder, layout, manifest, disk)


def remove_purged(layout: Layout, ids: Iterable[str], disk: Disk) -> None:
    """Delete the files of purged episodes and of their labels.

    Raises:
        OSError: the disk failed.
    """
    for episode_id in ids:
        disk.remove_file(layout.episode(episode_id))
        for path in _files(layout.labels / episode_id):
            disk.remove_file(path)


def set_aside(path: Path, layout: Layout, disk: Disk, name: str = "") -> None:
    """Move a file that is in nobody's way to `orphans/`, under a name that is free.

    Raises:
        OSError: the disk failed.
    """
    disk.make_dirs(layout.orphans)
    target = unused(layout.orphans, name or path.name)
    disk.rename(path, target)
    disk.sync_dir(layout.orphans)
    _LOG.warning("%s was never reported as saved: moved to %s", path, target)


def recover_logs(
    layout: Layout,
    spec: RecordingSpec,
    disk: Disk,
    *,
    is_known: Callable[[str], bool],
    append: Callable[[Episode], None],
) -> None:
    """Make interrupted episodes of the logs of recordings that nobody sealed.

    A log is removed once its episode is saved; without a whole step, or of another spec, it is
    set aside.

    Raises:
        OSError: the disk failed.
    """
    for path in _files(layout.open):
        logged = _read(path, spec) if path.name.endswith(LOG_SUFFIX) else None
        if logged is not None and is_known(logged.episode_id):
            remove_log(path, disk)
        elif logged is None or logged.episode is None:
            set_aside(path, layout, disk)
        else:
            _recover(path, logged.episode, layout, disk, append)


def interrupted(episode: Episode) -> Episode:
    """Return an episode as nobody has judged it; that its last step terminated stays true."""
    return dataclasses.replace(
        episode,
        metadata=dataclasses.replace(episode.metadata, interrupted=True),
        outcome=Outcome.UNKNOWN,
        truncated=not episode.terminated,
    )


def label_folders(layout: Layout) -> list[Path]:
    """The folders of labels, one an episode."""
    paths = sorted(layout.labels.iterdir()) if layout.labels.is_dir() else []
    return [path for path in paths if path.is_dir()]


def label_key(path: Path) -> tuple[str, str, int]:
    """Return episode id, name and version of the label in a file; version 0 if it is none."""
    name, _, version = path.name.removesuffix(SUFFIX).rpartition("-")
    known = path.name.endswith(SUFFIX) and version.isdecimal()
    return path.parent.name, name, int(version) if known else 0


def _tidy_labels(folder: Path, layout: Layout, manifest: Manifest, disk: Disk) -> None:
    for path in _files(folder):
        episode_id, name, version = label_key(path)
        if episode_id in manifest.purged:
            disk.remove_file(path)
        elif version < 1 or not manifest.is_known_label(episode_id, name, version):
            set_aside(path, layout, disk, f"{episode_id}.{path.name}")


def _read(path: Path, spec: RecordingSpec) -> LoggedEpisode | None:
    try:
        logged = read_log(path)
    except StorageError as error:
        _LOG.warning("%s", error)
        return None
    differences = logged.spec.differences(spec)
    if differences:
        _LOG.warning("log %s is of another recording: %s", path, "; ".join(differences))
        return None
    return logged


def _recover(
    path: Path, episode: Episode, layout: Layout, disk: Disk, append: Callable[[Episode], None]
) -> None:
    try:
        append(interrupted(episode))
    except ContractError as error:
        _LOG.warning("log %s: %s", path, error)
        set_aside(path, layout, disk)
    except StorageError as error:
        # A full disk must not keep anybody from opening the store to purge it.
        _LOG.error("log %s stays until it can be recovered: %s", path, error)
    else:
        steps = len(episode)
        _LOG.warning("episode %s was interrupted: recovered %d steps", episode.episode_id, steps)
        remove_log(path, disk)


def _files(folder: Path) -> list[Path]:
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in paths if path.is_file()]
