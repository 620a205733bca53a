"""A camera that is not there: a pattern that moves, for tests and for cells without one."""

from __future__ import annotations

import time

import numpy as np
from pydantic import Field

from robot_rl.core.errors import HardwareError
from robot_rl.core.types import Image
from robot_rl_hardware.cameras.camera import CameraConfig, picture_key
from robot_rl_hardware.pace import Pace
from robot_rl_hardware.sampler import Inlet, Sample, Sampler


class FakeCameraConfig(CameraConfig):
    """Pictures of a pattern.

    Args:
        gone_after: pictures until the camera is pulled out; None if it never is.
        frozen_after: pictures until it says nothing any more.
    """

    gone_after: int | None = Field(default=None, ge=0)
    frozen_after: int | None = Field(default=None, ge=0)

    def build(self, inlet: Inlet) -> Sampler:
        """Return the camera, not yet open."""
        return Sampler(FakeCamera(self, picture_key(inlet.name)), inlet, self.silent_after_s)


class FakeCamera:
    """Implements `Reader`: red grows to the right, green downwards, blue with time.

    Args:
        config: of the pictures.
        key: of the pictures.
    """

    def __init__(self, config: FakeCameraConfig, key: str) -> None:
        self._config = config
        self._key = key
        self._pace = Pace(1.0 / config.fps)
        self._count = 0

    def open(self) -> None:
        """Begin to count."""
        self._pace.begin()

    def read(self) -> Sample | None:
        """Wait for the next picture."""
        self._pace.wait()
        c = self._config
        if c.gone_after is not None and self._count >= c.gone_after:
            raise HardwareError(f"the fake camera is gone after {c.gone_after} pictures")
        if c.frozen_after is not None and self._count >= c.frozen_after:
            return None
        self._count += 1
        image = pattern(c.width, c.height, self._count)
        return Sample(
            sequence=self._count, device_ns=time.monotonic_ns(), images={self._key: image}
        )

    def close(self) -> None:
        """Nothing is held."""


def pattern(width: int, height: int, count: int) -> Image:
    """Return picture number `count`, uint8[height, width, 3]."""
    image = np.empty((height, width, 3), np.uint8)
    image[..., 0] = np.linspace(0, 255, width, dtype=np.uint8)[None, :]
    image[..., 1] = np.linspace(0, 255, height, dtype=np.uint8)[:, None]
    image[..., 2] = count % 256
    return image
