"""Whether a written dataset, opened by LeRobot's own loader, is what went in.

Every number is compared bit by bit, the place and time of every frame in every video, and of
every episode the first and the last frame, and one in a hundred, as the loader decodes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.episode import Episode
from robot_rl.core.errors import StorageError
from robot_rl.core.recording import RecordingSpec
from robot_rl.core.types import Image
from robot_rl.data.exchange.lerobot import format as lf
from robot_rl.data.exchange.lerobot.library import open_dataset
from robot_rl.data.exchange.lerobot.sidecar import digest
from robot_rl.data.exchange.lerobot.table import numbers_of
from robot_rl.data.exchange.lerobot.video import frame_numbers

_EVERY = 100
"""Of so many frames one is compared as a picture, and the last."""
_CELLS = 16
_CELL_PIXELS = 8
_MAX_DIFFERENCE = 12.0
"""Mean difference of the means of cells, in levels of 255. Compression keeps means; frames of
another camera, another episode or in another order of colours do not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What must be read back of one episode.

    Args:
        steps: its length.
        digest: of its numbers.
        thumbnails: `{t: {camera: float32[rows, columns, 3]}}` of some instants.
    """

    steps: int
    digest: str
    thumbnails: Mapping[int, Mapping[str, NDArray[np.float32]]]

    @classmethod
    def of(cls, episode: Episode, numbers: Mapping[str, NDArray[Any]]) -> Expected:
        """Note what matters of an episode, in little memory."""
        steps = len(episode)
        return cls(
            steps=steps,
            digest=digest(numbers),
            thumbnails={
                t: {key: thumbnail(images[t]) for key, images in episode.images.items()}
                for t in sorted({*range(0, steps, _EVERY), steps - 1})
            },
        )


def thumbnail(image: Image) -> NDArray[np.float32]:
    """Means of uint8[h, w, 3] over a grid: at most 16 x 16 cells of at least 8 x 8 pixels."""
    cells = (min(_CELLS, max(1, n // _CELL_PIXELS)) for n in image.shape[:2])
    sides = zip(image.shape[:2], cells, strict=True)
    rows, columns = (np.linspace(0, n, count + 1).astype(int) for n, count in sides)
    sums = np.add.reduceat(image.astype(np.float32), rows[:-1], axis=0)
    sums = np.add.reduceat(sums, columns[:-1], axis=1)
    sizes = np.diff(rows)[:, None, None] * np.diff(columns)[None, :, None]
    return (sums / sizes).astype(np.float32)


def verify(
    root: Path, spec: RecordingSpec, repo_id: str, expected: list[Expected], cache_dir: Path
) -> None:
    """Open the dataset with the loader and compare.

    Args:
        root: the dataset.
        spec: of the recording.
        repo_id: its name.
        expected: of every episode, in order.
        cache_dir: for the loader's copy of the tables.

    Raises:
        StorageError: naming the first difference.
    """
    dataset = open_dataset(root, repo_id, cache_dir)
    counts = dataset.num_episodes, dataset.num_frames, len(dataset)
    steps = sum(e.steps for e in expected)
    if counts != (len(expected), steps, steps):
        raise _wrong(root, f"{counts} episodes, frames and rows", f"{len(expected)}, {steps}")
    _check_videos(root, dataset)
    table: dict[str, list[Any]] = dataset.meta.episodes[:]
    start = 0
    for index, episode in enumerate(expected):
        place = tuple(table[f"dataset_{end}_index"][index] for end in ("from", "to"))
        if place != (start, start + episode.steps) or table["length"][index] != episode.steps:
            raise _wrong(root, f"episode {index} at {place}", f"{episode.steps} steps at {start}")
        numbers = numbers_of(dataset, lf.numeric_shapes(spec), start, episode.steps)
        if digest(numbers) != episode.digest:
            raise _wrong(root, f"other numbers in episode {index}", "those of the recording")
        for t, cameras in episode.thumbnails.items():
            _check_item(root, dataset[start + t], (index, t), cameras, spec)
        start += episode.steps


def _check_videos(root: Path, dataset: Any) -> None:
    frames: dict[Path, int] = {}
    table: dict[str, list[Any]] = dataset.meta.episodes[:]
    for key in dataset.meta.video_keys:
        begins_s = table[f"videos/{key}/from_timestamp"]
        for index, (begin_s, steps) in enumerate(zip(begins_s, table["length"], strict=True)):
            path = root / dataset.meta.get_video_file_path(index, key)
            start = frames.get(path, 0)
            if begin_s != start / dataset.fps:
                raise _wrong(path, f"episode {index} at {begin_s} s", f"frame {start}")
            frames[path] = start + steps
    for path, count in frames.items():
        if frame_numbers(path, dataset.fps) != list(range(count)):
            raise _wrong(path, "other frames", f"{count}, one a period")


def _check_item(
    root: Path,
    item: Mapping[str, Any],
    place: tuple[int, int],
    cameras: Mapping[str, NDArray[np.float32]],
    spec: RecordingSpec,
) -> None:
    got = int(item["episode_index"]), int(item["frame_index"])
    if got != place or item["task"] != lf.task_text(spec):
        raise _wrong(root, f"episode and frame {got}, task {item['task']!r}", f"{place}")
    for key, seen in cameras.items():
        image = item[key].numpy().transpose(1, 2, 0)
        scaled = np.rint(image * 255) if image.dtype != np.uint8 else image
        difference = float(np.abs(thumbnail(scaled.astype(np.uint8)) - seen).mean())
        if difference > _MAX_DIFFERENCE:
            raise _wrong(
                root,
                f"{key} of episode and frame {place} differs by {difference:.1f} levels",
                f"at most {_MAX_DIFFERENCE:g} (if the codec loses that much, export with images: "
                "video=False)",
            )


def _wrong(path: Path, got: str, expected: str) -> StorageError:
    return StorageError(
        f"{path}: the written dataset does not read back as it should: {got}, expected "
        f"{expected}; nothing was kept. Check the disk and the version of lerobot, try again"
    )
