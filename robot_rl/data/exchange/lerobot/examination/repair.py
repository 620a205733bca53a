"""Writes the whole episodes at the start of a damaged dataset as a new dataset aside.

The original is only read. Statistics come from `statistics.py`.
"""

from __future__ import annotations

import io
import json
import logging
import os
from pathlib import Path, PurePosixPath
from typing import Any

from robot_rl.core.errors import StorageError
from robot_rl.data.disk.durable import Disk
from robot_rl.data.exchange.aside import made_aside
from robot_rl.data.exchange.lerobot.examination.damage import DamageError, Kind
from robot_rl.data.exchange.lerobot.examination.diagnosis import Diagnosis, diagnose
from robot_rl.data.exchange.lerobot.examination.episodes import Episodes
from robot_rl.data.exchange.lerobot.examination.files import (
    INFO,
    STATS,
    arrow,
    inside,
    open_parquet,
)
from robot_rl.data.exchange.lerobot.examination.layout import Info, count_tasks
from robot_rl.data.exchange.lerobot.examination.statistics import statistics
from robot_rl.data.exchange.lerobot.library import library, open_dataset
from robot_rl.data.exchange.lerobot.sidecar import EPISODES_FILE, SPEC_FILE

_log = logging.getLogger(__name__)
_BLOCK = 1 << 22
_LOADER_ERRORS = (ArithmeticError, LookupError, OSError, RuntimeError, TypeError, ValueError)


def repair_lerobot(root: Path, target: Path, *, disk: Disk | None = None) -> int:
    """Write the longest verified prefix of `root` as the dataset `target`; return its episodes.

    Videos are copied whole: they may hold more frames than the episodes need. Pictures, rows and
    tasks are as they were; counts and statistics are computed anew. The result is examined and
    opened by lerobot itself before it gets its name, so `target` is complete or not there.

    Args:
        root: the damaged dataset; it is only read.
        target: a folder that is not there yet, outside `root`.
        disk: what writes.

    Raises:
        StorageError: there is no whole episode, `target` is in the way, the disk failed, or what
            was written does not open.
        DependencyError: lerobot is not installed.
    """
    disk = disk or Disk()
    _check_target(root, target)
    library()
    found = diagnose(root)
    info, episodes, whole = found.info, found.episodes, found.prefix
    if info is None or episodes is None or not whole:
        raise StorageError(f"{root}: no whole episode to repair from; {_first_problem(found)}")
    with made_aside(target, disk) as written:
        _Writer(root, written, disk).write(info, episodes, whole)
        _verify(written, whole)
    return whole


def _check_target(root: Path, target: Path) -> None:
    if target.exists():
        raise StorageError(f"{target} is there already; name a folder that is not")
    home, aside = root.resolve(), target.resolve()
    if aside.is_relative_to(home) or home.is_relative_to(aside):
        raise StorageError(f"{target} lies within {root}; name a folder outside of it")


def _first_problem(found: Diagnosis) -> str:
    findings = found.findings
    return f"{findings[0].path}: {findings[0].problem}" if findings else "it is empty"


