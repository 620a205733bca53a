"""Finds out what is wrong with a store, and on request repairs it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from robot_rl.core.errors import StorageError
from robot_rl.data.disk.durable import TEMPORARY_PREFIX, Disk
from robot_rl.data.finding import Finding
from robot_rl.data.store.journal import Journal
from robot_rl.data.store.layout import LOG_SUFFIX, SUFFIX, Layout, require_store
from robot_rl.data.store.lock import take_lock
from robot_rl.data.store.manifest import Manifest
from robot_rl.data.store.recovery import label_folders, label_key
from robot_rl.data.store.repair.damaged_journal import Survey, rebuild, survey
from robot_rl.data.store.repair.inspection import episode_problem, label_problem
from robot_rl.data.store.repair.salvage import SalvageStore


def examine(path: Path | str) -> list[Finding]:
    """Check every line and every checksum of a store; nothing is changed, no lock is taken.

    What is wrong is found, whatever it is: nothing is raised.
    """
    layout = Layout(Path(path))
    try:
        if not _is_store(layout):
            require_store(layout.path)
        return [*_examine(layout)]
    except StorageError as error:
        return [Finding(path=layout.path, problem=str(error), remedy="as it says")]
    except OSError as error:
        remedy = "look after the disk, or the permissions"
        return [Finding(path=layout.path, problem=f"not readable: {error}", remedy=remedy)]


def repair(path: Path | str, *, disk: Disk | None = None) -> list[str]:
    """Repair what can be repaired and return what was done, a sentence each.

    A damaged manifest is kept beside a new one, of its sound lines and of the episodes whose
    files are whole. Of a damaged episode the steps before the damage are saved as
    `<id>-repaired`; its file is kept in `damaged/`, and it counts as deleted. Nothing is removed.

    Raises:
        StorageError: if another process has the store open, there is none, no spec is left, or
            the disk is full or failed: what was done until then stays.
    """
    layout = Layout(Path(path))
    disk = disk or Disk()
    done: list[str] = []
    try:
        if not _is_store(layout):
            require_store(layout.path)
        with contextlib.ExitStack() as stack:
            stack.callback(os.close, take_lock(layout.lock))
            found = survey(layout)
            if found.problems:
                done += rebuild(layout, found, disk)
        before = {*Journal(layout.path).manifest.ids(), *_files(layout.orphans)}
        with SalvageStore(layout.path, disk=disk) as store:
            recovered = [episode_id for episode_id in store.ids() if episode_id not in before]
            done += [f"recovered interrupted episode {episode_id}" for episode_id in recovered]
            orphans = [path for path in _files(layout.orphans) if path not in before]
            done += [f"not listed and not whole: moved to {path}" for path in orphans]
            return [*done, *store.salvage()]
    except OSError as error:
        raise StorageError(f"{path} cannot be repaired: {error}") from error


def _is_store(layout: Layout) -> bool:
    """Whether there is a store, be it without its manifest."""
    return layout.manifest.is_file() or any(_files(layout.episodes, SUFFIX))


def _examine(layout: Layout) -> Iterator[Finding]:
    by_itself = "nothing is lost; the next opening for writing puts it right"
    files = [*_files(layout.episodes), *(p for f in label_folders(layout) for p in _files(f))]
    found = survey(layout)
    yield from _examine_journal(layout, found, by_itself)
    yield from _current(layout, _examine_files(layout, found))
    # A second look: what a writer was about to list when the files were looked up.
    later = survey(layout).manifest
    for path in files:
        yield from _examine_unlisted(layout, later, path, by_itself)
    for path in _files(layout.orphans):
        look = f"robot-rl data import {path} STORE" if path.suffix == LOG_SUFFIX else "read it"
        problem = "was never reported as saved; no store lists it"
        yield Finding(path=path, problem=problem, remedy=f"{look}, or delete the file")
    for path in _files(layout.open):
        problem = "log of an episode that is being recorded, or was when its process died"
        episode_id = path.name.removesuffix(LOG_SUFFIX)
        remedy = "the next opening for writing, once nobody records, makes an episode of it"
        yield Finding(path=path, problem=problem, remedy=remedy, episode=episode_id)


def _examine_journal(layout: Layout, found: Survey, by_itself: str) -> Iterator[Finding]:
    remedy = f"robot-rl data doctor {layout.path} --repair"
    for problem in found.problems:
        yield Finding(path=layout.manifest, problem=problem, remedy=remedy)
    if found.torn_bytes:
        problem = f"its last {found.torn_bytes} bytes are a line that was never acknowledged"
        yield Finding(path=layout.manifest, problem=problem, remedy=by_itself)


def _examine_files(layout: Layout, found: Survey) -> Iterator[Finding]:
    manifest = found.manifest
    for entry in manifest.entries.values():
        path = layout.episode(entry.id)
        put_away = manifest.is_deleted(entry.id) and not path.exists() and _is_kept(layout, path)
        problem = "" if put_away else episode_problem(path, entry, found.spec)
        if problem:
            yield _damage(layout, path, entry.id, problem)
    for label in manifest.all_labels():
        path = layout.label(label.id, label.name, label.version)
        problem = label_problem(path, label, manifest.entry(label.id).steps)
        if problem:
            yield _damage(layout, path, label.id, problem)


def _current(layout: Layout, findings: Iterator[Finding]) -> Iterator[Finding]:
    """Leave out what is about episodes that a writer has purged in the meantime."""
    for finding in findings:
        if finding.episode not in survey(layout).manifest.purged:
            yield finding


def _damage(layout: Layout, path: Path, episode_id: str, problem: str) -> Finding:
    remedy = f"restore it from a copy, or: robot-rl data doctor {layout.path} --repair"
    return Finding(path=path, problem=problem, remedy=remedy, episode=episode_id)


def _examine_unlisted(
    layout: Layout, manifest: Manifest, path: Path, by_itself: str
) -> Iterator[Finding]:
    if not path.exists():
        return
    if path.parent == layout.episodes:
        episode_id = path.name.removesuffix(SUFFIX)
        listed = path.name.endswith(SUFFIX) and episode_id in manifest.entries
    else:
        episode_id, name, version = label_key(path)
        listed = version > 0 and manifest.is_known_label(episode_id, name, version)
    if episode_id in manifest.purged:
        problem = "was purged, the file is still there"
    elif path.name.startswith(TEMPORARY_PREFIX):
        problem = "unfinished, from a process that writes or has died"
    elif not listed:
        problem = "the manifest does not list it: it was never reported as saved"
    else:
        return
    yield Finding(path=path, problem=problem, remedy=by_itself, episode=episode_id)


def _is_kept(layout: Layout, path: Path) -> bool:
    stem = path.name.removesuffix(SUFFIX)
    return any(p.name.startswith(stem) for p in _files(layout.damaged, SUFFIX))


def _files(folder: Path, ending: str = "") -> list[Path]:
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in paths if path.is_file() and path.name.endswith(ending)]
