"""What must hold along a direction of a command: room before and behind, and a speed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robot_rl.control.clearance import ROUNDING
from robot_rl.control.motion.stop_plan import TOLERANCE, StopPlan
from robot_rl.core.types import GateReason

Array = NDArray[np.float64]

_CURVATURE = 0.25
"""Share of the way after a command by which it may lead farther than its straight line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ball:
    """Directions of which the norm of what is along them is limited too."""

    start: int
    end: int
    most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """One direction a row; lists with one element for each.

    Args:
        rows: float64[k, d], by which a command is turned into its k components.
        ahead, behind: room in and against the direction; negative beyond its end.
        most: greatest component of one command.
        why: what a command is bent for if it does not keep to these.
        free: float64[f, d], the first rows, as far as they are unit vectors: components that can
            be shortened by themselves, so that an arm may go on along a face, or with its other
            joints.
        owners: number of the part of the command to which each of these belongs.
        balls: limits of norms, for the reason of velocity.
    """

    rows: Array
    ahead: Sequence[float]
    behind: Sequence[float]
    most: Sequence[float]
    why: Sequence[GateReason]
    free: Array
    owners: Sequence[int]
    balls: Sequence[Ball] = ()

    def components(self, *vectors: Sequence[float]) -> list[list[float]]:
        """Components of each of the vectors float[d]."""
        return (np.array(vectors) @ self.rows.T).tolist()

    def broken(
        self, plan: StopPlan, steps: Sequence[float], changes: Sequence[float]
    ) -> list[int]:
        """Return the rows that a command or its way to rest would not keep to.

        Along a row the plan goes from the command's component x to the peak's z and from there to
        zero. If x and z have the same sign its end is what is farthest; if the way leads back, no
        more than x in every period of the first phase. What is not free depends on where the arm
        is, and some room is left for that.

        Args:
            plan: that begins with the command.
            steps: components of the command.
            changes: components of its change.
        """
        of_step, of_change = plan.reach
        lean, turning, exact = plan.lean, 1.0 + plan.level, len(self.free)
        rows: list[int] = []
        for row, (x, y) in enumerate(zip(steps, changes, strict=True)):
            z = x + lean * y
            if x == 0.0 and z == 0.0:
                continue
            end = of_step * x + of_change * y
            if row >= exact:
                end += _CURVATURE * (end - x)
            forth = end if z >= 0.0 else turning * x
            back = -end if z <= 0.0 else -turning * x
            most = self.most[row] * (1.0 + TOLERANCE)
            if (
                ((x > 0.0 or z > 0.0) and forth > max(self.ahead[row], 0.0) + ROUNDING)
                or ((x < 0.0 or z < 0.0) and back > max(self.behind[row], 0.0) + ROUNDING)
                or abs(x) > most
                or abs(z) > most
            ):
                rows.append(row)
        return rows

    def too_fast(self, plan: StopPlan, steps: Sequence[float], changes: Sequence[float]) -> bool:
        """Return whether a norm is too great, of the command or at its peak."""
        for ball in self.balls:
            x = steps[ball.start : ball.end]
            z = [u + plan.lean * c for u, c in zip(x, changes[ball.start : ball.end], strict=True)]
            if max(math.hypot(*x), math.hypot(*z)) > ball.most * (1.0 + TOLERANCE):
                return True
        return False
