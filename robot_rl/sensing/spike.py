"""One wrong sample of an encoder must not become a jump of the arm."""

from __future__ import annotations

import math
from dataclasses import dataclass

from robot_rl.core.clock import NS_PER_S
from robot_rl.core.errors import ConfigError
from robot_rl.core.spec import TCP_POSE
from robot_rl.core.types import Vector
from robot_rl.sensing.motion import pose_distance

_AGREEING = 3
"""Samples beyond the bound that agree with each other are a jump that has really happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What to go on with.

    Args:
        vector: the sample's, or the last good one in its place.
        good_ns: the stamp of `vector` [ns].
        held: how many samples in a row have not been believed; 0 if this one is.
    """

    vector: Vector
    good_ns: int
    held: int


class SpikeGuard:
    """Believes a sample of a vector only if it can be reached from the last one believed.

    Else the last good sample takes its place. A sample that is not finite is passed on: the gate
    refuses it by name.

    Args:
        key: of the vector; tcp poses are compared by distance and angle.
        rates_per_s: what may change at most in a second, one number for each element or one for
            all; of a tcp pose [m/s, rad/s].
        period_s: the shortest time between samples; stamps that jitter below it do not count.

    Raises:
        ConfigError: if the number of rates does not fit.
    """

    def __init__(
        self, key: str, size: int, rates_per_s: tuple[float, ...], period_s: float
    ) -> None:
        self._is_pose = key == TCP_POSE
        compared = 2 if self._is_pose else size
        if len(rates_per_s) != compared and (self._is_pose or len(rates_per_s) != 1):
            raise ConfigError(
                f"{key}: max_rate_per_s has {len(rates_per_s)} elements, expected {compared}"
                + (": of the way [m/s] and of the angle [rad/s]" if self._is_pose else " or 1")
            )
        self._rates = rates_per_s if len(rates_per_s) == compared else rates_per_s * compared
        self._period_ns = period_s * NS_PER_S
        self._good: tuple[Vector, int] | None = None
        self._suspect: tuple[Vector, int] | None = None
        self._agreeing = 0
        self._held = 0

    def judge(self, vector: Vector, stamp_ns: int) -> Judged:
        """Take in a new sample float32[d]."""
        if not all(map(math.isfinite, vector.tolist())):
            return Judged(vector=vector, good_ns=stamp_ns, held=0)
        if self._good is None or self._is_near(self._good, vector, stamp_ns):
            return self._believe(vector, stamp_ns)
        near = self._suspect is not None and self._is_near(self._suspect, vector, stamp_ns)
        self._agreeing = self._agreeing + 1 if near else 1
        if self._agreeing >= _AGREEING:
            return self._believe(vector, stamp_ns)
        self._suspect = (vector, stamp_ns)
        self._held += 1
        good, good_ns = self._good
        return Judged(vector=good, good_ns=good_ns, held=self._held)

    def _believe(self, vector: Vector, stamp_ns: int) -> Judged:
        self._good, self._suspect = (vector, stamp_ns), None
        self._agreeing = self._held = 0
        return Judged(vector=vector, good_ns=stamp_ns, held=0)

    def _is_near(self, before: tuple[Vector, int], vector: Vector, stamp_ns: int) -> bool:
        then, then_ns = before
        way = pose_distance(then, vector) if self._is_pose else map(abs, (vector - then).tolist())
        elapsed_s = max(stamp_ns - then_ns, self._period_ns) / NS_PER_S
        return all(w <= r * elapsed_s for w, r in zip(way, self._rates, strict=True))