class _Writer:
    """Writes one dataset folder; its files are durable, their names are the caller's business."""

    def __init__(self, root: Path, target: Path, disk: Disk) -> None:
        self._root = root
        self._target = target
        self._disk = disk

    def write(self, info: Info, episodes: Episodes, whole: int) -> None:
        frames = int(episodes.stop[whole - 1])
        self._disk.make_dir(self._target)
        data = list(dict.fromkeys(sorted(episodes.data[:whole], key=PurePosixPath)))
        self._write_parquets(data, frames)
        tables = [name for name, _ in episodes.sources]
        self._write_parquets(tables, whole)
        for clips in episodes.clips.values():
            for name in dict.fromkeys(clips.files[:whole]):
                self._copy(name)
        for name in self._further_metadata():
            self._copy(name)
        self._write_sidecar(whole)
        self._write_json(INFO, _new_info(info, whole, frames, count_tasks(self._target)))
        self._write_json(STATS, statistics(self._target, data, tables, info))

    def _further_metadata(self) -> list[str]:
        """Return the files in meta/ itself that hold for any number of episodes."""
        kept = [
            f"meta/{path.name}"
            for path in sorted((self._root / "meta").iterdir())
            if path.is_file()
        ]
        return [name for name in kept if name not in (INFO, STATS)]

    def _write_sidecar(self, whole: int) -> None:
        """Keep what our own export stored beside LeRobot's, if it is sound: a row an episode."""
        if not (self._root / SPEC_FILE).is_file():
            return
        try:
            inside(self._root, SPEC_FILE)
            kept, data = self._cut(EPISODES_FILE, whole)
        except (DamageError, OSError, arrow().ArrowException) as error:
            _log.warning("left out of the repaired copy: %s", error)
            return
        if kept == whole:
            self._copy(SPEC_FILE)
            self._disk.write_file(self._place(EPISODES_FILE), data)
        else:
            _log.warning("left out of the repaired copy: %s has %d rows", EPISODES_FILE, kept)

    def _write_parquets(self, names: list[str], rows: int) -> None:
        """Write the first `rows` rows of a run of files, row group by row group."""
        for name in names:
            if rows <= 0:
                return
            kept, data = self._cut(name, rows)
            rows -= kept
            self._disk.write_file(self._place(name), data)

    def _cut(self, name: str, rows: int) -> tuple[int, bytes]:
        parquet = arrow("pyarrow.parquet")
        file = open_parquet(self._root, name, Kind.WRONG_FILE)
        kept, out = 0, io.BytesIO()
        try:
            with parquet.ParquetWriter(out, file.schema_arrow, compression="snappy") as writer:
                for group in range(file.metadata.num_row_groups):
                    table = file.read_row_group(group).slice(0, rows - kept)
                    if table.num_rows:
                        writer.write_table(table)
                        kept += table.num_rows
        finally:
            file.close()
        return kept, out.getvalue()

    def _copy(self, name: str) -> None:
        descriptor = self._disk.open_new(self._place(name))
        try:
            with inside(self._root, name).open("rb") as source:
                while block := source.read(_BLOCK):
                    self._disk.write(descriptor, block)
            self._disk.sync(descriptor)
        finally:
            os.close(descriptor)

    def _write_json(self, name: str, content: dict[str, Any]) -> None:
        self._disk.write_file(self._place(name), json.dumps(content, indent=4).encode())

    def _place(self, name: str) -> Path:
        """Return where a file goes, its folder made."""
        path = self._target / name
        self._disk.make_dirs(path.parent)
        return path


def _new_info(info: Info, whole: int, frames: int, tasks: int) -> dict[str, Any]:
    return {
        **info.raw,
        "total_episodes": whole,
        "total_frames": frames,
        "total_tasks": tasks,
        "splits": {"train": f"0:{whole}"},
    }


def _verify(written: Path, whole: int) -> None:
    """Examine what was written, then have lerobot open it and read every episode's ends.

    Raises:
        StorageError: either does not succeed.
    """
    found = diagnose(written, decode=False)
    if found.prefix != whole or found.info is None or found.episodes is None:
        raise StorageError(f"the repaired copy is not whole: {_first_problem(found)}")
    loaded = open_dataset(written, "local/repaired", written.with_name(f"{written.name}.cache"))
    try:
        for start, stop in zip(found.episodes.start, found.episodes.stop, strict=True):
            for row in (int(start), int(stop) - 1):
                loaded[row]
        seen = len(loaded)
    except _LOADER_ERRORS as error:
        raise StorageError(f"lerobot does not read the repaired copy: {error}") from error
    if seen != found.info.frames:
        raise StorageError(f"lerobot sees {seen} frames, expected {found.info.frames}")
