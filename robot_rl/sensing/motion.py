"""Whether the arm has moved since some instant, told by every vector that knows of it.

A picture of a still scene may repeat itself bit by bit where nothing adds noise, as in simulation.
That it is frozen shows only once something else says that the arm has moved.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from robot_rl.core.clock import NS_PER_S
from robot_rl.core.spec import JOINT_POSITION, JOINT_VELOCITY, TCP_POSE, TCP_TWIST
from robot_rl.core.types import Vector


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionScale:
    """What counts as having moved.

    Args:
        distance_m: way of the tcp.
        angle_rad: turn of the tcp, or of any joint.
        time_s: where only a velocity tells, for how long it must have been fast enough to cover
            distance or angle in this time; a small bias then never adds up.
    """

    distance_m: float
    angle_rad: float
    time_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What was known of the arm at an instant, by key.

    Args:
        places: tcp pose and joint positions.
        moving_s: for how long each velocity had been fast until then [s].
    """

    places: Mapping[str, Vector]
    moving_s: Mapping[str, float]


class Motion:
    """Follows the vectors of an arm, and answers whether it has moved since."""

    def __init__(self, scale: MotionScale) -> None:
        self._scale = scale
        self._now = Mark(places={}, moving_s={})
        self._stamp_ns: int | None = None

    def update(self, vectors: Mapping[str, Vector], now_ns: int) -> None:
        """Take in what the arm tells at this instant."""
        before_ns, self._stamp_ns = self._stamp_ns, now_ns
        elapsed_s = 0.0 if before_ns is None else (now_ns - before_ns) / NS_PER_S
        places, moving_s = dict(self._now.places), dict(self._now.moving_s)
        for key in (TCP_POSE, JOINT_POSITION):
            if key in vectors:
                places[key] = vectors[key]
        for key in (TCP_TWIST, JOINT_VELOCITY):
            if key in vectors:
                fast_s = elapsed_s if self._is_fast(key, vectors[key]) else 0.0
                moving_s[key] = moving_s.get(key, 0.0) + fast_s
        self._now = Mark(places=places, moving_s=moving_s)

    def mark(self) -> Mark:
        """Return this instant, for `since`."""
        return self._now

    def since(self, mark: Mark, *, without: str) -> bool:
        """Whether the arm has moved since the mark, by any witness but the vector `without`."""
        now = self._now
        return any(
            key != without and self._is_elsewhere(key, then, now.places[key])
            for key, then in mark.places.items()
        ) or any(
            key != without and now.moving_s[key] - then_s >= self._scale.time_s
            for key, then_s in mark.moving_s.items()
        )

    def _is_fast(self, key: str, velocity: Vector) -> bool:
        if key == JOINT_VELOCITY:
            joints: list[float] = velocity.tolist()
            return self._is_far(0.0, max(map(abs, joints)) * self._scale.time_s)
        vx, vy, vz, wx, wy, wz = (v * self._scale.time_s for v in velocity.tolist())
        return self._is_far(math.hypot(vx, vy, vz), math.hypot(wx, wy, wz))

    def _is_elsewhere(self, key: str, then: Vector, now: Vector) -> bool:
        if key == JOINT_POSITION:
            turned: list[float] = (now - then).tolist()
            return self._is_far(0.0, max(map(abs, turned)))
        return self._is_far(*pose_distance(then, now))

    def _is_far(self, distance_m: float, angle_rad: float) -> bool:
        return distance_m >= self._scale.distance_m or angle_rad >= self._scale.angle_rad


def pose_distance(a: Vector, b: Vector) -> tuple[float, float]:
    """Distance [m] and angle [rad] of two poses float32[7], whatever their quaternions' signs."""
    (ax, ay, az, *qa), (bx, by, bz, *qb) = a.tolist(), b.tolist()
    # Half the angle of q and p is that of q - p and q + p; unlike acos, this is exact near zero.
    apart = math.hypot(*(x - y for x, y in zip(qa, qb, strict=True)))
    along = math.hypot(*(x + y for x, y in zip(qa, qb, strict=True)))
    angle_rad = 4.0 * math.atan2(min(apart, along), max(apart, along))
    return math.hypot(bx - ax, by - ay, bz - az), angle_rad
