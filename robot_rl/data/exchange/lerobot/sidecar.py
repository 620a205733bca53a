"""What LeRobot has no word for, in `robot_rl/` within the dataset, so that nothing is lost.

`robot_rl/spec.json` holds the recording's spec; `robot_rl/episodes.parquet` one row an episode:
id, metadata, outcome, clocks, the last observation with its images, and a digest of the numbers
that stand in LeRobot's own table. lerobot reads neither; its tools for cutting and joining
datasets leave them behind, and the result is then imported like anybody's.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture

from robot_rl.core.episode import Episode, EpisodeMetadata
from robot_rl.core.errors import ContractError, StorageError
from robot_rl.core.recording import RecordingSpec
from robot_rl.core.types import Image, Outcome, Vector
from robot_rl.data.exchange.lerobot import format as lf
from robot_rl.data.exchange.lerobot.library import arrow

FOLDER = "robot_rl"
SPEC_FILE = f"{FOLDER}/spec.json"
EPISODES_FILE = f"{FOLDER}/episodes.parquet"
VERSION = 1

_COLUMNS: dict[str, Any] = {
    "stamps_ns": np.int64,
    "ages_s": np.float32,
    "intervention_start": np.bool_,
    "gate_reason": np.uint8,
    "inference_s": np.float32,
    "lateness_s": np.float32,
    "policy_version": np.int64,
}
_FINAL = "final."
_LATENT = "latent"
"""The steps' latents one after another; a sidecar written before there were any lacks it."""
_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF")


class SidecarWriter:
    """Writes the sidecar of a dataset, episode by episode."""

    def __init__(self, root: Path, spec: RecordingSpec, repo_id: str) -> None:
        self._pa, parquet = arrow()
        (root / FOLDER).mkdir()
        content = {"version": VERSION, "repo_id": repo_id, "spec": spec.to_json()}
        (root / SPEC_FILE).write_text(json.dumps(content, indent=2) + "\n")
        self._schema = self._pa.schema(_schema(self._pa, spec))
        self._writer = parquet.ParquetWriter(root / EPISODES_FILE, self._schema)

    def add(self, index: int, episode: Episode, numbers: Mapping[str, NDArray[Any]]) -> None:
        """Add the row of an episode; `numbers` are those of LeRobot's table."""
        row: dict[str, Any] = {
            "episode_index": index,
            "id": episode.episode_id,
            "metadata": json.dumps(dataclasses.asdict(episode.metadata)),
            "outcome": int(episode.outcome),
            "terminated": episode.terminated,
            "truncated": episode.truncated,
            "steps": len(episode),
            "digest": digest(numbers),
            **{name: getattr(episode, name) for name in _COLUMNS},
            _LATENT: episode.latent.ravel(),
            _FINAL + lf.BASE_ACTION: episode.base_action[-1],
            **{_FINAL + key: vector[-1] for key, vector in episode.vectors.items()},
            **{_FINAL + key: encode_png(images[-1]) for key, images in episode.images.items()},
        }
        table = self._pa.table({k: [v] for k, v in row.items()}, schema=self._schema)
        self._writer.write_table(table)

    def close(self) -> None:
        """Write the footer."""
        self._writer.close()


class SidecarReader:
    """Reads a sidecar.

    Raises:
        StorageError: it is damaged, or of another version.
    """

    def __init__(self, root: Path) -> None:
        _, parquet = arrow()
        self.path = root / EPISODES_FILE
        content = _read_json(root / SPEC_FILE)
        try:
            if content["version"] != VERSION:
                raise StorageError(
                    f"{root / SPEC_FILE}: version {content['version']!r}, expected {VERSION}; "
                    "update robot_rl"
                )
            self.spec = RecordingSpec.from_json(content["spec"])
            self._file = parquet.ParquetFile(self.path)
        except (ContractError, KeyError, TypeError, OSError, ValueError) as error:
            raise self._damaged(error) from error

    def __len__(self) -> int:
        return int(self._file.metadata.num_row_groups)

    def episode(
        self, index: int, numbers: Mapping[str, NDArray[Any]], images: Mapping[str, Image]
    ) -> Episode:
        """Put an episode together again.

        Args:
            index: which.
            numbers: the features that are numbers, [T] or [T, d], from LeRobot's table.
            images: uint8[T, h, w, 3] by key.

        Raises:
            StorageError: the sidecar is damaged or does not belong to the table.
        """
        try:
            row: dict[str, Any] = self._file.read_row_group(index).to_pylist()[0]
            if row["episode_index"] != index or row["digest"] != digest(numbers):
                raise ValueError(f"the numbers of episode {index} are not those it was made of")
            return _episode(row, numbers, images)
        except (ContractError, KeyError, TypeError, IndexError, OSError, ValueError) as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> StorageError:
        folder = self.path.parent
        return StorageError(
            f"{folder}: the sidecar does not fit the dataset or is damaged: {error}; restore it "
            f"from a copy, or move {folder} away to import the dataset without what it adds "
            f"(see: robot-rl data doctor {folder.parent})"
        )


