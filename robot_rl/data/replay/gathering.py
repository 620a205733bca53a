"""How the images of a batch are read from the frames that buffers keep, and where they go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from robot_rl.core.spec import ImageSpec
from robot_rl.core.types import Image
from robot_rl.data.replay.array_pool import ArrayPool

Rows = slice | NDArray[np.int64]
"""Rows of a batch: neighbours as a slice, any others as int64[k]."""

Images = dict[str, NDArray[Any]]
"""One array a camera."""

FIELDS = ("images", "next_images")
"""Fields of a window and of a batch that are one array per camera."""


class ImageGather(Protocol):
    """Collects the images of one batch; `arrays` are complete once each row was filled."""

    arrays: dict[str, Images]
    """Of each of `FIELDS`."""

    def fill(
        self, field: str, key: str, frames: Image, slots: NDArray[np.int64], rows: Rows
    ) -> None:
        """Read frames[slots] of uint8[n, h, w, 3] into `rows` of one field and camera.

        Rows may be filled again; the last time counts.
        """
        ...


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
        self, field: str, key: str, frames: Image, slots: NDArray[np.int64], rows: Rows
    ) -> None:
        """See `ImageGather.fill`."""
        target = self.arrays[field][key]
        if isinstance(rows, slice):
            # `raise`, the default, would go through a second array; slots are valid by themselves.
            np.take(frames, slots, axis=0, out=target[rows], mode="clip")
        else:
            target[rows] = frames.take(slots, axis=0)
