"""How far each joint may go within one period."""

from __future__ import annotations

import numpy as np

from robot_rl.control.cartesian.refusal import Array
from robot_rl.control.clearance import braking_speed
from robot_rl.control.limits import SafetyLimits


class JointBox:
    """The joints' speeds, and in front of their ends no more than they can brake from.

    What is beyond an end may come back and not go on. Zero is always within the box.

    Args:
        limits: of the cell.
        period_s: control period.
    """

    def __init__(self, limits: SafetyLimits, period_s: float) -> None:
        self._period_s = period_s
        self._lower = np.array(limits.joint_lower_rad)
        self._upper = np.array(limits.joint_upper_rad)
        self._braking = limits.max_joint_acceleration_rad_s2
        fastest = np.array(limits.max_joint_velocity_rad_s)
        self._steps = fastest * period_s
        # Farther than this from an end one may go at full speed.
        self._stops = 0.5 * fastest**2 / np.array(self._braking) + self._steps

    def bounds(self, q: Array) -> tuple[Array, Array]:
        """The lowest and the highest step at joint positions q, float64[n] each [rad]."""
        return -self._room(q - self._lower), self._room(self._upper - q)

    def _room(self, distance: Array) -> Array:
        room = self._steps.copy()
        near: list[int] = np.flatnonzero(distance < self._stops).tolist()
        for i in near:
            speed = braking_speed(float(distance[i]), self._braking[i], self._period_s)
            room[i] = min(room[i], speed * self._period_s)
        return room
