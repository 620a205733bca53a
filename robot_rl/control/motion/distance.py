"""Keeps the arm's bodies apart from each other and from the scene."""

from __future__ import annotations

from collections.abc import Sequence

from robot_rl.control.clearance import Clearance, Clearances, braking_speed, factor_within
from robot_rl.control.limits import SafetyLimits
from robot_rl.control.motion.stop_plan import Part, plan_stop

_FASTER = 4.0
"""How much faster than the tool a link may be; what is farther away is not looked at."""


class Distance:
    """The braking law of the workspace's faces, for distances between bodies.

    Args:
        clearances: knows the bodies.
        limits: of the cell.
        period_s: control period.
    """

    def __init__(self, clearances: Clearances, limits: SafetyLimits, period_s: float) -> None:
        self._clearances = clearances
        self._least_m = limits.min_distance_m
        self._change = limits.max_tcp_acceleration_m_s2 * period_s**2
        self._within_m = self._least_m + _FASTER * _way_to_rest(limits, period_s)

    def near(self, q: Sequence[float]) -> list[Clearance]:
        """The pairs of bodies that could get too close before the arm is at rest."""
        return self._clearances.near(q, self._within_m)

    def room(self, clearance: Clearance) -> float:
        """How far a pair may still approach [m]; negative if it is too close."""
        return clearance.distance_m - self._least_m

    def factor(self, near: Sequence[Clearance], joint_step: Sequence[float]) -> float:
        """Return what to multiply a command with that would change the joints by that [rad]."""
        factor = 1.0
        for clearance in near:
            closer = -sum(g * s for g, s in zip(clearance.gradient, joint_step, strict=True))
            most = braking_speed(self.room(clearance), self._change, 1.0)
            factor = min(factor, factor_within(closer, most))
        return factor


def _way_to_rest(limits: SafetyLimits, period_s: float) -> float:
    """The tool's, from its greatest speed with its greatest acceleration [m]."""
    step = limits.max_tcp_speed_m_s * period_s
    change = limits.max_tcp_acceleration_m_s2 * period_s**2
    part = Part(0, 1, step, change, limits.max_tcp_jerk_m_s3 * period_s**3)
    of_step, of_change = plan_stop([step], [change], [part]).reach
    return of_step * step + of_change * change
