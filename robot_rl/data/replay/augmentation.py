"""Random changes of the images of a batch, and their random numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from robot_rl.config.model import Config
from robot_rl.core.errors import ConfigError
from robot_rl.core.spec import ImageSpec
from robot_rl.core.types import Image, Vector
from robot_rl.data.replay.array_pool import ArrayPool
from robot_rl.data.replay.gathering import FIELDS, Images, Rows, empty_arrays
from robot_rl.data.replay.shifting import Draws, Shifter, shift_tensor


class AugmentationConfig(Config):
    """Settings of `Augmentation`.

    Args:
        shift_pixels: an image moves by up to so many pixels up, down and sideways.
        brightness: up to this much is added to all values of an image or taken from them.
        contrast: values move away from 0.5 or towards it by a factor in 1 +- this.
    """

    shift_pixels: int = Field(default=4, ge=0)
    brightness: float = Field(default=0.0, ge=0, le=1)
    contrast: float = Field(default=0.0, ge=0, lt=1)

    def build(self, seed: int) -> Augmentation:
        """Return an augmentation whose random numbers begin at `seed`."""
        return Augmentation(self, seed)


class Augmentation:
    """Random shifts (DrQ; Yarats et al. 2021, arXiv 2107.09645), brightness and contrast.

    Each image of a batch has its own draw, that of an observation apart from that of the next and
    each camera apart from the others. Results are float32 in [0, 1]. Edges are replicated, which
    is a crop at random of the image padded by `shift_pixels`.

    Args:
        config: settings.
        seed: of the random numbers; they are drawn on the processor, so that a batch is the same
            on every device.
    """

    def __init__(self, config: AugmentationConfig, seed: int) -> None:
        self.config = config
        self._rng = np.random.Generator(np.random.PCG64(seed))
        self._pool = ArrayPool()
        self._shifter = Shifter()

    def check(self, specs: Mapping[str, ImageSpec]) -> None:
        """Check that images are larger than the shift.

        Raises:
            ConfigError: naming the camera.
        """
        for key, spec in specs.items():
            if min(spec.height, spec.width) <= self.config.shift_pixels:
                raise ConfigError(
                    f"augmentation: shift_pixels is {self.config.shift_pixels}, but {key} has "
                    f"{spec.height} x {spec.width} pixels; expected a smaller shift"
                )

    def draw(self, count: int) -> Draws:
        """Draw what happens to `count` images."""
        most, config = self.config.shift_pixels, self.config
        down, right = self._rng.integers(-most, most + 1, (2, count))
        if not (config.brightness or config.contrast):
            gain = np.full(count, 1 / 255, np.float32)
            return Draws(down=down, right=right, gain=gain, bias=None)
        factor = 1 + config.contrast * self._rng.uniform(-1, 1, count)
        added = config.brightness * self._rng.uniform(-1, 1, count)
        return Draws(
            down=down,
            right=right,
            gain=(factor / 255).astype(np.float32),
            bias=(0.5 * (1 - factor) + added).astype(np.float32),
        )

    def gather(
        self, size: int, specs: Mapping[str, ImageSpec], threads: int = 1
    ) -> AugmentedGather:
        """Draw for a batch of `size` rows, and return what reads its images, already changed."""
        draws = self._draws(size, tuple(specs))
        arrays = empty_arrays(size, specs, self._pool, np.float32)
        return AugmentedGather(arrays, draws, self._shifter, threads)

    def tensors(self, images: Mapping[str, Mapping[str, Tensor]]) -> dict[str, dict[str, Tensor]]:
        """Draw for a batch and change its images where they are.

        Args:
            images: of `FIELDS`, by camera: uint8[b, h, w, 3].

        Returns:
            float32[b, h, w, 3] in the same order; the values that `gather` would have read.
        """
        first = next(iter(images[FIELDS[0]].values()), None)
        draws = self._draws(0 if first is None else len(first), tuple(images[FIELDS[0]]))
        return {
            field: {
                key: shift_tensor(one, draws[field, key]) for key, one in images[field].items()
            }
            for field in FIELDS
        }

    def apply(self, images: Image, threads: int = 1) -> Vector:
        """Change images uint8[b, h, w, 3] that come from elsewhere; return float32[b, h, w, 3]."""
        self.check({"image": ImageSpec(height=images.shape[1], width=images.shape[2])})
        out = self._pool.take(images.shape, np.float32)
        frames, rows = np.ascontiguousarray(images), np.arange(len(images))
        self._shifter.shift(frames, rows, self.draw(len(images)), out, threads)
        return out

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the random numbers, JSON values."""
        return {"rng": dict(self._rng.bit_generator.state)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self._rng.bit_generator.state = dict(state["rng"])

    def _draws(self, size: int, keys: tuple[str, ...]) -> dict[tuple[str, str], Draws]:
        return {(field, key): self.draw(size) for field in FIELDS for key in keys}


class AugmentedGather:
    """Reads images and changes them on the way, `{key: float32[b, h, w, 3]}`; an `ImageGather`.

    A row that is filled again has the same draw.
    """

    def __init__(
        self,
        arrays: dict[str, Images],
        draws: Mapping[tuple[str, str], Draws],
        shifter: Shifter,
        threads: int,
    ) -> None:
        self.arrays = arrays
        self._draws = draws
        self._shifter = shifter
        self._threads = threads

    def fill(
        self, field: str, key: str, frames: NDArray[Any], slots: NDArray[np.int64], rows: Rows
    ) -> None:
        """See `ImageGather.fill`."""
        target, draws = self.arrays[field][key], self._draws[field, key][rows]
        part = target[rows]
        self._shifter.shift(frames, slots, draws, part, self._threads)
        if not isinstance(rows, slice):
            target[rows] = part
