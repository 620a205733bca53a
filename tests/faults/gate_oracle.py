"""An oracle that knows the limits and where an arm really is, and nothing of the gate."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gate_arm import Station

from robot_rl.core.types import SafeAction


@dataclass
class Oracle:
    """Judges what leaves a gate, from the limits alone.

    Args:
        relative: share of the greatest command that is rounding of float32.
        blind_slack: beyond an end, of what depends on where an unseen arm is [m or rad].
        blind_faster: likewise, share of a speed.

    Attributes:
        broken: what was found, in words.
    """

    station: Station
    relative: float = 1e-6
    blind_slack: float = 1e-6
    blind_faster: float = 0.15
    broken: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        limits, t = self.station.limits, self.station.period_s
        if self.station.arm.cell.kind == "tcp_delta":
            self._parts = [
                (
                    slice(0, 3),
                    limits.max_tcp_speed_m_s * t,
                    limits.max_tcp_acceleration_m_s2 * t**2,
                    limits.max_tcp_jerk_m_s3 * t**3,
                ),
                (
                    slice(3, 6),
                    limits.max_tcp_angular_speed_rad_s * t,
                    limits.max_tcp_angular_acceleration_rad_s2 * t**2,
                    limits.max_tcp_angular_jerk_rad_s3 * t**3,
                ),
            ]
        else:
            rows = zip(
                limits.max_joint_velocity_rad_s,
                limits.max_joint_acceleration_rad_s2,
                limits.max_joint_jerk_rad_s3,
                strict=True,
            )
            self._parts = [
                (slice(i, i + 1), v * t, a * t**2, j * t**3) for i, (v, a, j) in enumerate(rows)
            ]
        self.forget()

    def forget(self) -> None:
        """The arm rests."""
        self.last = np.zeros(self.station.arm.cell.size)
        self.change: Any = np.zeros(self.station.arm.cell.size)

    def judge(
        self, safe: SafeAction, *, periods: int = 1, smooth: bool = True, blind: bool = False
    ) -> None:
        """Judge a command before the arm obeys it.

        Args:
            periods: since the last command; the arm has braked by itself in all but one of them,
                and how is not known, so that this change says nothing of jerk.
            smooth: whether acceleration and jerk are judged.
            blind: the gate has not seen where the arm is, and what depends on that is judged with
                some slack.
        """
        values = np.array(safe.values, float)
        arm = self.station.arm
        if safe.values.dtype != np.float32 or values.shape != (arm.cell.size,):
            self.broken.append(f"shape {safe.values.dtype}{values.shape}")
            return
        if not np.isfinite(values).all():
            self.broken.append("not finite")
            return
        change = values - self.last
        for span, speed, acceleration, jerk in self._parts:
            rounding = self.relative * speed
            self._most("speed", values[span], speed + rounding)
            if smooth:
                self._most("acceleration", change[span], periods * acceleration + 2 * rounding)
            if smooth and periods == 1 and self.change is not None:
                self._most("jerk", (change - self.change)[span], jerk + 4 * rounding)
        slack = self.blind_slack if blind else 1e-6
        faster = 1.0 + self.blind_faster if blind else 1.0
        self._judge_tcp(values, slack, faster)
        self._judge_joints(values, slack, faster)
        self.last, self.change = values, change if periods == 1 else None

    def only(self, *kinds: str) -> bool:
        """Whether something was found, and all of it is of these kinds."""
        return bool(self.broken) and all(words.startswith(kinds) for words in self.broken)

    def _most(self, what: str, vector: Any, most: float) -> None:
        size = float(np.linalg.norm(vector))
        if not size <= most:
            self.broken.append(f"{what} {size:.9g} > {most:.9g}")

    def _judge_tcp(self, values: Any, slack: float, faster: float) -> None:
        arm, limits = self.station.arm, self.station.limits
        if arm.cell.kind == "joint_delta":
            if arm.chain is None:
                return
            motion = arm.chain.jacobian(arm.q) @ values
            t = faster * self.station.period_s
            self._most("tcp speed", motion[:3], limits.max_tcp_speed_m_s * t + slack)
            self._most("tcp turn", motion[3:], limits.max_tcp_angular_speed_rad_s * t + slack)
            step = motion[:3]
        else:
            step = values[:3]
        before = arm.position
        # Where the arm stands outside already, it must not go on outwards.
        lower = np.minimum(limits.workspace_min_m, before) - slack
        upper = np.maximum(limits.workspace_max_m, before) + slack
        if (before + step < lower).any() or (before + step > upper).any():
            self.broken.append(f"box {before} + {step}")
        for plane in limits.workspace_planes:
            normal = np.array(plane.normal)
            if normal @ (before + step) < min(plane.offset_m, normal @ before) - slack:
                self.broken.append(f"plane {before} + {step}")

    def _judge_joints(self, values: Any, slack: float, faster: float) -> None:
        arm, limits = self.station.arm, self.station.limits
        step = arm.joint_step(values)
        if not step.size:
            return
        most = np.array(limits.max_joint_velocity_rad_s) * faster * self.station.period_s
        if (np.abs(step) > most + slack).any():
            self.broken.append(f"joint speed {np.abs(step).max():.9g}")
        lower = np.minimum(limits.joint_lower_rad, arm.q) - slack
        upper = np.maximum(limits.joint_upper_rad, arm.q) + slack
        if (arm.q + step < lower).any() or (arm.q + step > upper).any():
            self.broken.append(f"joint limit {arm.q} + {step}")
        if arm.ball is not None:
            before, after = arm.ball.distance_m(arm.q), arm.ball.distance_m(arm.q + step)
            # A ball is not as flat as its tangent: one step leaves it by less than this.
            if after < min(before, limits.min_distance_m) - 1e-4:
                self.broken.append(f"distance {before:.6f} -> {after:.6f}")
