"""The camera behind a skin that is not there: dots that are pushed aside."""

from __future__ import annotations

import time

import numpy as np
from pydantic import Field

from robot_rl.core.types import Image
from robot_rl_hardware.cameras.camera import CameraConfig, picture_key
from robot_rl_hardware.pace import Pace
from robot_rl_hardware.sampler import Inlet, Sample, Sampler

_DOTS = 40


class FakeSkinConfig(CameraConfig):
    """Pictures of a skin that is pushed after a while.

    Args:
        pushed_after: pictures until then.
        push_px: shift of the dots, to the right and downwards [px].
    """

    pushed_after: int = Field(default=60, ge=0)
    push_px: tuple[int, int] = (3, -2)

    def build(self, inlet: Inlet) -> Sampler:
        """Return the camera, not yet open."""
        return Sampler(FakeSkin(self, picture_key(inlet.name)), inlet, self.silent_after_s)


class FakeSkin:
    """Implements `Reader`."""

    def __init__(self, config: FakeSkinConfig, key: str) -> None:
        self._config = config
        self._key = key
        self._pace = Pace(1.0 / config.fps)
        self._count = 0
        self._skin = dots(config.width, config.height)

    def open(self) -> None:
        """Begin to count."""
        self._pace.begin()

    def read(self) -> Sample | None:
        """Wait for the next picture."""
        self._pace.wait()
        self._count += 1
        x, y = self._config.push_px if self._count > self._config.pushed_after else (0, 0)
        return Sample(
            sequence=self._count,
            device_ns=time.monotonic_ns(),
            images={self._key: np.roll(self._skin, (y, x), axis=(0, 1))},
        )

    def close(self) -> None:
        """Nothing is held."""


def dots(width: int, height: int) -> Image:
    """Return dark dots on a light skin, uint8[height, width, 3]."""
    random = np.random.default_rng(0)
    across, down = np.meshgrid(np.arange(width), np.arange(height))
    shade = np.full((height, width), 200.0)
    for x, y in random.uniform((0, 0), (width, height), (_DOTS, 2)):
        shade -= 120.0 * np.exp(-((across - x) ** 2 + (down - y) ** 2) / 8.0)
    return np.repeat(np.clip(shade, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
