"""Large arrays that are used again: the first touch of fresh memory costs as much as a copy."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_UNUSED = 3
"""References to an array that nobody holds: the pool's list, the loop variable, the argument."""


class ArrayPool:
    """Hands out arrays, and each again once nothing refers to it, to a view or a tensor of it.

    For one thread. Relies on the reference counts of CPython: views and tensors that share an
    array's memory hold a reference to it.

    Args:
        keep: arrays kept at most; beyond that an array is fresh and goes when it is let go.
    """

    def __init__(self, keep: int = 16) -> None:
        self._keep = keep
        self._arrays: list[NDArray[Any]] = []

    def take(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return an array with arbitrary content."""
        for array in self._arrays:
            fits = array.shape == shape and array.dtype == dtype
            if fits and sys.getrefcount(array) == _UNUSED:
                return array
        fresh = np.empty(shape, dtype)
        if len(self._arrays) == self._keep:
            self._arrays = [a for a in self._arrays if sys.getrefcount(a) > _UNUSED]
        if len(self._arrays) < self._keep:
            self._arrays.append(fresh)
        return fresh
