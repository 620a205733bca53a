"""The wrench of nothing touched, taken off those that follow."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.errors import HardwareError

Array = NDArray[np.float64]

_SAMPLES, _LEAST = 20, 5
_STILL_M_S = 0.01


class Tare:
    """Zero until somebody says that nothing is touched; valid for the tool's turn at that time."""

    def __init__(self) -> None:
        self._zero = np.zeros(6)
        self._untared: deque[Array] = deque(maxlen=_SAMPLES)
        self._speed_m_s = 0.0

    def taken_off(self, wrench: Array, speed_m_s: float) -> Array:
        """Return a wrench float64[6] [N, N m] without the tare.

        Args:
            wrench: as it was measured, in the tcp frame.
            speed_m_s: of the tool at that instant.
        """
        self._untared.append(wrench)
        self._speed_m_s = speed_m_s
        return wrench - self._zero

    def zero(self) -> Array:
        """Take the mean of the last instants as the tare, and return it.

        Raises:
            HardwareError: if there have been too few, or the tool moves.
        """
        if len(self._untared) < _LEAST:
            raise HardwareError(
                f"{len(self._untared)} wrenches so far, expected at least {_LEAST}"
            )
        if self._speed_m_s > _STILL_M_S:
            raise HardwareError(
                f"the tool moves at {self._speed_m_s:.3f} m/s, expected at most {_STILL_M_S}; "
                "hold it first"
            )
        self._zero = np.mean(self._untared, axis=0)
        return self._zero
