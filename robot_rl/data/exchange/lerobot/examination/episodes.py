"""The episodes table of a LeRobot v3 dataset: where the frames of each episode lie."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from robot_rl.data.exchange.lerobot.examination.damage import Chart, DamageError, Kind
from robot_rl.data.exchange.lerobot.examination.files import (
    EPISODES,
    INFO,
    fill,
    listed,
    read_table,
)
from robot_rl.data.exchange.lerobot.examination.layout import (
    Floats,
    Info,
    Integers,
    integers,
    reals,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clips:
    """Where each episode lies in the videos of one camera.

    Args:
        files: relative path per episode; empty if it cannot be told.
        start_s: seconds from the start of the video, one per episode.
        stop_s: likewise, exclusive.
    """

    files: list[str]
    start_s: Floats
    stop_s: Floats


@dataclass(slots=True, kw_only=True)
class Episodes:
    """The episodes table, one entry per row read.

    Args:
        sources: relative path of the file and its number of rows, in order.
        number: episode_index.
        length: in frames.
        start: dataset_from_index.
        stop: dataset_to_index, exclusive.
        data: relative path of the data file per episode; empty if it cannot be told.
        clips: by camera.
    """

    number: Integers
    length: Integers
    start: Integers
    stop: Integers
    sources: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    data: list[str] = field(default_factory=list[str])
    clips: dict[str, Clips] = field(default_factory=dict[str, Clips])

    def __len__(self) -> int:
        return len(self.number)

    def source(self, root: Path, episode: int) -> Path:
        """Return the file that the row of an episode is in."""
        for relative, rows in self.sources:
            if episode < rows:
                return root / relative
            episode -= rows
        return root / EPISODES


def read_episodes(root: Path, info: Info, chart: Chart) -> Episodes:
    """Read the episodes table up to its first unreadable file; what is wrong goes on the chart."""
    parts: list[Episodes] = []
    rows = 0
    names = listed(root, EPISODES, chart)
    if not names and info.episodes:
        chart.note(
            Kind.NO_EPISODES,
            root / EPISODES,
            f"no parquet file, expected those of {info.episodes} episodes",
            breaks=0,
        )
    readable = True
    for name in names:
        try:
            table = read_table(root, name, Kind.NO_EPISODES)
            part = _part(root, info, name, table, rows, chart) if readable else None
        except DamageError as error:
            chart.note(error.kind, error.path, error.text, breaks=rows)
            readable = False
            continue
        if part is not None:
            parts.append(part)
            rows += len(part)
    return _joined(parts, info.cameras)


def _part(root: Path, info: Info, name: str, table: Any, first: int, chart: Chart) -> Episodes:
    path = root / name
    clips: dict[str, Clips] = {}
    for key in info.cameras:
        clips[key] = Clips(
            files=_files(root, info.video_path, table, path, f"videos/{key}", first, chart, key),
            start_s=reals(table, f"videos/{key}/from_timestamp", path),
            stop_s=reals(table, f"videos/{key}/to_timestamp", path),
        )
    return Episodes(
        number=integers(table, "episode_index", path),
        length=integers(table, "length", path),
        start=integers(table, "dataset_from_index", path),
        stop=integers(table, "dataset_to_index", path),
        sources=[(name, table.num_rows)],
        data=_files(root, info.data_path, table, path, "data", first, chart),
        clips=clips,
    )


def _files(
    root: Path,
    template: str,
    table: Any,
    path: Path,
    prefix: str,
    first: int,
    chart: Chart,
    camera: str = "",
) -> list[str]:
    """Return the path that each row of the table points to; empty where it points nowhere."""
    chunks = integers(table, f"{prefix}/chunk_index", path).tolist()
    files = integers(table, f"{prefix}/file_index", path).tolist()
    found: list[str] = []
    for row, (chunk, file) in enumerate(zip(chunks, files, strict=True)):
        name = {"video_key": camera} if camera else {}
        try:
            found.append(fill(root, template, chunk_index=chunk, file_index=file, **name))
        except DamageError as error:
            where = path if error.kind is Kind.WRONG_FILE else error.path
            chart.note_episode(error.kind, where, error.text, first + row)
            found.append("")
    return found


def _joined(parts: list[Episodes], cameras: list[str]) -> Episodes:
    def column(name: str) -> Integers:
        return np.concatenate([np.empty(0, np.int64), *(getattr(part, name) for part in parts)])

    return Episodes(
        number=column("number"),
        length=column("length"),
        start=column("start"),
        stop=column("stop"),
        sources=[source for part in parts for source in part.sources],
        data=[name for part in parts for name in part.data],
        clips={key: _joined_clips([part.clips[key] for part in parts]) for key in cameras},
    )


def _joined_clips(parts: list[Clips]) -> Clips:
    return Clips(
        files=[name for part in parts for name in part.files],
        start_s=np.concatenate([np.empty(0), *(part.start_s for part in parts)]),
        stop_s=np.concatenate([np.empty(0), *(part.stop_s for part in parts)]),
    )


def check_episodes(root: Path, episodes: Episodes, chart: Chart) -> None:
    """Check that episodes are numbered from 0 and follow each other without gap."""
    for row in range(len(episodes)):
        path = episodes.source(root, row)
        if episodes.number[row] != row:
            said = f"row {row} is episode {episodes.number[row]}, expected {row}"
            chart.note_episode(Kind.EPISODE_INDEX, path, said, row)
        start, stop, length = episodes.start[row], episodes.stop[row], episodes.length[row]
        expected = episodes.stop[row - 1] if row else 0
        if start != expected or stop - start != length or length < 1:
            chart.note_episode(
                Kind.INDEX_RANGE,
                path,
                f"frames {start} to {stop} for a length of {length}, "
                f"expected {expected} to {expected + length}",
                row,
            )


def check_totals(root: Path, info: Info, episodes: Episodes, chart: Chart) -> None:
    """Check what info.json counts against the episodes table."""
    frames = int(episodes.length.sum())
    if info.episodes != len(episodes) or info.frames != frames:
        chart.note(
            Kind.COUNT,
            root / INFO,
            f"{info.episodes} episodes of {info.frames} frames, "
            f"expected the {len(episodes)} of {frames} of the episodes table",
        )
