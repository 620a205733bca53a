"""Checks of the data files' rows: that each episode has its frames, in order, at their times."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from robot_rl.data.exchange.lerobot.examination.columns import check_schema, faulty_rows
from robot_rl.data.exchange.lerobot.examination.damage import Chart, DamageError, Kind
from robot_rl.data.exchange.lerobot.examination.episodes import Episodes
from robot_rl.data.exchange.lerobot.examination.files import DATA, arrow, listed, open_parquet
from robot_rl.data.exchange.lerobot.examination.layout import (
    Floats,
    Info,
    Integers,
    frame_tolerance_s,
    integers,
    reals,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The bookkeeping of consecutive frames.

    Args:
        episode: episode_index.
        frame: frame_index, from 0 in each episode.
        index: place in the whole dataset.
        task: task_index.
        time_s: timestamp, from 0 in each episode.
        fault: as `faulty_rows`.
        bounds: file and the number of rows up to its end, in order.
    """

    episode: Integers
    frame: Integers
    index: Integers
    task: Integers
    time_s: Floats
    fault: npt.NDArray[np.int16]
    bounds: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])

    def __len__(self) -> int:
        return len(self.episode)

    def file_of(self, row: int) -> str:
        """Return the file that holds a row."""
        return next((name for name, end in self.bounds if row < end), "")


def check_rows(
    root: Path, info: Info, episodes: Episodes, tasks: int | None, chart: Chart
) -> None:
    """Check all data files; what is wrong goes on the chart.

    Args:
        root: the dataset.
        info: what info.json says.
        episodes: the table.
        tasks: how many there are; None if that cannot be told.
        chart: the chart.
    """
    rows, unread = _read_files(root, info, episodes, chart)
    frames = int(episodes.length.sum())
    if not unread and len(rows) != frames:
        said = f"{len(rows)} rows in the data files, expected the {frames} of the episodes table"
        chart.note(Kind.COUNT, root / DATA, said)
    found, first, counts = np.unique(rows.episode, return_index=True, return_counts=True)
    places = {int(e): (int(f), int(n)) for e, f, n in zip(found, first, counts, strict=True)}
    for episode in range(len(episodes)):
        if episodes.data[episode] and episodes.data[episode] not in unread:
            begin, count = places.get(episode, (0, 0))
            _check_episode(root, info, episodes, episode, rows, begin, count, chart)
            if tasks is not None:
                _check_tasks(root, rows, begin, count, tasks, chart)


def _read_files(root: Path, info: Info, episodes: Episodes, chart: Chart) -> tuple[Rows, set[str]]:
    """Read the data files; return the rows, and the files whose rows could not be had.

    The loader takes every file that lies there, in order of name: one that no episode points to
    and that cannot be read breaks the whole dataset, but no episode is lost with it. Behind one
    that episodes do point to, the place of a row is not known.
    """
    pointed = {name for name in episodes.data if name}
    names = sorted({*listed(root, DATA, chart), *pointed}, key=PurePosixPath)
    parts: list[tuple[str, Rows]] = []
    unread: set[str] = set()
    for place, name in enumerate(names):
        try:
            part = _read_file(root, name, info, chart)
        except DamageError as error:
            if name in pointed:
                unread.update(names[place:])
            lost = [e for e, file in enumerate(episodes.data) if file in unread]
            breaks = min(lost, default=None) if name in pointed else None
            chart.note(error.kind, error.path, error.text, breaks=breaks)
            continue
        if name not in unread:
            parts.append((name, part))
    ends = np.cumsum([len(part) for _, part in parts]).tolist()
    bounds = [(name, end) for (name, _), end in zip(parts, ends, strict=True)]
    return _joined([part for _, part in parts], bounds), unread


def _read_file(root: Path, name: str, info: Info, chart: Chart) -> Rows:
    path = root / name
    file = open_parquet(root, name, Kind.WRONG_FILE)
    try:
        check_schema(path, file.schema_arrow, info, chart)
        groups = range(file.metadata.num_row_groups)
        return _joined([_rows(path, file.read_row_group(group), info) for group in groups], [])
    except (OSError, arrow().ArrowException) as error:
        raise DamageError(Kind.BROKEN_PARQUET, path, f"pages not readable: {error}") from error
    finally:
        file.close()


