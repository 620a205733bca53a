"""How the images of a batch are read from the frames that buffers keep, and where they go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from robot_rl.core.spec import ImageSpec
from robot_rl.data.replay.array_pool import ArrayPool

Rows = slice | NDArray[np.int64]
"""Rows of a batch: neighbours as a slice, any others as int64[k]."""

Images = dict[str, NDArray[Any]]
"""One array a camera."""

FIELDS: tuple[str, ...] = ("images", "next_images")
"""Fields of a window and of a batch that are one array per camera."""


class ImageGather(Protocol):
    """Collects the images of one batch; `arrays` are complete once each row was filled."""

    arrays: dict[str, Images]
    """Of each of `FIELDS`."""

    def fill(
        self, field: str, key: str, frames: NDArray[Any], slots: NDArray[np.int64], rows: Rows
    ) -> None:
        """Read frames[slots] into `rows` of one field and camera.

        Frames are uint8[n, h, w, 3], or features float16[n, variants, ...] of a buffer with a
        cache. Rows may be filled again; the last time counts.
        """
        ...


def numbers(rows: Rows) -> NDArray[np.int64]:
    """Return rows as int64[k]; neighbours from a slice of which both ends are given."""
    if isinstance(rows, np.ndarray):
        return rows
    first: int = rows.start
    end: int = rows.stop
    return np.arange(first, end)


def empty_arrays(
    size: int, specs: Mapping[str, ImageSpec], pool: ArrayPool, dtype: DTypeLike
) -> dict[str, Images]:
    """Return arrays [size, h, w, 3] of each field and camera, with arbitrary content."""
    return {
        field: {key: pool.take((size, s.height, s.width, 3), dtype) for key, s in specs.items()}
        for field in FIELDS
    }


class PlainGather:
    """Images as they were recorded, `{key: uint8[b, h, w, 3]}`.

    Args:
        size: rows of the batch.
        specs: the cameras.
        pool: where the arrays come from.
    """

    def __init__(self, size: int, specs: Mapping[str, ImageSpec], pool: ArrayPool) -> None:
        self.arrays = empty_arrays(size, specs, pool, np.uint8)

    def fill(
        self, field: str, key: str, frames: NDArray[Any], slots: NDArray[np.int64], rows: Rows
    ) -> None:
        """See `ImageGather.fill`."""
        _take(frames, slots, self.arrays[field][key], rows)


class FeatureGather:
    """One variant of each frame's features, `{key: float16[b, *shape]}`; an `ImageGather`.

    Args:
        variants: of each of `FIELDS` int64[b], which one a row takes of all cameras; a row that is
            filled again takes the same.
        shapes: of the features of one frame, by camera.
        pool: where the arrays come from.
    """

    def __init__(
        self,
        variants: Mapping[str, NDArray[np.int64]],
        shapes: Mapping[str, tuple[int, ...]],
        pool: ArrayPool,
    ) -> None:
        self._variants = variants
        self.arrays: dict[str, Images] = {
            field: {
                key: pool.take((len(variants[field]), *shape), np.float16)
                for key, shape in shapes.items()
            }
            for field in FIELDS
        }

    def fill(
        self, field: str, key: str, frames: NDArray[Any], slots: NDArray[np.int64], rows: Rows
    ) -> None:
        """See `ImageGather.fill`."""
        count, variants = frames.shape[:2]
        flat = frames.reshape(count * variants, *frames.shape[2:])
        wanted = slots * variants + self._variants[field][rows]
        _take(flat, wanted, self.arrays[field][key], rows)


def _take(
    source: NDArray[Any], wanted: NDArray[np.int64], target: NDArray[Any], rows: Rows
) -> None:
    if isinstance(rows, slice):
        # `raise`, the default, would go through a second array; indices are valid by themselves.
        np.take(source, wanted, axis=0, out=target[rows], mode="clip")
    else:
        target[rows] = source.take(wanted, axis=0)
