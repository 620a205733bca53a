"""A force-torque sensor that is not there, for tests and for cells without one."""

from __future__ import annotations

import math
import time

import numpy as np
from pydantic import Field

from robot_rl.core.errors import HardwareError
from robot_rl.core.spec import WRENCH
from robot_rl_hardware.force_torque.sensor import ForceTorqueConfig
from robot_rl_hardware.pace import Pace
from robot_rl_hardware.sampler import Inlet, Sample, Sampler

Six = tuple[float, float, float, float, float, float]


class FakeForceTorqueConfig(ForceTorqueConfig):
    """A wrench that swings.

    Args:
        rate_hz: samples a second.
        mean: around which it swings [N, N m].
        swing: by how much [N, N m].
        swing_hz: how often.
        nan_after: samples until what it says is not a number any more; None if it never is.
        gone_after: samples until it is pulled out.
    """

    rate_hz: float = Field(default=1000.0, gt=0, le=8000)
    mean: Six = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    swing: Six = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    swing_hz: float = Field(default=1.0, gt=0)
    nan_after: int | None = Field(default=None, ge=0)
    gone_after: int | None = Field(default=None, ge=0)

    def build(self, inlet: Inlet) -> Sampler:
        """Return the sensor, not yet open."""
        return Sampler(FakeForceTorque(self), inlet, self.silent_after_s)


class FakeForceTorque:
    """Implements `Reader`."""

    def __init__(self, config: FakeForceTorqueConfig) -> None:
        self._config = config
        self._pace = Pace(1.0 / config.rate_hz)
        self._count = 0

    def open(self) -> None:
        """Begin to count."""
        self._pace.begin()

    def read(self) -> Sample | None:
        """Wait for the next wrench."""
        self._pace.wait()
        c = self._config
        if c.gone_after is not None and self._count >= c.gone_after:
            raise HardwareError(f"the fake sensor is gone after {c.gone_after} samples")
        self._count += 1
        phase = math.sin(2 * math.pi * c.swing_hz * self._count / c.rate_hz)
        wrench = (np.array(c.mean) + phase * np.array(c.swing)).astype(np.float32)
        if c.nan_after is not None and self._count > c.nan_after:
            wrench[:] = np.nan
        return Sample(
            sequence=self._count,
            device_ns=time.monotonic_ns(),
            vectors={WRENCH: wrench},
            complaint=c.complaint(wrench),
        )

    def close(self) -> None:
        """Nothing is held."""
