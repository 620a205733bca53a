"""Jerk-limited motion of several coordinates to rest, all arriving together: ruckig's.

Berscheid and Kröger, Jerk-limited Real-time Trajectory Generation with Arbitrary Target States,
2021 (arXiv 2105.04830).
"""

# ruckig ships without type stubs.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import ruckig

from robot_rl.control.cartesian.refusal import Array
from robot_rl.core.errors import ContractError


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast each coordinate may become, float64[n] each: per s, s^2 and s^3."""

    velocity: Array
    acceleration: Array
    jerk: Array

    def slowed(self, factor: float) -> Pace:
        """The pace of the same motion in `1 / factor` of the time."""
        return Pace(
            velocity=factor * self.velocity,
            acceleration=factor**2 * self.acceleration,
            jerk=factor**3 * self.jerk,
        )


class TimeLaw:
    """Where the coordinates are when. The fastest way of each is stretched to the slowest's.

    A start that is faster than the pace is braked to it first. The duration is a whole number of
    periods, so that the target is reached at one of them.

    Args:
        start, velocity: float64[n], at time 0; the acceleration there is taken as 0.
        target: float64[n], where it comes to rest.
        pace: limits.
        period_s: control period.

    Raises:
        ContractError: if a number is not finite or there is no such motion.
    """

    def __init__(
        self, start: Array, velocity: Array, target: Array, pace: Pace, period_s: float
    ) -> None:
        wish = ruckig.InputParameter(len(start))
        wish.current_position, wish.current_velocity = start.tolist(), velocity.tolist()
        wish.target_position = target.tolist()
        wish.max_velocity = pace.velocity.tolist()
        wish.max_acceleration = pace.acceleration.tolist()
        wish.max_jerk = pace.jerk.tolist()
        wish.duration_discretization = ruckig.DurationDiscretization.Discrete
        self._path = ruckig.Trajectory(len(start))
        try:
            result = ruckig.Ruckig(len(start), period_s).calculate(wish, self._path)
        # Some of its error codes are no members of its own enumeration.
        except (ruckig.RuckigError, ValueError) as error:
            raise ContractError(
                f"there is no jerk-limited motion: {_first_line(error)}"
            ) from error
        if result not in (ruckig.Result.Working, ruckig.Result.Finished):
            raise ContractError(f"no jerk-limited motion: ruckig says {result.name}")
        self.duration_s: float = self._path.duration
        """Until everything is at rest."""

    def at(self, time_s: float) -> Array:
        """Coordinates float64[n]; after the end, the target."""
        return np.array(self._path.at_time(min(time_s, self.duration_s))[0])

    def looks(self, count: int) -> Array:
        """Coordinates at `count` instants from start to end, float64[count, n].

        ruckig's own extrema leave out where a moving start overshoots.
        """
        return np.stack([self.at(t) for t in np.linspace(0.0, self.duration_s, count)])


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].removeprefix("[ruckig] ")
