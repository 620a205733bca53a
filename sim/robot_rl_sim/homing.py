"""A straight way of the tool to a pose, velocity by velocity, from where the tool is measured."""

from __future__ import annotations

import numpy as np

from robot_rl.core.geometry import pose_minus_pose
from robot_rl_sim.backend import Array

_SPEED = np.array([0.2, 0.6])
_ACCELERATION = np.array([0.5, 2.0])
_NEAR_PER_S = 5.0
"""Near its end the tool covers this part of what is left in a second: 4 cm before it, at most."""
TOLERANCE = (0.5e-3, 3e-3)
"""How near is there [m, rad]."""


class Homing:
    """Velocities that bring the tool to a pose at no more than 0.2 m/s and 0.6 rad/s.

    Args:
        target: float64[7], position [m] and quaternion xyzw in the base frame.
        period_s: how long each velocity is in force.
        tolerance: how near is there [m, rad].
    """

    def __init__(
        self, target: Array, period_s: float, tolerance: tuple[float, float] = TOLERANCE
    ) -> None:
        self._target = target
        self._period_s = period_s
        self._tolerance = np.array(tolerance)
        self._speed = np.zeros(2)

    def left(self, pose: Array) -> tuple[float, float]:
        """Way [m] and turn [rad] from a pose float64[7] to the target."""
        delta = pose_minus_pose(self._target, pose)
        return float(np.linalg.norm(delta[:3])), float(np.linalg.norm(delta[3:]))

    def next(self, pose: Array) -> Array | None:
        """The next velocity float64[6] [m/s, rad/s] in the base frame; None once it is there.

        Args:
            pose: float64[7], measured.
        """
        left = np.array(self.left(pose))
        if (left < self._tolerance).all():
            return None
        faster = self._speed + _ACCELERATION * self._period_s
        self._speed = np.minimum(np.minimum(faster, _SPEED), _NEAR_PER_S * left)
        along = self._speed / np.maximum(left, 1e-9)
        return pose_minus_pose(self._target, pose) * np.repeat(along, 3)
