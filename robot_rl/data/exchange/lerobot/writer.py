"""Writes a LeRobot v3 dataset: tables by pyarrow, videos straight from the frames.

Layout, schema and statistics are those of lerobot 0.6's own writer, whose helpers are used for
features, codec settings and file formats; times are worked out from whole frame counts. What is
written becomes a dataset with `close` and not before. Nothing here checks it: `verify`.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.episode import Episode
from robot_rl.core.recording import RecordingSpec
from robot_rl.core.types import Image
from robot_rl.data.exchange.lerobot import format as lf
from robot_rl.data.exchange.lerobot import stats
from robot_rl.data.exchange.lerobot.library import library
from robot_rl.data.exchange.lerobot.sidecar import SidecarWriter, encode_png
from robot_rl.data.exchange.lerobot.video import MAX_FILE_S, VideoWriter
from robot_rl.data.store.format.episode_zarr import check_episode

_MAX_DATA_MB = 100
_MAX_VIDEO_MB = 200
_MB = 1024**2
_EPISODES_A_FILE = 1000


class DatasetWriter:
    """Makes a dataset in a folder that does not exist yet.

    Args:
        root: the folder.
        spec: of the recording.
        repo_id: noted in the sidecar; LeRobot keeps the name outside the dataset.
        video: cameras become videos; otherwise every frame is a PNG in the table.

    Raises:
        ContractError: LeRobot cannot hold this recording.
    """

    def __init__(self, root: Path, spec: RecordingSpec, *, repo_id: str, video: bool) -> None:
        self._lib = lib = library()
        self._root, self._spec = root, spec
        self.fps = lf.frame_rate(spec.task.action)
        features = lf.features(spec, video=video)
        (root / "meta").mkdir(parents=True)
        self._info: Any = lib.features.create_empty_dataset_info(
            lf.VERSION,
            self.fps,
            {**features, **lib.features.DEFAULT_FEATURES},
            video,
            spec.robot or None,
            data_files_size_in_mb=_MAX_DATA_MB,
            video_files_size_in_mb=_MAX_VIDEO_MB,
        )
        hf_features = lib.features.get_hf_features_from_features(self._info.features)
        self._schema = hf_features.arrow_schema
        self._encoder: Any = lib.configs.rgb_encoder_defaults() if video else None
        self._cameras = [_Camera(self, key) for key in spec.task.observation.images if video]
        self._sidecar = SidecarWriter(root, spec, repo_id)
        self._data: _Table | None = None
        self._data_file = 0
        self._rows: list[dict[str, Any]] = []
        self._statistics: list[dict[str, Any]] = []
        self._pool = ThreadPoolExecutor(max_workers=max(1, len(spec.task.observation.images)))

    def add(self, episode: Episode) -> dict[str, NDArray[Any]]:
        """Write an episode; return its features that are numbers.

        Raises:
            ContractError: it does not match the spec, or a number is not finite.
            StorageError: it could not be encoded.
        """
        check_episode(episode, self._spec)
        numbers = lf.columns(episode)
        frames = {key: images[: len(episode)] for key, images in episode.images.items()}
        written = [self._pool.submit(c.write, frames[c.key]) for c in self._cameras]
        index = self._info.total_episodes
        statistics = self._describe(numbers, frames)
        place = self._add_data(index, numbers, {} if self._cameras else frames)
        self._sidecar.add(index, episode, numbers)
        for future in written:
            place |= future.result()
        self._note(index, len(episode), place, statistics)
        return numbers

    def close(self) -> None:
        """Write what is held back: tables' footers, videos' indices, metadata, statistics."""
        lib, root = self._lib, self._root
        for camera in self._cameras:
            camera.close()
        for camera in self._cameras:
            feature: dict[str, Any] = self._info.features[camera.key]
            feature["info"] = lib.video.get_video_info(camera.first_file, self._encoder)
        if self._data:
            self._data.close()
        self._flush_rows()
        self._sidecar.close()
        self._pool.shutdown()
        tasks = lib.pandas.Index([lf.task_text(self._spec)], name="task")
        lib.files.write_tasks(lib.pandas.DataFrame({"task_index": [0]}, index=tasks), root)
        self._info.total_tasks = 1
        self._info.splits = {"train": f"0:{self._info.total_episodes}"}
        lib.files.write_info(self._info, root)
        lib.files.write_stats(self._statistics[0], root)

    def abandon(self) -> None:
        """Let go of threads and files; what was written is of no use."""
        self._pool.shutdown(cancel_futures=True)

    def place(self, file: int) -> tuple[int, int]:
        """Chunk and file index of the n-th file of a kind."""
        chunk, index = divmod(file, self._info.chunks_size)
        return chunk, index

    def new_video(self, key: str, file: int) -> VideoWriter:
        """Begin the n-th video file of a camera."""
        chunk, index = self.place(file)
        path = self._root / self._info.video_path.format(
            video_key=key, chunk_index=chunk, file_index=index
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        image = self._spec.task.observation.images[key]
        return VideoWriter(path, self.fps, image.height, image.width, self._encoder)

    def _describe(
        self, numbers: Mapping[str, NDArray[Any]], frames: Mapping[str, Image]
    ) -> dict[str, Any]:
        sample: list[int] = self._lib.stats.sample_indices(len(numbers[lf.ACTION]))
        return {
            **stats.of_numbers(numbers),
            **{key: stats.of_images(images, sample) for key, images in frames.items()},
        }

    def _add_data(
        self, index: int, numbers: Mapping[str, NDArray[Any]], pictures: Mapping[str, Image]
    ) -> dict[str, Any]:
        steps, start = len(numbers[lf.ACTION]), self._info.total_frames
        indices: dict[str, NDArray[Any]] = {
            "timestamp": (np.arange(steps) / self.fps).astype(np.float32),
            "frame_index": np.arange(steps),
            "episode_index": np.full(steps, index),
            "index": np.arange(start, start + steps),
            "task_index": np.zeros(steps, np.int64),
        }
        encoded = {k: list(self._pool.map(encode_png, images)) for k, images in pictures.items()}
        if self._data and self._data.bytes >= _MAX_DATA_MB * _MB:
            self._data.close()
            self._data, self._data_file = None, self._data_file + 1
        chunk, file = self.place(self._data_file)
        if not self._data:
            path = self._root / self._info.data_path.format(chunk_index=chunk, file_index=file)
            self._data = _Table(path, self._schema)
        self._data.add({**numbers, **indices, **encoded})
        return {
            "data/chunk_index": chunk,
            "data/file_index": file,
            "dataset_from_index": start,
            "dataset_to_index": start + steps,
        }

    def _note(
        self, index: int, steps: int, place: dict[str, Any], statistics: dict[str, Any]
    ) -> None:
        chunk, file = self.place(index // _EPISODES_A_FILE)
        listed = {
            f"stats/{key}/{name}": value.tolist()
            for key, values in statistics.items()
            for name, value in values.items()
        }
        self._rows.append(
            {
                "episode_index": index,
                "tasks": [lf.task_text(self._spec)],
                "length": steps,
                **place,
                **listed,
                "meta/episodes/chunk_index": chunk,
                "meta/episodes/file_index": file,
            }
        )
        self._info.total_episodes += 1
        self._info.total_frames += steps
        self._statistics.append(statistics)
        if len(self._rows) == _EPISODES_A_FILE:
            self._flush_rows()

    def _flush_rows(self) -> None:
        if not self._rows:
            return
        chunk, file = (self._rows[0][f"meta/episodes/{n}_index"] for n in ("chunk", "file"))
        path = self._root / f"meta/episodes/chunk-{chunk:03d}/file-{file:03d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = {key: [row[key] for row in self._rows] for key in self._rows[0]}
        self._lib.parquet.write_table(self._lib.arrow.table(columns), path)
        self._rows.clear()
        self._statistics = [self._lib.stats.aggregate_stats(self._statistics)]


class _Camera:
    """The video files of one camera; each episode lies whole in one of them."""

    def __init__(self, dataset: DatasetWriter, key: str) -> None:
        self.key = key
        self._dataset = dataset
        self._file = 0
        self._video = dataset.new_video(key, 0)
        self.first_file = self._video.path

    def write(self, images: Image) -> dict[str, Any]:
        """Encode an episode's frames; return where they lie."""
        fps = self._dataset.fps
        too_long = (self._video.frames + len(images)) / fps > MAX_FILE_S
        too_large = self._video.bytes >= _MAX_VIDEO_MB * _MB
        if self._video.frames and (too_long or too_large):
            self._video.close()
            self._file += 1
            self._video = self._dataset.new_video(self.key, self._file)
        start = self._video.frames
        self._video.write(images)
        chunk, file = self._dataset.place(self._file)
        return {
            f"videos/{self.key}/chunk_index": chunk,
            f"videos/{self.key}/file_index": file,
            f"videos/{self.key}/from_timestamp": start / fps,
            f"videos/{self.key}/to_timestamp": (start + len(images)) / fps,
        }

    def close(self) -> None:
        self._video.close()


class _Table:
    """One file of the data table, a row group an episode."""

    def __init__(self, path: Path, schema: Any) -> None:
        lib = library()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._pa, self._schema = lib.arrow, schema
        self._writer = lib.parquet.ParquetWriter(path, schema)
        self._path = path

    @property
    def bytes(self) -> int:
        return self._path.stat().st_size

    def add(self, columns: Mapping[str, Any]) -> None:
        arrays = [self._array(columns[field.name], field.type) for field in self._schema]
        self._writer.write_table(self._pa.Table.from_arrays(arrays, schema=self._schema))

    def close(self) -> None:
        self._writer.close()

    def _array(self, values: Any, kind: Any) -> Any:
        if self._pa.types.is_struct(kind):
            return self._pa.array([{"bytes": v, "path": None} for v in values], kind)
        if self._pa.types.is_fixed_size_list(kind):
            flat = self._pa.array(np.ascontiguousarray(values).reshape(-1), kind.value_type)
            return self._pa.FixedSizeListArray.from_arrays(flat, kind.list_size)
        return self._pa.array(values.reshape(-1), kind)
