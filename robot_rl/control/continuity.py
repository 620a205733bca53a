"""Whether an arm can have moved from one observation to the next as they say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from robot_rl.control.admission import Refusal
from robot_rl.control.limits import SafetyLimits
from robot_rl.control.motion.reading import Reading
from robot_rl.core.clock import NS_PER_S
from robot_rl.core.types import GateReason

_FACTOR = 3.0
"""Multiple of the speed limits beyond which motion is no motion but a fault of the measurement.

Above 2: where a monitor has held one sample back, the next is two periods of motion ahead."""


class Continuity:
    """Refuses an observation that is too far from the one before.

    What is refused once is believed when the next one agrees with it, so that a spike never
    counts, and an arm that was moved by hand is not refused for ever.

    Args:
        limits: of the cell.
        period_s: control period: no two observations count as closer in time.
    """

    def __init__(self, limits: SafetyLimits, period_s: float) -> None:
        self._joint_speeds = limits.max_joint_velocity_rad_s
        self._speed_m_s = limits.max_tcp_speed_m_s
        self._speed_rad_s = limits.max_tcp_angular_speed_rad_s
        self._period_s = period_s
        self._believed: _Seen | None = None
        self._doubted: _Seen | None = None

    def reset(self) -> None:
        """Believe the next observation: the arm may have been put anywhere."""
        self._believed = self._doubted = None

    def refuse(self, reading: Reading, stamp_ns: int) -> Refusal | None:
        """Refuse what cannot be true, as seen at that time."""
        seen = _Seen(reading, stamp_ns)
        jump = self._jump(self._believed, seen)
        if jump and self._doubted and not self._jump(self._doubted, seen):
            jump = ""
        if not jump:
            self._believed, self._doubted = seen, None
            return None
        self._doubted = seen
        return GateReason.STALE_OBSERVATION, jump

    def _jump(self, before: _Seen | None, now: _Seen) -> str:
        if before is None:
            return ""
        since_s = max(abs(now.stamp_ns - before.stamp_ns) / NS_PER_S, self._period_s)
        longest_s = _FACTOR * since_s
        joints = zip(now.reading.q, before.reading.q, self._joint_speeds, strict=False)
        for joint, (a, b, speed) in enumerate(joints):
            if abs(a - b) > speed * longest_s:
                return f"joint {joint} jumped by {abs(a - b):.4g} rad in {since_s:.3f} s"
        if not now.reading.tcp:
            return ""
        move_m = math.dist(now.reading.tcp[:3], before.reading.tcp[:3])
        if move_m > self._speed_m_s * longest_s:
            return f"the tcp jumped by {move_m:.4g} m in {since_s:.3f} s"
        turn_rad = _angle(now.reading.tcp[3:], before.reading.tcp[3:])
        if turn_rad > self._speed_rad_s * longest_s:
            return f"the tcp jumped by {turn_rad:.4g} rad in {since_s:.3f} s"
        return ""


@dataclass(frozen=True, slots=True)
class _Seen:
    reading: Reading
    stamp_ns: int


def _angle(a: Sequence[float], b: Sequence[float]) -> float:
    """Between two orientations, quaternions of any length [rad]."""
    same = abs(sum(x * y for x, y in zip(a, b, strict=True)))
    return 2.0 * math.acos(min(1.0, same / (math.hypot(*a) * math.hypot(*b))))
