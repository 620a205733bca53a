"""Whose turn it is to have its features drawn anew."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class Turns:
    """Goes through the frames in the order of their numbers, from the oldest, again and again.

    The round of a frame is the number of the last sweep, from 1, that came by; 0 if none did. It
    is known of all frames from three numbers, so that these are all there is to restore.
    """

    def __init__(self) -> None:
        self._sweep = 1
        self._next = 0
        self._end_before = 0

    def round_of(self, frames: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rounds int64[k] of frames int64[k] that are still there."""
        before = np.where(frames < self._end_before, self._sweep - 1, 0)
        return np.where(frames < self._next, self._sweep, before)

    def take(self, oldest: int, end: int) -> tuple[int, int]:
        """Return a frame of those from `oldest` to before `end`, at least one, and its round."""
        self._next = max(self._next, oldest)
        if self._next >= end:
            self._sweep, self._next, self._end_before = self._sweep + 1, oldest, end
        self._next += 1
        return self._next - 1, self._sweep

    @property
    def state(self) -> list[int]:
        """JSON values for `load`."""
        return [self._sweep, self._next, self._end_before]

    def load(self, state: Sequence[int]) -> None:
        """Go on where `state` was taken."""
        self._sweep, self._next, self._end_before = (int(value) for value in state)
