"""A LeRobot v3 dataset that anybody may have made: what it says of itself, checked before use.

Whatever is named in the metadata must lie in the dataset's folder. Nothing is mended here: that
is for `robot-rl data doctor`.
"""

from __future__ import annotations

import json
import math
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from robot_rl.core.errors import StorageError
from robot_rl.data.exchange.lerobot.library import arrow

INFO_FILE = "meta/info.json"
TASKS_FILE = "meta/tasks.parquet"
_INDICES = {"chunk_index", "file_index"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A dataset whose files are where its metadata say.

    Args:
        root: the folder.
        fps: frames per second [Hz].
        robot: `robot_type`; empty if it says none.
        features: name to dtype, shape and names.
        episodes: a row an episode: index, length, tasks, where its frames lie.
        data_files: the tables, in order.
    """

    root: Path
    fps: float
    robot: str
    features: Mapping[str, dict[str, Any]]
    episodes: tuple[dict[str, Any], ...]
    data_files: tuple[Path, ...]
    video_path: str

    def video_file(self, key: str, episode: int) -> Path:
        """The file in which a camera's frames of an episode lie."""
        row = self.episodes[episode]
        place = {n: int(row[f"videos/{key}/{n}"]) for n in _INDICES}
        return self.root / self.video_path.format(video_key=key, **place)


def refusal(root: Path, file: str, got: str, expected: str) -> StorageError:
    """What is wrong with a dataset, and the command that helps."""
    return StorageError(
        f"{root / file}: {got}; expected {expected}; run: robot-rl data doctor {root}"
    )


def read_layout(root: Path) -> Layout:
    """Read and check the metadata of a dataset.

    Raises:
        StorageError: it is not LeRobot v3, a file is missing or damaged, or a path leads out of
            the folder.
        DependencyError: pyarrow is not installed.
    """
    info = _info(root)
    features = _features(root, info)
    names = {"data_path": _INDICES, "video_path": {*_INDICES, "video_key"}}
    paths = {name: _template(root, info, name, fields) for name, fields in names.items()}
    rows = _episodes(root, features)
    data_files = tuple(sorted((root / "data").glob("*/*.parquet")))
    layout = Layout(
        root=root,
        fps=_fps(root, info),
        robot=str(info.get("robot_type") or ""),
        features=features,
        episodes=tuple(rows),
        data_files=data_files,
        video_path=paths["video_path"],
    )
    for file in _files(layout, paths["data_path"]):
        _check_inside(root, file)
    _check_counts(layout, info)
    return layout


def _info(root: Path) -> dict[str, Any]:
    if not (root / INFO_FILE).is_file():
        raise refusal(root, INFO_FILE, "no such file", "the folder of a LeRobot v3 dataset")
    _check_inside(root, root / INFO_FILE)
    try:
        info: Any = json.loads((root / INFO_FILE).read_text())
    except (OSError, ValueError) as error:
        raise refusal(root, INFO_FILE, f"not readable: {error}", "JSON") from error
    content = cast(dict[str, Any], info) if isinstance(info, dict) else {}
    version = str(content.get("codebase_version"))
    if not version.startswith("v3."):
        raise refusal(
            root,
            INFO_FILE,
            f"codebase_version {version}",
            "v3.0 (datasets of v2.1 are converted by "
            "python -m lerobot.scripts.convert_dataset_v21_to_v30)",
        )
    return content


def _fps(root: Path, info: Mapping[str, Any]) -> float:
    fps = info.get("fps")
    if isinstance(fps, bool) or not isinstance(fps, int | float) or not 0 < fps < math.inf:
        raise refusal(root, INFO_FILE, f"fps {fps!r}", "a positive number")
    return fps


def _features(root: Path, info: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    features = info.get("features")
    if not isinstance(features, dict) or not features:
        raise refusal(root, INFO_FILE, "no features", "name, dtype and shape of every column")
    for name, feature in cast(dict[str, Any], features).items():
        known = cast(dict[str, Any], feature) if isinstance(feature, dict) else {}
        shape: Any = known.get("shape")
        whole = isinstance(shape, list) and all(type(n) is int for n in cast(list[Any], shape))
        if not whole or not isinstance(known.get("dtype"), str):
            raise refusal(root, INFO_FILE, f"feature {name!r} is {feature!r}", "dtype and shape")
    return cast(dict[str, dict[str, Any]], features)


def _template(root: Path, info: Mapping[str, Any], name: str, fields: set[str]) -> str:
    """A path with places for indices in plain digits, under the root, and nothing else."""
    template = info.get(name) or ""
    try:
        parts = list(string.Formatter().parse(str(template)))
    except ValueError:
        parts = [("", "broken braces", "", None)]
    unknown = {field for _, field, _, _ in parts if field is not None} - fields
    if unknown or Path(str(template)).is_absolute() or ".." in Path(str(template)).parts:
        raise refusal(
            root, INFO_FILE, f"{name} {template!r}", "a path under the dataset, with indices alone"
        )
    return str(template)


def _episodes(root: Path, features: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    _, parquet = arrow()
    files = sorted((root / "meta/episodes").glob("*/*.parquet"))
    if not files or not (root / TASKS_FILE).is_file():
        missing = "meta/episodes" if not files else TASKS_FILE
        raise refusal(root, missing, "no such file", "the list of episodes and that of tasks")
    videos = [k for k, f in features.items() if f["dtype"] == "video"]
    columns = ["episode_index", "tasks", "length", "dataset_from_index", "dataset_to_index"]
    columns += ["data/chunk_index", "data/file_index"]
    for key in videos:
        columns += [f"videos/{key}/{n}" for n in (*sorted(_INDICES), "from_timestamp")]
    rows: list[dict[str, Any]] = []
    for file in files:
        _check_inside(root, file)
        try:
            rows += parquet.read_table(file, columns=columns, partitioning=None).to_pylist()
        except (OSError, ValueError, LookupError) as error:
            raise refusal(root, str(file.relative_to(root)), str(error), "a table") from error
    for row in rows:
        absent = [c for c in columns if row.get(c) is None]
        if absent:
            raise refusal(root, "meta/episodes", f"an episode without {absent[0]}", "a value")
    return rows


def _files(layout: Layout, data_path: str) -> Iterator[Path]:
    root = layout.root
    yield from layout.data_files
    yield root / TASKS_FILE
    if (root / "meta/stats.json").exists():
        yield root / "meta/stats.json"
    videos = [k for k, f in layout.features.items() if f["dtype"] == "video"]
    found: set[Path] = set()
    for index, row in enumerate(layout.episodes):
        place = {n: int(row[f"data/{n}"]) for n in _INDICES}
        found.add(root / data_path.format(**place))
        found |= {layout.video_file(key, index) for key in videos}
    yield from sorted(found)


def _check_inside(root: Path, file: Path) -> None:
    inside = file.resolve().is_relative_to(root.resolve()) and ".." not in file.parts
    name = str(file.relative_to(root)) if file.is_relative_to(root) else str(file)
    if not inside:
        raise refusal(
            root, name, f"it leads to {file.resolve()}", f"a file within {root}, no link out of it"
        )
    if not file.is_file():
        raise refusal(root, name, "no such file", "what the list of episodes names")


def _check_counts(layout: Layout, info: Mapping[str, Any]) -> None:
    _, parquet = arrow()
    frames = 0
    for index, row in enumerate(layout.episodes):
        end = frames + row["length"]
        place = row["episode_index"], row["dataset_from_index"], row["dataset_to_index"]
        if row["length"] < 1 or place != (index, frames, end):
            raise refusal(
                layout.root,
                "meta/episodes",
                f"episode, first and last row {place} of {row['length']}",
                f"{(index, frames, end)}",
            )
        frames = end
    counts = info.get("total_episodes"), info.get("total_frames")
    if counts != (len(layout.episodes), frames) or not frames:
        raise refusal(
            layout.root,
            INFO_FILE,
            f"{counts} episodes and frames",
            f"{len(layout.episodes)}, {frames} of meta/episodes, and more than none",
        )
    rows = 0
    for file in layout.data_files:
        try:
            rows += parquet.read_metadata(file).num_rows
        except (OSError, ValueError) as error:
            name = str(file.relative_to(layout.root))
            raise refusal(layout.root, name, str(error), "a parquet table") from error
    if rows != frames:
        raise refusal(layout.root, "data", f"{rows} rows", f"{frames} of meta/episodes")
