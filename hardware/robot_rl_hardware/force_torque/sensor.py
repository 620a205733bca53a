"""What all force-torque sensors have in common: their range."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from robot_rl.core.types import Vector
from robot_rl_hardware.sampler import SensorConfig


class ForceTorqueConfig(SensorConfig):
    """A force-torque sensor. Its samples are `observation.wrench`, in its own frame, untared.

    Args:
        range_n: of each force [N], as its calibration sheet says.
        range_nm: of each torque [N m].
    """

    silent_after_s: float = Field(default=0.1, gt=0)
    range_n: tuple[float, float, float]
    range_nm: tuple[float, float, float]

    def complaint(self, wrench: Vector) -> str:
        """Why the wrench float32[6] cannot be true, in words; empty if it can."""
        if not np.isfinite(wrench).all():
            return f"the wrench is not finite: {wrench.tolist()}"
        limit = np.array([*self.range_n, *self.range_nm])
        if (np.abs(wrench) > limit).any():
            return (
                f"the wrench {np.round(wrench, 2).tolist()} is beyond the sensor's range "
                f"{limit.tolist()} [N, N m]: is it overloaded?"
            )
        return ""
