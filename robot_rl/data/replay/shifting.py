"""Shifts the images of a batch and makes floats of them: numpy on the processor, torch elsewhere.

Both forms return the same bits, whatever the device and the number of threads. The processor is
bound by memory: writing the floats is most of it. So each image is copied as one run of bytes to
where the shift puts it, its edges are repaired, and floats are made of a few images at a time,
while these are in the cache. Reading row by row or through an index took twice as long.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robot_rl.core.types import Image, Vector

_CHUNK_BYTES = 3 * 2**18
"""Of images of 128 x 128 pixels 16; fewer cost calls, more leave the cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """What happens to each of b images.

    The result at (y, x) is the pixel at (y + down, x + right), the nearest pixel of the image
    where that is outside, as float32 `value * gain + bias` clipped to [0, 1].

    Args:
        down, right: int64[b], pixels.
        gain: float32[b], 1 / 255 where colours stay as they are.
        bias: float32[b]; None if colours stay as they are, all gains are equal then.
    """

    down: NDArray[np.int64]
    right: NDArray[np.int64]
    gain: Vector
    bias: Vector | None

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> Draws:
        bias = None if self.bias is None else self.bias[rows]
        return Draws(down=self.down[rows], right=self.right[rows], gain=self.gain[rows], bias=bias)


class Shifter:
    """Shifts on the processor, with the calling thread and helpers that start when needed."""

    def __init__(self) -> None:
        self._helpers: ThreadPoolExecutor | None = None
        self._helper_count = 0

    def shift(
        self, frames: Image, slots: NDArray[np.int64], draws: Draws, out: Vector, threads: int
    ) -> None:
        """Fill `out` float32[b, h, w, 3] from frames[slots] of uint8[n, h, w, 3].

        Both arrays are contiguous, and no shift is as large as an image.
        """
        bounds = np.linspace(0, len(slots), min(threads, len(slots)) + 1).astype(int).tolist()
        first, *others = [slice(a, b) for a, b in itertools.pairwise(bounds)]
        helpers = self._helpers_for(len(others))
        futures = [
            helpers.submit(_shift, frames, slots[part], draws[part], out[part]) for part in others
        ]
        _shift(frames, slots[first], draws[first], out[first])
        for future in futures:
            future.result()

    def _helpers_for(self, count: int) -> ThreadPoolExecutor:
        if self._helpers is None or count > self._helper_count:
            self._helper_count = max(count, 1)
            self._helpers = ThreadPoolExecutor(self._helper_count, "shift")
        return self._helpers


def shift_image(image: Image, down: int, right: int) -> Image:
    """Return uint8[h, w, 3]: the pixel at (y + down, x + right), or the nearest there is.

    No shift is as large as the image.
    """
    h, w, _ = image.shape
    out = np.empty((h, w, 3), np.uint8)
    # Pixel by pixel, not byte by byte: twenty times as fast as an index for rows and columns.
    source = np.ascontiguousarray(image).view("V3").reshape(h, w)
    target = out.view("V3").reshape(h, w)
    top, left = max(0, -down), max(0, -right)
    bottom, end = h - max(0, down), w - max(0, right)
    target[top:bottom, left:end] = source[top + down : bottom + down, left + right : end + right]
    _repeat_edges(target, h, w, down, right)
    return out


def shift_tensor(images: Tensor, draws: Draws) -> Tensor:
    """Return float32[b, h, w, 3] of a uint8 tensor of that shape, on its device."""
    device, (b, h, w, _) = images.device, images.shape

    def moved(values: NDArray[np.generic]) -> Tensor:
        return torch.as_tensor(values, device=device).view(b, 1, 1)

    rows = (torch.arange(h, device=device).view(1, h, 1) + moved(draws.down)).clamp_(0, h - 1)
    columns = (torch.arange(w, device=device).view(1, 1, w) + moved(draws.right)).clamp_(0, w - 1)
    image = torch.arange(b, device=device).view(b, 1, 1)
    floats = images[image, rows, columns].to(torch.float32)
    floats.mul_(moved(draws.gain)[..., None])
    # Two operations, not one: a fused one would round once and differ in the last bit.
    return floats if draws.bias is None else floats.add_(moved(draws.bias)[..., None]).clamp_(0, 1)


def _shift(frames: Image, slots: NDArray[np.int64], draws: Draws, out: Vector) -> None:
    _, h, w, _ = frames.shape
    size, flat = h * w * 3, frames.reshape(-1)
    few = max(1, _CHUNK_BYTES // size)
    bytes_ = np.empty((few, size), np.uint8)
    pixels = bytes_.view("V3").reshape(few, h, w)
    run, floats = bytes_.reshape(-1), out.reshape(len(out), size)
    moves = _moves(slots, draws, h, w)
    for start in range(0, len(slots), few):
        count = min(few, len(slots) - start)
        for i, (source, target, length, down, right) in zip(range(count), moves, strict=False):
            begin = i * size + target
            run[begin : begin + length] = flat[source : source + length]
            _repeat_edges(pixels[i], h, w, down, right)
        _colour(bytes_[:count], draws, start, floats[start : start + count])


def _moves(
    slots: NDArray[np.int64], draws: Draws, h: int, w: int
) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield of each image: where its bytes begin, where they go, how many, and its shift.

    A run of bytes wraps at the sides; these columns are what `_repeat_edges` overwrites.
    """
    down, right = draws.down, draws.right
    corner = slots * h + np.maximum(down, 0)
    source = (corner * w + np.maximum(right, 0)) * 3
    target = (np.maximum(-down, 0) * w + np.maximum(-right, 0)) * 3
    length = ((h - np.abs(down)) * w - np.abs(right)) * 3
    columns: list[list[int]] = [a.tolist() for a in (source, target, length, down, right)]
    return zip(*columns, strict=True)  # pyright: ignore[reportReturnType]


def _repeat_edges(pixels: NDArray[np.void], h: int, w: int, down: int, right: int) -> None:
    """Repeat the outermost pixels that a shift left in void[h, w], sideways, then in rows."""
    if right > 0:
        pixels[:, w - right :] = pixels[:, w - right - 1 : w - right]
    elif right < 0:
        pixels[:, :-right] = pixels[:, -right : 1 - right]
    if down > 0:
        pixels[h - down :] = pixels[h - down - 1]
    elif down < 0:
        pixels[:-down] = pixels[-down]


def _colour(values: Image, draws: Draws, start: int, out: Vector) -> None:
    """Make floats [k, n] of the bytes [k, n] of the images from `start` on."""
    if draws.bias is None:
        np.multiply(values, draws.gain[0], out=out)
        return
    part = slice(start, start + len(values))
    np.multiply(values, draws.gain[part, None], out=out)
    out += draws.bias[part, None]
    np.clip(out, 0, 1, out=out)
