"""The metadata of a LeRobot v3 dataset: info.json and the tasks; `episodes.py` has the rest.

Layout (lerobot 0.6.1): meta/info.json, meta/stats.json, meta/tasks.parquet,
meta/episodes/chunk-*/file-*.parquet (one row per episode), data/chunk-*/file-*.parquet (one row
per frame), videos/<camera>/chunk-*/file-*.mp4 (episodes one after the other).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from robot_rl.data.exchange.lerobot.examination.damage import DamageError, Kind
from robot_rl.data.exchange.lerobot.examination.files import (
    INFO,
    TASKS,
    arrow,
    check_plain,
    fill,
    read_json,
    read_table,
)

VERSION = "v3.0"
BOOKKEEPING = ("timestamp", "frame_index", "episode_index", "index", "task_index")
"""The features that every dataset has."""
NUMBERS = (
    "bool",
    *("float16", "float32", "float64"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
)
_DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
_VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
_OTHER = ("image", "language", "string", "video")

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One column, or one camera.

    Args:
        dtype: a numpy name, or "image", "video", "string", "language".
        shape: of one frame's value; (1,) is stored as a scalar.
    """

    dtype: str
    shape: tuple[int, ...]

    @property
    def height_width(self) -> tuple[int, int]:
        """Size of a picture in pixels, whichever end the channels are at."""
        first, middle, last = self.shape
        channels_first = first in (1, 3, 4) and last not in (1, 3, 4)
        return (middle, last) if channels_first else (first, middle)


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """What info.json says.

    Args:
        fps: frames per second.
        episodes: how many there are said to be.
        frames: how many there are said to be.
        raw: all of it, as read.
    """

    fps: float
    episodes: int
    frames: int
    features: dict[str, Feature]
    data_path: str
    video_path: str
    raw: dict[str, Any]

    @property
    def cameras(self) -> list[str]:
        """Keys of the features that are stored as video."""
        return [key for key, feature in self.features.items() if feature.dtype == "video"]


def read_info(root: Path) -> Info:
    """Read info.json.

    Raises:
        DamageError: it is missing, of another version, or makes no sense.
    """
    raw = read_json(root, INFO, Kind.NO_INFO)
    _check_version(root, raw.get("codebase_version"))
    fps = raw.get("fps")
    if isinstance(fps, bool) or not isinstance(fps, int | float) or not 0 < fps < 1e6:
        raise _bad(root, "fps", fps, "frames per second above 0")
    info = Info(
        fps=float(fps),
        episodes=_count(root, raw, "total_episodes"),
        frames=_count(root, raw, "total_frames"),
        features=_features(root, raw.get("features")),
        data_path=_template(root, raw, "data_path", _DATA_PATH),
        video_path=_template(root, raw, "video_path", _VIDEO_PATH),
        raw=raw,
    )
    check_plain(root, fill(root, info.data_path, chunk_index=0, file_index=0))
    for key in info.cameras:
        if not info.video_path:
            raise _bad(
                root, "video_path", raw["video_path"], f"a template, for {key!r} is a video"
            )
        check_plain(root, fill(root, info.video_path, video_key=key, chunk_index=0, file_index=0))
    return info


def _bad(root: Path, key: str, got: object, expected: str) -> DamageError:
    return DamageError(Kind.NO_INFO, root / INFO, f"{key} is {got!r}, expected {expected}")


def _check_version(root: Path, version: object) -> None:
    if version == VERSION:
        return
    said = f"{version!r}, expected {VERSION!r}"
    if version == "v2.1":
        said += f"; `python -m lerobot.scripts.convert_dataset_v21_to_v30 --root {root}` converts"
    elif str(version).startswith(("v1", "v2")):
        said += (
            "; first to v2.1 with the converters of lerobot before 0.4, "
            "then with lerobot.scripts.convert_dataset_v21_to_v30"
        )
    raise DamageError(Kind.VERSION, root / INFO, said)


def _count(root: Path, raw: dict[str, Any], key: str) -> int:
    value = raw.get(key, 0)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise _bad(root, key, value, "a count")
    return value


def _template(root: Path, raw: dict[str, Any], key: str, usual: str) -> str:
    value = raw.get(key, usual)
    if value is not None and not isinstance(value, str):
        raise _bad(root, key, value, "a path template")
    return value or ""


def _features(root: Path, raw: object) -> dict[str, Feature]:
    if not isinstance(raw, dict):
        raise _bad(root, "features", raw, "an object")
    features = {
        key: _feature(root, key, value) for key, value in cast(dict[str, object], raw).items()
    }
    absent = sorted(set(BOOKKEEPING) - set(features))
    if absent:
        raise DamageError(Kind.FEATURE, root / INFO, f"without {absent}, expected {BOOKKEEPING}")
    return features


def _feature(root: Path, key: str, raw: object) -> Feature:
    described = cast(dict[str, Any], raw) if isinstance(raw, dict) else {}
    dtype, shape = described.get("dtype"), described.get("shape")
    sound = isinstance(shape, list) and all(
        isinstance(size, int) and 0 < size < 1e6 for size in cast(list[object], shape)
    )
    picture = dtype in ("image", "video")
    if not sound or dtype not in (*NUMBERS, *_OTHER) or (picture and len(cast(Any, shape)) != 3):
        raise DamageError(
            Kind.FEATURE,
            root / INFO,
            f"{key!r} is {raw!r}, expected a known dtype and the shape of one frame",
        )
    if "/" in key or key in ("", ".", ".."):
        raise DamageError(Kind.UNSAFE_PATH, root / INFO, f"feature {key!r}, expected a plain name")
    return Feature(dtype=str(dtype), shape=tuple(cast(list[int], shape)))


def count_tasks(root: Path) -> int:
    """Return the number of tasks; the frames' task_index counts the rows of this table.

    Raises:
        DamageError: the table is missing, unreadable or out of order.
    """
    table = read_table(root, TASKS, Kind.TASKS)
    numbers = integers(table, "task_index", root / TASKS)
    if numbers.tolist() != list(range(len(numbers))):
        raise DamageError(
            Kind.TASKS,
            root / TASKS,
            f"task_index {numbers.tolist()[:10]}, expected 0 to {len(numbers) - 1} in order",
        )
    return len(numbers)


def integers(table: Any, name: str, path: Path) -> Integers:
    """Return a column of whole numbers.

    Raises:
        DamageError: it is missing, of another type, or has gaps.
    """
    return _column(table, name, path, "is_integer").astype(np.int64)


def reals(table: Any, name: str, path: Path) -> Floats:
    """Return a column of numbers; raises as `integers`."""
    return _column(table, name, path, "is_floating").astype(np.float64)


def _column(table: Any, name: str, path: Path, test: str) -> npt.NDArray[Any]:
    if name not in table.column_names:
        raise DamageError(Kind.FEATURE, path, f"no column {name!r}, expected one")
    column = table.column(name)
    if not getattr(arrow().types, test)(column.type) or column.null_count:
        raise DamageError(
            Kind.FEATURE,
            path,
            f"column {name!r} is {column.type} with {column.null_count} gaps, expected numbers",
        )
    return column.to_numpy()


def frame_tolerance_s(times_s: Floats) -> Floats:
    """Return what a timestamp may be off by: the loader's 1e-4 s, or what float32 rounds away."""
    return np.maximum(1e-4, np.abs(np.spacing(times_s.astype(np.float32))).astype(np.float64))
