"""Columns out of an opened LeRobot dataset, as they lie in its table: no row by row, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.errors import StorageError
from robot_rl.core.types import Image
from robot_rl.data.exchange.lerobot.sidecar import decode_image


def numbers_of(
    dataset: Any, sizes: Mapping[str, int], start: int, steps: int
) -> dict[str, NDArray[Any]]:
    """Rows `start` to `start + steps` of these columns: [steps], or [steps, d] where d > 1.

    Args:
        dataset: a `LeRobotDataset`.
        sizes: elements of a row, by name.
        start: first row.
        steps: number of rows.

    Raises:
        StorageError: a value is missing or of another shape.
    """
    return {key: _numbers(dataset, key, size, start, steps) for key, size in sizes.items()}


def images_of(dataset: Any, key: str, start: int, shape: tuple[int, int, int]) -> Image:
    """Decode the images of a column, uint8[steps, h, w, 3].

    Args:
        dataset: a `LeRobotDataset`.
        key: the column.
        start: first row.
        shape: (steps, h, w).

    Raises:
        StorageError: an image is not in the table (a path is not followed), not readable or of
            another size.
    """
    steps, height, width = shape
    column = dataset.hf_dataset.data.column(key).slice(start, steps).combine_chunks()
    images = np.empty((steps, height, width, 3), np.uint8)
    for row, value in enumerate(column.field("bytes")):
        data: bytes | None = value.as_py()
        try:
            if data is None:
                raise ValueError("it is not in the table")
            image = decode_image(data)
            if image.shape != images.shape[1:]:
                raise ValueError(f"it is {list(image.shape)}, expected {[height, width, 3]}")
        except ValueError as error:
            raise _damaged(dataset, f"image {start + row} of {key}: {error}") from error
        images[row] = image
    return images


def _numbers(dataset: Any, key: str, size: int, start: int, steps: int) -> NDArray[Any]:
    column = dataset.hf_dataset.data.column(key).slice(start, steps).combine_chunks()
    flat = column.flatten() if size > 1 else column
    if column.null_count or flat.null_count or len(flat) != steps * size:
        raise _damaged(
            dataset,
            f"{key} has {len(flat)} values in rows {start} to {start + steps}, with "
            f"{flat.null_count} missing; expected {steps * size}",
        )
    values = np.array(flat.to_numpy(zero_copy_only=False))
    return values.reshape(steps, size) if size > 1 else values


def _damaged(dataset: Any, what: str) -> StorageError:
    return StorageError(f"{dataset.root}: {what}; run: robot-rl data doctor {dataset.root}")