def digest(numbers: Mapping[str, NDArray[Any]]) -> str:
    """Sha256 (hex) over names, kinds and bits of the features that are numbers."""
    result = hashlib.sha256()
    for key in sorted(numbers):
        values = np.ascontiguousarray(numbers[key])
        result.update(f"{key}\0{values.dtype.str}\0{values.size}\0".encode())
        result.update(values.tobytes())
    return result.hexdigest()


def encode_png(image: Image) -> bytes:
    """Encode uint8[h, w, 3] as PNG, without loss and in little time."""
    buffer = io.BytesIO()
    Picture.fromarray(image).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def decode_image(data: bytes) -> Image:
    """Decode an image file to uint8[h, w, 3].

    Raises:
        ValueError: it is no image of a known kind.
    """
    try:
        with Picture.open(io.BytesIO(data), formats=_FORMATS) as picture:
            return np.asarray(picture.convert("RGB"))
    except (OSError, SyntaxError, Picture.DecompressionBombError) as error:
        raise ValueError(f"no readable image: {error}") from error


def _schema(pa: Any, spec: RecordingSpec) -> list[Any]:
    lists = {name: pa.from_numpy_dtype(np.dtype(dtype)) for name, dtype in _COLUMNS.items()}
    observation = spec.task.observation
    finals = [_FINAL + lf.BASE_ACTION, *(_FINAL + key for key in observation.vectors)]
    return [
        ("episode_index", pa.int64()),
        ("id", pa.string()),
        ("metadata", pa.string()),
        ("outcome", pa.int64()),
        ("terminated", pa.bool_()),
        ("truncated", pa.bool_()),
        ("steps", pa.int64()),
        ("digest", pa.string()),
        *((name, pa.list_(kind)) for name, kind in lists.items()),
        *((name, pa.list_(pa.float32())) for name in (_LATENT, *finals)),
        *((_FINAL + key, pa.binary()) for key in observation.images),
    ]


def _episode(
    row: Mapping[str, Any], numbers: Mapping[str, NDArray[Any]], images: Mapping[str, Image]
) -> Episode:
    def whole(key: str) -> Vector:
        final = np.asarray(row[_FINAL + key], np.float32)
        return np.concatenate([numbers[key].reshape(-1, len(final)), final[None]])

    steps = int(row["steps"])
    metadata: dict[str, Any] = json.loads(row["metadata"])
    return Episode(
        episode_id=str(row["id"]),
        metadata=EpisodeMetadata(**metadata),
        outcome=Outcome(row["outcome"]),
        terminated=bool(row["terminated"]),
        truncated=bool(row["truncated"]),
        vectors={
            k.removeprefix(_FINAL): whole(k.removeprefix(_FINAL))
            for k, value in row.items()
            if k.startswith(_FINAL + "observation.") and isinstance(value, list)
        },
        images={
            key: np.concatenate([seen, decode_image(row[_FINAL + key])[None]])
            for key, seen in images.items()
        },
        base_action=whole(lf.BASE_ACTION),
        action=numbers[lf.ACTION].reshape(steps, -1),
        proposed_action=numbers[lf.PROPOSED_ACTION].reshape(steps, -1),
        reward=numbers[lf.REWARD],
        source=numbers[lf.SOURCE].astype(np.uint8),
        latent=np.asarray(row.get(_LATENT, ()), np.float32).reshape(steps, -1),
        **{name: np.asarray(row[name], dtype) for name, dtype in _COLUMNS.items()},
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise StorageError(
            f"{path}: not readable JSON: {error}; restore it from a copy"
        ) from error
