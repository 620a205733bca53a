"""Observations of a replay buffer, each stored once and named by a number that never repeats."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.spec import ObservationSpec
from robot_rl.core.types import Image, Vector
from robot_rl.data.replay.backing import check_room, zeroed
from robot_rl.data.replay.feature_cache import FeatureCache, Features
from robot_rl.data.replay.frames import Frames
from robot_rl.data.replay.gathering import FIELDS, ImageGather, Rows, numbers
from robot_rl.data.replay.refreshing import Turns

Ids = NDArray[np.int64]


class FrameRing:
    """The newest `capacity` frames: packed vectors, and the images or features of each camera.

    Args:
        capacity: frames kept; the oldest is overwritten by the next.
        observation: which vectors and images a frame has.
        backing: folder for the images and features; None keeps them in memory.
        cache: makes features of images; without it the images are kept.

    Raises:
        ConfigError: if the cache is for other cameras.
        StorageError: if the folder is missing or too full.
    """

    def __init__(
        self,
        capacity: int,
        observation: ObservationSpec,
        backing: Path | None,
        cache: FeatureCache | None,
    ) -> None:
        self._capacity = capacity
        self._count = 0
        self._cache = cache
        self._vectors = np.zeros((capacity, observation.packed_size), np.float32)
        images: dict[str, tuple[int, ...]] = {}
        features: dict[str, tuple[int, ...]] = {}
        if cache is None or cache.keep_images:
            images = {k: (capacity, s.height, s.width, 3) for k, s in observation.images.items()}
        if cache is not None:
            cache.check(observation.images)
            features = {
                key: (capacity, cache.variants, *shape)
                for key, shape in cache.encoder.shapes.items()
            }
        if backing is not None:
            check_room(backing, _size(images, np.uint8) + _size(features, np.float16))
        self._images: dict[str, Image] = {k: zeroed(s, backing) for k, s in images.items()}
        self._features: dict[str, Features] = {
            k: zeroed(s, backing, np.float16) for k, s in features.items()
        }
        self._turns = Turns()
        # Of each slot's features: odd while they are being overwritten, another number after.
        self._editions = np.zeros(capacity if features else 0, np.int64)

    @property
    def nbytes(self) -> int:
        """Bytes of all frames."""
        kept = itertools.chain(self._images.values(), self._features.values())
        return self._vectors.nbytes + self._editions.nbytes + sum(a.nbytes for a in kept)

    @property
    def next_id(self) -> int:
        """The id that the next frame will have."""
        return self._count

    def oldest_after(self, count: int) -> int:
        """The lowest id that will still be there when `count` more frames have been put."""
        return max(0, self._count + count - self._capacity)

    def encode(self, frames: Frames) -> dict[str, Features]:
        """Return the features by camera of the frames that come next, for `put`."""
        return {} if self._cache is None else self._cache.encode(frames.images, self._count, 0)

    def put(self, frames: Frames, features: Mapping[str, Features]) -> None:
        """Store at most `capacity` frames in order, with what `encode` returned for them."""
        count, start = len(frames), self._count % self._capacity
        fits = min(count, self._capacity - start)
        pairs: list[tuple[NDArray[Any], NDArray[Any]]] = [
            (self._vectors, frames.packed),
            *((kept, frames.images[key]) for key, kept in self._images.items()),
            *((kept, features[key]) for key, kept in self._features.items()),
        ]
        for kept, new in pairs:
            kept[start : start + fits] = new[:fits]
            if fits < count:
                kept[: count - fits] = new[fits:]
        self._count += count

    def vectors(self, ids: Ids) -> Vector:
        """Return the packed vectors float32[b, n] of frames int64[b] that are still there."""
        return self._vectors.take(ids % self._capacity, axis=0)

    def gather(self, ids: Ids, next_ids: Ids, images: ImageGather, rows: Rows) -> None:
        """Fill `rows` of a batch's images with those of frames int64[b] and of the next ones.

        With a cache these are features.
        """
        for field, wanted in zip(FIELDS, (ids, next_ids), strict=True):
            slots = wanted % self._capacity
            if self._cache is not None:
                self._gather_features(field, slots, images, rows)
                continue
            for key, kept in self._images.items():
                images.fill(field, key, kept, slots, rows)

    def refresh(self, count: int) -> None:
        """Draw the features of `count` frames anew from their images.

        For the thread that puts frames. One frame at a time, so that `restore` makes equal calls.
        """
        if self._cache is None:
            return
        for _ in range(count if self._count else 0):
            frame, round_ = self._turns.take(self.oldest_after(0), self._count)
            self._draw_anew(self._cache, frame, round_)

    @property
    def refreshed(self) -> list[int]:
        """Where refreshing has come to, for `restore`."""
        return self._turns.state

    def restore(self, refreshed: Sequence[int]) -> None:
        """Draw all features as they were, in frames that were put again in the same order."""
        if self._cache is None:
            return
        self._turns.load(refreshed)
        frames = np.arange(self.oldest_after(0), self._count)
        rounds = self._turns.round_of(frames)
        for frame, round_ in zip(frames[rounds > 0].tolist(), rounds[rounds > 0], strict=True):
            self._draw_anew(self._cache, frame, int(round_))

    def _gather_features(
        self, field: str, slots: NDArray[np.int64], images: ImageGather, rows: Rows
    ) -> None:
        """Read features, and again those that were refreshed meanwhile."""
        while len(slots):
            before = self._editions.take(slots)
            for key, kept in self._features.items():
                images.fill(field, key, kept, slots, rows)
            torn = (before % 2 == 1) | (self._editions.take(slots) != before)
            if not torn.any():
                return
            slots, rows = slots[torn], numbers(rows)[torn]
            time.sleep(0)

    def _draw_anew(self, cache: FeatureCache, frame: int, round_: int) -> None:
        slot = frame % self._capacity
        images = {key: kept[slot, None] for key, kept in self._images.items()}
        features = cache.encode(images, frame, round_)
        self._editions[slot] += 1
        for key, kept in self._features.items():
            kept[slot] = features[key][0]
        self._editions[slot] += 1


def _size(shapes: Mapping[str, tuple[int, ...]], dtype: type[np.generic]) -> int:
    return sum(int(np.prod(shape)) for shape in shapes.values()) * np.dtype(dtype).itemsize
