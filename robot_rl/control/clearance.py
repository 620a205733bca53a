"""How far one may go in one period without running into the ends of the box and of the joints.

An end is approached only as fast as the arm can brake. What lies beyond an end may come back,
never go further out. Plain floats, because a numpy call costs more than all seven joints.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from robot_rl.control.limits import SafetyLimits

ROUNDING = 1e-7
"""What asks for exactly a limit, in float32, is not to count as beyond it [m or rad]."""


def braking_speed(distance: float, deceleration: float, period_s: float) -> float:
    """Return the greatest speed from which one can stop within a distance.

    The discrete form of sqrt(2 a d): the speed v drops by a*T every period T, and the distance
    covered is T * (v + (v - aT) + (v - 2aT) + ...). Never above sqrt(2 a d), nor d / T.

    Args:
        distance: to the end; negative beyond it: the speed is then 0.
        deceleration: a > 0.
        period_s: control period T.
    """
    if distance <= 0.0:
        return 0.0
    drop = deceleration * period_s
    # Rounding makes -1 of a distance that is next to nothing.
    periods = max(0, math.ceil(0.5 * math.sqrt(1.0 + 8.0 * distance / (drop * period_s)) - 1.5))
    return distance / ((periods + 1) * period_s) + 0.5 * periods * drop


class Room:
    """Two ends per coordinate, and the braking that must bring it to rest before them."""

    def __init__(
        self,
        lower: Sequence[float],
        upper: Sequence[float],
        deceleration: Sequence[float],
        period_s: float,
    ) -> None:
        self._rows = tuple(zip(lower, upper, deceleration, strict=True))
        self._period_s = period_s

    def clip(self, step: list[float], position: Sequence[float]) -> tuple[list[float], bool]:
        """Shorten each coordinate's step as needed; return also whether any was."""
        rooms = self._ahead(step, position)
        clipped = [
            math.copysign(room, s) if abs(s) > room else s
            for s, room in zip(step, rooms, strict=True)
        ]
        changed = any(abs(s) > room + ROUNDING for s, room in zip(step, rooms, strict=True))
        return clipped, changed

    def factor(self, step: list[float], position: Sequence[float]) -> float:
        """Return what to multiply the whole step with, at most 1."""
        rooms = self._ahead(step, position)
        return min(factor_within(abs(s), room) for s, room in zip(step, rooms, strict=True))

    def _ahead(self, step: list[float], position: Sequence[float]) -> list[float]:
        """How far each coordinate may go in the direction in which it is going."""
        t = self._period_s
        return [
            braking_speed(upper - x if s > 0.0 else x - lower, deceleration, t) * t
            for s, x, (lower, upper, deceleration) in zip(step, position, self._rows, strict=True)
        ]


def workspace_room(limits: SafetyLimits, period_s: float) -> Room:
    """Room of the tcp, axis by axis in the base frame."""
    braking = (limits.max_tcp_acceleration_m_s2,) * 3
    return Room(limits.workspace_min_m, limits.workspace_max_m, braking, period_s)


def joint_room(limits: SafetyLimits, period_s: float) -> Room:
    """Room of the joints."""
    braking = limits.max_joint_acceleration_rad_s2
    return Room(limits.joint_lower_rad, limits.joint_upper_rad, braking, period_s)


def factor_within(size: float, most: float) -> float:
    """Return what to multiply a size with to get it down to `most`; 1 if it is not above."""
    return most / size if size > most + ROUNDING else 1.0
