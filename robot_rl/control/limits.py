"""The limits of one cell, as a config. What enforces them is in `limiter` and `safety`."""

from __future__ import annotations

import math
from typing import Self

from pydantic import Field, model_validator

from robot_rl.config.model import Config

Position = tuple[float, float, float]


class Plane(Config):
    """A half-space in the robot base frame in which the tcp must stay: `normal . p >= offset_m`.

    Args:
        normal: unit vector that points to the allowed side.
        offset_m: distance of the plane from the base's origin along the normal.
    """

    normal: Position
    offset_m: float

    @model_validator(mode="after")
    def _check_normal(self) -> Self:
        if abs(math.hypot(*self.normal) - 1.0) > 1e-3:
            raise ValueError(
                f"normal {self.normal} has length {math.hypot(*self.normal):.4g}, expected 1"
            )
        return self


class SafetyLimits(Config):
    """What no command may exceed. There are no defaults: every number belongs to one cell.

    Args:
        workspace_min_m, workspace_max_m: box for the tcp in the robot base frame.
        workspace_planes: further faces that the tcp must stay in front of.
        joint_lower_rad, joint_upper_rad: joint positions, one per joint.
        max_joint_velocity_rad_s, max_joint_acceleration_rad_s2: one per joint; the acceleration
            is also what an arm may brake with in front of a joint limit.
        max_tcp_speed_m_s, max_tcp_angular_speed_rad_s: of the commanded tcp motion.
        max_tcp_acceleration_m_s2, max_tcp_angular_acceleration_rad_s2: change of the commanded
            tcp velocity; the first is also the braking in front of the workspace's faces.
        max_force_n, max_torque_n_m: beyond them only motion that gives way is let through;
            beyond twice as much the gate latches STOP.
        max_observation_age_s: of the oldest stream of the observation that a command answers.
        max_command_age_s: between the issue of a command and its check.
        max_late_ticks: periods that one tick may miss before the gate holds.
        fresh_samples_to_resume: good commands in a row that end a hold for staleness.
    """

    workspace_min_m: Position
    workspace_max_m: Position
    joint_lower_rad: tuple[float, ...]
    joint_upper_rad: tuple[float, ...]
    workspace_planes: tuple[Plane, ...] = ()
    max_joint_velocity_rad_s: tuple[float, ...]
    max_joint_acceleration_rad_s2: tuple[float, ...]
    max_joint_jerk_rad_s3: tuple[float, ...]
    max_tcp_speed_m_s: float
    max_tcp_angular_speed_rad_s: float
    max_tcp_acceleration_m_s2: float
    max_tcp_angular_acceleration_rad_s2: float
    max_tcp_jerk_m_s3: float
    max_tcp_angular_jerk_rad_s3: float
    slow_at_condition: float = Field(gt=1.0)
    hold_at_condition: float = Field(gt=1.0)
    min_distance_m: float = Field(ge=0.0)
    max_force_n: float
    max_torque_n_m: float
    max_observation_age_s: float
    max_command_age_s: float
    max_late_ticks: int = Field(ge=1)
    fresh_samples_to_resume: int = Field(ge=1)

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        for low, high in (
            ("workspace_min_m", "workspace_max_m"),
            ("joint_lower_rad", "joint_upper_rad"),
        ):
            lows, highs = getattr(self, low), getattr(self, high)
            if len(lows) != len(highs):
                raise ValueError(f"{low} has {len(lows)} elements, {high} has {len(highs)}")
            if not all(a < b for a, b in zip(lows, highs, strict=True)):
                raise ValueError(f"{low} {lows} must be below {high} {highs} in every element")
        return self

    @model_validator(mode="after")
    def _check_conditions(self) -> Self:
        if not self.slow_at_condition < self.hold_at_condition:
            raise ValueError(
                f"slow_at_condition {self.slow_at_condition} must be below hold_at_condition "
                f"{self.hold_at_condition}"
            )
        return self

    @model_validator(mode="after")
    def _check_maxima(self) -> Self:
        for name in type(self).model_fields:
            value: float | tuple[float, ...] = getattr(self, name)
            if not name.startswith("max_"):
                continue
            if isinstance(value, tuple) and len(value) != len(self.joint_lower_rad):
                raise ValueError(
                    f"{name} has {len(value)} elements, joint_lower_rad has "
                    f"{len(self.joint_lower_rad)}: expected one per joint"
                )
            if not all(v > 0 for v in (value if isinstance(value, tuple) else (value,))):
                raise ValueError(f"{name}: got {value}, expected positive")
        return self
