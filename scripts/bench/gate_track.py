"""What a tool did after a fault."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

REST_M_S = 1e-3
"""A slower tool counts as at rest."""


@dataclass(frozen=True, slots=True)
class Track:
    """One row for each period of the robot.

    Args:
        start_s: the instant of the fault.
        time_s: float64[n], all later.
        speed_m_s: float64[n], of the tool.
        position_m: float64[n, 3].
    """

    start_s: float
    time_s: NDArray[np.float64]
    speed_m_s: NDArray[np.float64]
    position_m: NDArray[np.float64]

    @property
    def rest_s(self) -> float:
        """How long after the fault the tool was at rest for good; infinite if it never was."""
        if self.speed_m_s[-1] > REST_M_S:
            return float("inf")
        fast = self.time_s[self.speed_m_s > REST_M_S]
        return float(fast.max(initial=self.start_s)) - self.start_s

    @property
    def travel_m(self) -> float:
        """How far the tool got from where it was."""
        return float(np.linalg.norm(self.position_m - self.position_m[0], axis=1).max())
