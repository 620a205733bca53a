"""Observations of a replay buffer, each stored once and named by a number that never repeats."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.spec import ObservationSpec
from robot_rl.core.types import Image, Vector
from robot_rl.data.replay.backing import check_room, zeroed
from robot_rl.data.replay.gathering import FIELDS, ImageGather, Rows

Ids = NDArray[np.int64]


class FrameRing:
    """The newest `capacity` frames: packed vectors and the images of each camera.

    Args:
        capacity: frames kept; the oldest is overwritten by the next.
        observation: which vectors and images a frame has.
        backing: folder for the images; None keeps them in memory.

    Raises:
        StorageError: if the folder is missing or too full.
    """

    def __init__(self, capacity: int, observation: ObservationSpec, backing: Path | None) -> None:
        self._capacity = capacity
        self._count = 0
        self._vectors = np.zeros((capacity, observation.packed_size), np.float32)
        shapes = {
            key: (capacity, image.height, image.width, 3)
            for key, image in observation.images.items()
        }
        if backing is not None:
            check_room(backing, sum(int(np.prod(shape)) for shape in shapes.values()))
        self._images = {key: zeroed(shape, backing) for key, shape in shapes.items()}

    @property
    def nbytes(self) -> int:
        """Bytes of all frames."""
        return self._vectors.nbytes + sum(kept.nbytes for kept in self._images.values())

    @property
    def next_id(self) -> int:
        """The id that the next frame will have."""
        return self._count

    def oldest_after(self, count: int) -> int:
        """The lowest id that will still be there when `count` more frames have been put."""
        return max(0, self._count + count - self._capacity)

    def put(self, packed: Vector, images: Mapping[str, Image]) -> None:
        """Store a frame, float32[n] and `{key: uint8[h, w, 3]}`."""
        slot = self._count % self._capacity
        self._vectors[slot] = packed
        for key, kept in self._images.items():
            kept[slot] = images[key]
        self._count += 1

    def put_all(self, packed: Vector, images: Mapping[str, Image]) -> None:
        """Store k <= capacity frames in order, float32[k, n] and `{key: uint8[k, h, w, 3]}`."""
        start = self._count % self._capacity
        fits = min(len(packed), self._capacity - start)
        self._vectors[start : start + fits] = packed[:fits]
        self._vectors[: len(packed) - fits] = packed[fits:]
        for key, kept in self._images.items():
            kept[start : start + fits] = images[key][:fits]
            kept[: len(packed) - fits] = images[key][fits:]
        self._count += len(packed)

    def vectors(self, ids: Ids) -> Vector:
        """Return the packed vectors float32[b, n] of frames int64[b] that are still there."""
        return self._vectors.take(ids % self._capacity, axis=0)

    def gather(self, ids: Ids, next_ids: Ids, images: ImageGather, rows: Rows) -> None:
        """Fill `rows` of a batch's images with those of frames int64[b] and of the next ones."""
        for field, wanted in zip(FIELDS, (ids, next_ids), strict=True):
            slots = wanted % self._capacity
            for key, kept in self._images.items():
                images.fill(field, key, kept, slots, rows)
