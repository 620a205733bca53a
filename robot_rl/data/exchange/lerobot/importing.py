"""Episodes out of a LeRobot v3 dataset in a local folder; no hub is ever asked.

Datasets that this project exported come back as they were; see `foreign` for others.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robot_rl.core.episode import Episode
from robot_rl.core.errors import ContractError
from robot_rl.core.recording import RecordingSpec
from robot_rl.core.types import Image, Vector
from robot_rl.data.exchange.lerobot import format as lf
from robot_rl.data.exchange.lerobot.foreign import Foreign, check_action, understand
from robot_rl.data.exchange.lerobot.layout import read_layout, refusal
from robot_rl.data.exchange.lerobot.library import arrow, open_dataset
from robot_rl.data.exchange.lerobot.sidecar import SPEC_FILE, SidecarReader
from robot_rl.data.exchange.lerobot.table import images_of, numbers_of
from robot_rl.data.exchange.lerobot.video import TOLERANCE_S, read_frames


class LeRobotSource:
    """The episodes of a LeRobot v3 dataset.

    With the sidecar of `export_lerobot` states, actions and flags come back bit by bit and images
    as exactly as they were stored. Without it every step is a demonstration.

    Args:
        root: the dataset's folder.
        robot: the robot's name, for a dataset without sidecar; its `robot_type` where empty.
        task: the task's name likewise; its one task where None.
        scale: SI value of a normalised 1 per action element likewise; the largest |action| of the
            dataset where None.

    Raises:
        StorageError: the folder is not a whole LeRobot v3 dataset, or a path leads out of it.
        ContractError: the names given are not those of the sidecar, or `scale` is too small.
        DependencyError: lerobot is not installed.
    """

    def __init__(
        self,
        root: Path,
        *,
        robot: str = "",
        task: str | None = None,
        scale: Sequence[float] | None = None,
    ) -> None:
        self.root = root
        self._layout = read_layout(root)
        self._origin: SidecarReader | Foreign
        if (root / SPEC_FILE).is_file():
            self._origin = self._sidecar(robot, task, scale)
            self._sizes = lf.numeric_shapes(self._origin.spec)
        else:
            check_action(self._layout)
            self._origin = understand(
                self._layout, robot=robot, task=task, largest=self._largest(), scale=scale
            )
            self._sizes = self._origin.sizes
        self._check_features()

    @property
    def spec(self) -> RecordingSpec:
        """What the episodes have in common."""
        return self._origin.spec

    def __len__(self) -> int:
        return len(self._layout.episodes)

    def episodes(self) -> Iterator[Episode]:
        """Read the episodes in order; the loader keeps a copy of the tables in a temporary folder.

        Raises:
            StorageError: the loader refuses the dataset, or a value, an image or a frame is
                missing or not finite.
        """
        with tempfile.TemporaryDirectory(prefix="robot-rl-", ignore_cleanup_errors=True) as folder:
            dataset = open_dataset(self.root, f"local/{self.root.name}", Path(folder))
            for index in range(len(self)):
                yield self._episode(dataset, index)

    def _episode(self, dataset: Any, index: int) -> Episode:
        row = self._layout.episodes[index]
        start, steps = row["dataset_from_index"], row["length"]
        self._check_place(dataset, index, start, steps)
        numbers = numbers_of(dataset, self._sizes, start, steps)
        images = {
            key: self._images(dataset, key, index, start, steps)
            for key in self.spec.task.observation.images
        }
        return self._origin.episode(index, numbers, images)

    def _check_place(self, dataset: Any, index: int, start: int, steps: int) -> None:
        """The loader pairs rows with frames by these columns, we by counting: both must agree."""
        names = ("episode_index", "frame_index", "timestamp")
        episode, frame, time_s = numbers_of(
            dataset, dict.fromkeys(names, 1), start, steps
        ).values()
        count = np.arange(steps)
        late_s = float(np.abs(time_s - count / self._layout.fps).max())
        if (episode != index).any() or (frame != count).any() or not late_s < TOLERANCE_S:
            raise refusal(
                self.root,
                "data",
                f"rows {start} to {start + steps} of episode {episode[0]}, frame {frame[0]} on, "
                f"up to {late_s:g} s off",
                f"those of episode {index}, frame after frame at {self._layout.fps:g} Hz",
            )

    def _images(self, dataset: Any, key: str, index: int, start: int, steps: int) -> Image:
        image = self.spec.task.observation.images[key]
        if self._layout.features[key]["dtype"] == "image":
            return images_of(dataset, key, start, (steps, image.height, image.width))
        begin_s: float = self._layout.episodes[index][f"videos/{key}/from_timestamp"]
        times_s = begin_s + np.arange(steps) / self._layout.fps
        file = self._layout.video_file(key, index)
        return read_frames(file, times_s, image.height, image.width)

    def _sidecar(
        self, robot: str, task: str | None, scale: Sequence[float] | None
    ) -> SidecarReader:
        sidecar = SidecarReader(self.root)
        spec = sidecar.spec
        known = spec.robot, spec.task.name, spec.task.action.scale
        given = robot or known[0], task or known[1], tuple(scale or known[2])
        if given != known:
            raise ContractError(
                f"{self.root / SPEC_FILE}: robot, task and scale are {known}, given were {given}; "
                "leave them out for a dataset that robot_rl exported"
            )
        if len(sidecar) != len(self):
            raise refusal(
                self.root,
                SPEC_FILE,
                f"{len(sidecar)} episodes in the sidecar",
                f"{len(self)} of meta/episodes (move robot_rl/ away to import without it)",
            )
        return sidecar

    def _check_features(self) -> None:
        images = self.spec.task.observation.images
        for key in (*self._sizes, *images):
            if key not in self._layout.features:
                raise refusal(self.root, "meta/info.json", f"no feature {key!r}", "what it had")
        for key, size in self._sizes.items():
            shape = self._layout.features[key]["shape"]
            if shape != [size]:
                raise refusal(self.root, "meta/info.json", f"{key} of shape {shape}", f"[{size}]")

    def _largest(self) -> Vector:
        """Largest |action| per element over the dataset, float32[d]."""
        _, parquet = arrow()
        size = int(self._layout.features[lf.ACTION]["shape"][0])
        largest = np.zeros(size, np.float32)
        for file in self._layout.data_files:
            name = str(file.relative_to(self.root))
            try:
                column = parquet.read_table(file, columns=[lf.ACTION], partitioning=None)[0]
                rows = np.asarray(column.to_pylist(), np.float32).reshape(len(column), size)
            except (OSError, ValueError, TypeError, LookupError) as error:
                raise refusal(
                    self.root, name, f"action: {error}", f"{size} numbers a row"
                ) from error
            if not np.isfinite(rows).all():
                raise refusal(self.root, name, "an action that is not finite", "finite numbers")
            largest = np.maximum(largest, np.abs(rows).max(axis=0, initial=0))
        return largest
