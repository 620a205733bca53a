from __future__ import annotations

import pytest
from pydantic import ValidationError

from robot_rl.control.limits import SafetyLimits

SOUND = {
    "workspace_min_m": (0.2, -0.4, 0.0),
    "workspace_max_m": (0.8, 0.4, 0.8),
    "joint_lower_rad": (-2.0, -1.0),
    "joint_upper_rad": (2.0, 1.0),
    "max_joint_velocity_rad_s": (1.0, 1.0),
    "max_joint_acceleration_rad_s2": (5.0, 5.0),
    "max_joint_jerk_rad_s3": (50.0, 50.0),
    "max_tcp_speed_m_s": 0.25,
    "max_tcp_angular_speed_rad_s": 1.0,
    "max_tcp_acceleration_m_s2": 2.0,
    "max_tcp_angular_acceleration_rad_s2": 8.0,
    "max_tcp_jerk_m_s3": 40.0,
    "max_tcp_angular_jerk_rad_s3": 40.0,
    "slow_at_condition": 17.0,
    "hold_at_condition": 30.0,
    "min_distance_m": 0.0,
    "max_force_n": 30.0,
    "max_torque_n_m": 5.0,
    "max_observation_age_s": 0.1,
    "max_command_age_s": 0.1,
    "max_late_ticks": 3,
    "fresh_samples_to_resume": 3,
}


def test_sound_limits_are_accepted():
    assert SafetyLimits.model_validate(SOUND).max_force_n == 30.0


@pytest.mark.parametrize("name", SOUND)
def test_no_limit_has_a_default(name):
    with pytest.raises(ValidationError, match=name):
        SafetyLimits.model_validate({k: v for k, v in SOUND.items() if k != name})


@pytest.mark.parametrize("name", [n for n in SOUND if n.startswith("max_") and "joint" not in n])
@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
def test_limit_that_limits_nothing_is_refused(name, value):
    with pytest.raises(ValidationError, match=name):
        SafetyLimits.model_validate(SOUND | {name: value})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("workspace_min_m", (0.2, 0.4, 0.0), "must be below workspace_max_m"),
        ("joint_lower_rad", (-2.0, 1.0), "must be below joint_upper_rad"),
        ("joint_upper_rad", (2.0,), "joint_lower_rad has 2 elements, joint_upper_rad has 1"),
        ("max_joint_velocity_rad_s", (1.0,), "expected one per joint"),
        ("max_joint_acceleration_rad_s2", (1.0, 0.0), "expected positive"),
        ("max_joint_jerk_rad_s3", (1.0,), "expected one per joint"),
        ("hold_at_condition", 17.0, "slow_at_condition 17.0 must be below"),
        ("workspace_planes", ({"normal": (1.0, 1.0, 0.0), "offset_m": 0.0},), "expected 1"),
    ],
)
def test_limits_that_contradict_each_other_are_refused(name, value, message):
    with pytest.raises(ValidationError, match=message):
        SafetyLimits.model_validate(SOUND | {name: value})
