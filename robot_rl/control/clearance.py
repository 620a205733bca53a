"""How far one may go in one period without running into the ends of the box and of the joints.

An end is approached only as fast as the arm can brake. What lies beyond an end may come back,
never go further out. Plain floats, because a numpy call costs more than all seven joints.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from robot_rl.control.limits import SafetyLimits

ROUNDING = 1e-7
"""What asks for exactly a limit, in float32, is not told as beyond it [m or rad]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clearance:
    """How far two bodies are apart, and how the joints change that.

    Args:
        pair: the two bodies, in words for a person.
        distance_m: between their surfaces; negative if they overlap.
        gradient: derivative of the distance by each joint position [m/rad].
    """

    pair: str
    distance_m: float
    gradient: tuple[float, ...]


class Clearances(Protocol):
    """Knows which bodies of the arm come close to each other or to the scene."""

    def near(self, q: Sequence[float], within_m: float) -> list[Clearance]:
        """Return every pair that is closer than `within_m` at joint positions q [rad]."""
        ...


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
        changes = (a * period_s**2 for a in deceleration)
        self._rows = tuple(zip(lower, upper, changes, strict=True))

    def ahead(self, position: Sequence[float]) -> list[float]:
        """How far it is to the upper ends."""
        return [upper - x for x, (_, upper, _) in zip(position, self._rows, strict=True)]

    def behind(self, position: Sequence[float]) -> list[float]:
        """How far it is to the lower ends."""
        return [x - lower for x, (lower, _, _) in zip(position, self._rows, strict=True)]

    def clip(self, step: Sequence[float], position: Sequence[float]) -> list[float]:
        """Shorten each coordinate's step as needed."""
        return [
            s if abs(s) <= most else math.copysign(most, s)
            for s, most in zip(step, self._most(step, position), strict=True)
        ]

    def factor(self, step: Sequence[float], position: Sequence[float]) -> float:
        """Return what to multiply the whole step with, at most 1."""
        most = self._most(step, position)
        return min(factor_within(abs(s), m) for s, m in zip(step, most, strict=True))

    def _most(self, step: Sequence[float], position: Sequence[float]) -> list[float]:
        """How far each coordinate may go now in the direction in which it is going."""
        return [
            _most(abs(s), upper - x if s > 0.0 else x - lower, change)
            for s, x, (lower, upper, change) in zip(step, position, self._rows, strict=True)
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
    return most / size if size > most else 1.0


def _most(size: float, distance: float, change: float) -> float:
    # Most commands are of this kind, and a square root costs more than all the rest.
    if size <= distance and size <= change:
        return size
    return braking_speed(distance, change, 1.0)