def _rows(path: Path, table: Any, info: Info) -> Rows:
    return Rows(
        episode=integers(table, "episode_index", path),
        frame=integers(table, "frame_index", path),
        index=integers(table, "index", path),
        task=integers(table, "task_index", path),
        time_s=reals(table, "timestamp", path),
        fault=faulty_rows(path, table, info),
    )


def _joined(parts: list[Rows], bounds: list[tuple[str, int]]) -> Rows:
    def column(name: str, dtype: type[np.generic]) -> npt.NDArray[Any]:
        return np.concatenate([np.empty(0, dtype), *(getattr(part, name) for part in parts)])

    return Rows(
        episode=column("episode", np.int64),
        frame=column("frame", np.int64),
        index=column("index", np.int64),
        task=column("task", np.int64),
        time_s=column("time_s", np.float64),
        fault=column("fault", np.int16),
        bounds=bounds,
    )


def _check_episode(
    root: Path,
    info: Info,
    episodes: Episodes,
    episode: int,
    rows: Rows,
    begin: int,
    count: int,
    chart: Chart,
) -> None:
    """Check one episode, whose rows begin at `begin` in the data."""
    path = root / episodes.data[episode]
    if count != episodes.length[episode]:
        said = f"{count} rows, expected the {episodes.length[episode]} of the episodes table"
        chart.note_episode(Kind.COUNT, path, said, episode)
        return
    _check_place(root, episodes, episode, rows, begin, count, chart)
    span = slice(begin, begin + count)
    frame = np.arange(count)
    if (bad := np.flatnonzero(rows.frame[span] != frame)).size:
        said = f"frame {bad[0]} has frame_index {rows.frame[begin + bad[0]]}, expected {bad[0]}"
        chart.note_episode(Kind.FRAME_INDEX, path, said, episode)
    expected = frame / info.fps
    near = np.abs(rows.time_s[span] - expected) <= frame_tolerance_s(expected)
    if (bad := np.flatnonzero(~near)).size:
        got = rows.time_s[begin + bad[0]]
        said = f"frame {bad[0]} is at {got:.6f} s, expected {expected[bad[0]]:.6f} s"
        chart.note_episode(Kind.TIMESTAMP, path, said, episode)
    if (bad := np.flatnonzero(rows.fault[span])).size:
        key = list(info.features)[int(rows.fault[begin + bad[0]]) - 1]
        picture = info.features[key].dtype == "image"
        said = (
            f"{key!r} at frame {bad[0]}, expected {'a picture' if picture else 'finite numbers'}"
        )
        chart.note_episode(Kind.FEATURE if picture else Kind.NOT_FINITE, path, said, episode)


def _check_place(
    root: Path,
    episodes: Episodes,
    episode: int,
    rows: Rows,
    begin: int,
    count: int,
    chart: Chart,
) -> None:
    """Check that the rows lie together, where the table and their own index say."""
    path, end = root / episodes.data[episode], begin + count
    start, stop = int(episodes.start[episode]), int(episodes.stop[episode])
    if (start, stop) != (begin, end) or (rows.episode[begin:end] != episode).any():
        said = f"the table says frames {start} to {stop}, its rows are {begin} to {end}"
        chart.note_episode(Kind.INDEX_RANGE, episodes.source(root, episode), said, episode)
    if (bad := np.flatnonzero(rows.index[begin:end] != np.arange(begin, end))).size:
        row = begin + int(bad[0])
        said = f"row {row} has index {rows.index[row]}, expected {row}"
        chart.note_episode(Kind.INDEX_RANGE, path, said, episode)
    held = {rows.file_of(begin), rows.file_of(end - 1)} if count else set[str]()
    if held - {episodes.data[episode]}:
        said = f"the table says {episodes.data[episode]}, its rows are in {sorted(held)}"
        chart.note_episode(Kind.WRONG_FILE, episodes.source(root, episode), said, episode)


def _check_tasks(root: Path, rows: Rows, begin: int, count: int, tasks: int, chart: Chart) -> None:
    task = rows.task[begin : begin + count]
    if (bad := np.flatnonzero((task < 0) | (task >= tasks))).size:
        said = f"frame {bad[0]} has task_index {task[bad[0]]}, expected 0 to {tasks - 1}"
        path = root / rows.file_of(begin)
        chart.note_episode(Kind.TASKS, path, said, int(rows.episode[begin]))
