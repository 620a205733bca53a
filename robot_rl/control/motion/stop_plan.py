"""A way to rest from any command, in closed form, so that to look for one costs microseconds.

A command `step` u moves the arm by u within one period; `change` c is what it differs by from the
command before. Limits bound |u|, |c| and the change of c, for each part of a command by itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

TOLERANCE = 1e-10
"""Relative: sums of float64 are not to count as beyond a limit."""


@dataclass(frozen=True, slots=True)
class Part:
    """Elements of a command whose norm is limited: translation, rotation, or one joint.

    Args:
        start, end: which elements.
        step: greatest norm of a command [m or rad per period].
        change: greatest norm of what it may differ by from the one before.
        jerk: greatest norm of what that may differ by from the one before.
    """

    start: int
    end: int
    step: float
    change: float
    jerk: float

    def norm(self, vector: Sequence[float]) -> float:
        """Norm of these elements."""
        return math.hypot(*vector[self.start : self.end])


@dataclass(frozen=True, slots=True)
class StopPlan:
    """The commands that follow u and c until the arm rests, all along two straight lines.

    First the change fades to zero along its own direction: after k of `ramp` = n periods it is
    (1 - k/n) c, and the command at their end is the `peak` u + c (n-1)/2. Then the peak is taken
    down to zero, all parts in step with the slowest: by 1/`brakes` of it in each period, at once
    if `brakes` <= 1, and that profile is smoothed by a mean over `smooth` periods. The last
    period of the first phase, in which nothing changes, is left out where the jerk allows it
    (`level` = n-1). Every command lies on the way from u to the peak or from the peak to zero, so
    these two alone decide whether all of them are slow enough.

    Where a jerk of twice the greatest change is allowed, this is to brake at once with the
    greatest change.
    """

    step: Sequence[float]
    change: Sequence[float]
    ramp: int
    level: int
    peak: Sequence[float]
    brakes: float
    smooth: int

    @property
    def periods(self) -> int:
        """How many periods pass until the command is zero."""
        return self.level + (math.ceil(self.brakes) + self.smooth - 1 if self.brakes > 0.0 else 0)

    def at(self, period: int) -> list[float]:
        """Return the command of a period, counted from 1; period 0 is the step itself."""
        if period >= self.periods:
            return [0.0] * len(self.step)
        if period <= self.level:
            grown = period - period * (period + 1) / (2 * self.ramp) if period else 0.0
            return [u + grown * c for u, c in zip(self.step, self.change, strict=True)]
        left = 1.0 - self._braked(period - self.level)
        return [left * u for u in self.peak]

    def shortened(self, shares: Sequence[float]) -> StopPlan:
        """Return the same plan with each element of its commands shortened to a share of it."""
        step, change, peak = (
            [share * x for share, x in zip(shares, vector, strict=True)]
            for vector in (self.step, self.change, self.peak)
        )
        return replace(self, step=step, change=change, peak=peak)

    @property
    def reach(self) -> tuple[float, float]:
        """Factors of u and c whose sum is the way to rest, that of u itself included.

        Where a and b are u and c along any direction, `reach[0] * a + reach[1] * b` is the way
        along it.
        """
        n, rest = self.ramp, self._braking_way
        if n == 0:
            return 1.0 + rest, 0.0
        lean = (n - 1) / 2
        return 1.0 + self.level + rest, (n * n - 1) / 3 - lean * (n - self.level) + rest * lean

    @property
    def lean(self) -> float:
        """Factor of c with which it makes the peak out of u."""
        return (self.ramp - 1) / 2 if self.ramp else 0.0

    @property
    def _braking_way(self) -> float:
        """What is covered after the peak, in units of the peak."""
        if self.brakes <= 0.0:
            return 0.0
        whole = math.floor(self.brakes)
        return whole - whole * (whole + 1) / (2 * self.brakes) + (self.smooth - 1) / 2

    def _braked(self, periods: int) -> float:
        """How much of the peak is gone, from 0 to 1."""
        first = max(1, periods - self.smooth + 1)
        gone = (min(k / self.brakes, 1.0) for k in range(first, periods + 1))
        return sum(gone) / self.smooth


def plan_stop(step: Sequence[float], change: Sequence[float], parts: Sequence[Part]) -> StopPlan:
    """Return the plan from a command and its change, each part within its own limits."""
    fading = [part.norm(change) for part in parts]
    ramp = max(_periods(size, part.jerk) for size, part in zip(fading, parts, strict=True))
    peak = step
    if ramp > 1:
        peak = [u + c * (ramp - 1) / 2 for u, c in zip(step, change, strict=True)]
    sizes = [part.norm(peak) for part in parts]
    brakes = max(size / part.change for size, part in zip(sizes, parts, strict=True))
    drop = 1.0 / brakes if brakes > 1.0 else 1.0
    smooth = max(
        1, *(_periods(drop * size, part.jerk) for size, part in zip(sizes, parts, strict=True))
    )
    level = ramp
    if ramp and all(
        fade / ramp + drop * size / smooth <= part.jerk * (1.0 + TOLERANCE)
        for fade, size, part in zip(fading, sizes, parts, strict=True)
    ):
        level = ramp - 1
    return StopPlan(step, change, ramp, level, peak, brakes, smooth)


def _periods(size: float, jerk: float) -> int:
    return math.ceil(size / jerk * (1.0 - TOLERANCE))
