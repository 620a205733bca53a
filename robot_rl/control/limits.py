"""The limits of one cell, as a config. What enforces them is in `limiter` and `safety`."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from robot_rl.config.model import Config

Position = tuple[float, float, float]


class SafetyLimits(Config):
    """What no command may exceed. There are no defaults: every number belongs to one cell.

    Args:
        workspace_min_m, workspace_max_m: box for the tcp in the robot base frame.
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
    """

    workspace_min_m: Position
    workspace_max_m: Position
    joint_lower_rad: tuple[float, ...]
    joint_upper_rad: tuple[float, ...]
    max_joint_velocity_rad_s: tuple[float, ...]
    max_joint_acceleration_rad_s2: tuple[float, ...]
    max_tcp_speed_m_s: float
    max_tcp_angular_speed_rad_s: float
    max_tcp_acceleration_m_s2: float
    max_tcp_angular_acceleration_rad_s2: float
    max_force_n: float
    max_torque_n_m: float
    max_observation_age_s: float
    max_command_age_s: float

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
