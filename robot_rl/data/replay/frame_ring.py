"""Observations of a replay buffer, each stored once and named by a number that never repeats."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.spec import ObservationSpec
from robot_rl.core.types import Image, Vector

Ids = NDArray[np.int64]


class FrameRing:
    """The newest `capacity` frames: packed vectors and the images of each camera.

    Args:
        capacity: frames kept; the oldest is overwritten by the next.
        observation: which vectors and images a frame has.
    """

    def __init__(self, capacity: int, observation: ObservationSpec) -> None:
        self._capacity = capacity
        self._count = 0
        self._vectors = np.zeros((capacity, observation.packed_size), np.float32)
        self._images = {
            key: np.zeros((capacity, image.height, image.width, 3), np.uint8)
            for key, image in observation.images.items()
        }

    @property
    def oldest(self) -> int:
        """The lowest id that is still there."""
        return max(0, self._count - self._capacity)

    def put(self, packed: Vector, images: Mapping[str, Image]) -> int:
        """Store a frame, float32[n] and `{key: uint8[h, w, 3]}`; return its id."""
        slot = self._count % self._capacity
        self._vectors[slot] = packed
        for key, kept in self._images.items():
            kept[slot] = images[key]
        self._count += 1
        return self._count - 1

    def vectors(self, ids: Ids) -> Vector:
        """Return the packed vectors float32[b, n] of frames int64[b] that are still there."""
        return self._vectors.take(ids % self._capacity, axis=0)

    def images(self, ids: Ids) -> dict[str, Image]:
        """Return the images `{key: uint8[b, h, w, 3]}` of frames int64[b]."""
        slots = ids % self._capacity
        return {key: kept.take(slots, axis=0) for key, kept in self._images.items()}
