"""Content that stands still or says nothing although its stamps run on: of one key of a stream."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.clock import NS_PER_S
from robot_rl.core.types import Image
from robot_rl.sensing.motion import Mark, Motion

_DARK, _BRIGHT = 8.0, 247.0
"""Mean of a picture, of 255, up to which it is black and from which it is white."""
_FLAT = 4.0
"""Standard deviation up to which a picture shows nothing."""
_LINES = 16
"""Rows and columns that are looked at first."""


class Repetition:
    """For how long samples with new stamps have repeated one content, bit by bit.

    Args:
        key: what is watched; it is no witness of its own motion.
        motion: where a healthy stream may repeat itself while the arm rests; None where its
            noise lets no two samples be equal.
    """

    def __init__(self, key: str, motion: Motion | None) -> None:
        self._key = key
        self._motion = motion
        self._content: NDArray[Any] | None = None
        self._since_ns = 0
        self._mark: Mark | None = None

    def seconds(self, content: NDArray[Any], stamp_ns: int) -> float:
        """Take in a new sample and return for how long its content has stood still [s].

        It is 0 as long as the arm, where that matters, has not moved.
        """
        before, self._content = self._content, content
        if before is None or not _is_same(before, content):
            self._since_ns = stamp_ns
            self._mark = self._motion.mark() if self._motion else None
            return 0.0
        if self._motion and self._mark and not self._motion.since(self._mark, without=self._key):
            return 0.0
        return (stamp_ns - self._since_ns) / NS_PER_S


class Blankness:
    """For how long a camera has shown nothing but black, or nothing but white."""

    def __init__(self) -> None:
        self._what = ""
        self._since_ns = 0

    def seconds(self, image: Image, stamp_ns: int) -> tuple[float, str]:
        """Take in a new picture and return for how long [s] it has been "black" or "white"."""
        what = _blank(image)
        if what != self._what:
            self._what, self._since_ns = what, stamp_ns
        return ((stamp_ns - self._since_ns) / NS_PER_S if what else 0.0), what


def _is_same(a: NDArray[Any], b: NDArray[Any]) -> bool:
    if a is b:
        return True
    if a.ndim == 1:
        # Bit by bit: NaN equals itself here.
        return a.tobytes() == b.tobytes()
    # Where there is noise, a few pixels settle it.
    return np.array_equal(_few(a), _few(b)) and np.array_equal(a, b)


def _blank(image: Image) -> str:
    few = _few(image)
    mean = few.mean()
    if _DARK < mean < _BRIGHT or few.std() > _FLAT:
        return ""
    return "black" if mean <= _DARK else "white"


def _few(image: Image) -> Image:
    """Some three hundred of the picture's pixels, evenly spread."""
    stride = max(1, min(image.shape[:2]) // _LINES)
    return image[::stride, ::stride]
