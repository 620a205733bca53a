"""Arms driven at random stay within the limits (tolerance 1e-6). Faults: `tests/faults`."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from robot_rl.core.types import GateReason, GateState

TOLERANCE = 1e-6
PERIOD_S = 0.1
LIMITS = {
    "workspace_min_m": (0.2, -0.4, 0.0),
    "workspace_max_m": (0.8, 0.4, 0.8),
    "joint_lower_rad": (-2.8, -1.7, -2.8, -3.0, -2.8, 0.0, -2.8),
    "joint_upper_rad": (2.8, 1.7, 2.8, -0.1, 2.8, 3.7, 2.8),
    "max_joint_velocity_rad_s": (1.0,) * 7,
    "max_joint_acceleration_rad_s2": (4.0,) * 7,
    "max_joint_jerk_rad_s3": (1e3,) * 7,
    "max_tcp_speed_m_s": 0.5,
    "max_tcp_angular_speed_rad_s": 2.0,
    "max_tcp_acceleration_m_s2": 2.0,
    "max_tcp_angular_acceleration_rad_s2": 9.0,
    "max_tcp_jerk_m_s3": 1e3,
    "max_tcp_angular_jerk_rad_s3": 1e3,
    "slow_at_condition": 17.0,
    "hold_at_condition": 30.0,
    "min_distance_m": 0.0,
    "max_force_n": 30.0,
    "max_torque_n_m": 5.0,
    "max_observation_age_s": 0.2,
    "max_command_age_s": 0.1,
    "max_late_ticks": 3,
    "fresh_samples_to_resume": 1,
}
BRAKED = {GateReason.WORKSPACE, GateReason.JOINT_LIMIT, GateReason.FORCE}
READY = np.array([0.1, -0.8, 0.2, -2.3, -0.1, 1.6, 0.7])

fuzz = settings(
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def assert_within(rig, safe, before):
    """Check one output against limits, pose and the output before it (all SI)."""
    move, turn = safe.values[:3].astype(float), safe.values[3:6].astype(float)
    assert safe.values.dtype == np.float32
    assert safe.values.shape == (6,)
    assert np.isfinite(safe.values).all()
    assert np.linalg.norm(move) <= 0.5 * PERIOD_S + TOLERANCE
    assert np.linalg.norm(turn) <= 2.0 * PERIOD_S + TOLERANCE
    if safe.state == GateState.RUN and safe.reason not in BRAKED:
        assert np.linalg.norm(move - before[:3]) <= 2.0 * PERIOD_S**2 + TOLERANCE
        assert np.linalg.norm(turn - before[3:]) <= 9.0 * PERIOD_S**2 + TOLERANCE
    position = rig.tcp[:3].astype(float)
    if move.any():
        lower = np.minimum(LIMITS["workspace_min_m"], position)
        upper = np.maximum(LIMITS["workspace_max_m"], position)
        assert (position + move >= lower - TOLERANCE).all()
        assert (position + move <= upper + TOLERANCE).all()


@fuzz
@given(seed=st.integers(0, 2**32 - 1))
def test_joint_speeds_stay_within_limits_anywhere(make_rig, fr3, seed):
    rng = np.random.default_rng(seed)
    rig = make_rig(joints=7, chain=fr3, **LIMITS)
    lower, upper = np.array(LIMITS["joint_lower_rad"]), np.array(LIMITS["joint_upper_rad"])
    for _ in range(5):
        q = rng.uniform(lower - 0.05, upper + 0.05)
        rig.q, rig.tcp = q.astype(np.float32), fr3.forward(q).astype(np.float32)
        rig.gate.reset()
        safe = rig.check(*rng.uniform(-1.5, 1.5, 6))
        assert safe.state == GateState.RUN
        assert_within(rig, safe, np.zeros(6))
        jacobian = fr3.jacobian(rig.q.astype(float))
        damped = jacobian @ jacobian.T + 0.005**2 * np.eye(6)
        step = jacobian.T @ np.linalg.solve(damped, safe.values.astype(float))
        room = np.where(step > 0, upper - rig.q, rig.q - lower).clip(0)
        assert (np.abs(step) <= np.minimum(PERIOD_S, room) + TOLERANCE).all()
        braking = np.sqrt(2 * 4.0 * room) * PERIOD_S
        assert (np.abs(step) <= braking + TOLERANCE).all()


@pytest.mark.parametrize("seed", range(3))
def test_joints_driven_at_random_never_leave_their_limits(make_rig, seed):
    # A joint that goes where it is told: position, speed and acceleration all hold, always,
    # because the ends are approached no faster than the acceleration limit can brake.
    rng = np.random.default_rng(seed)
    rig = make_rig(
        "joint_delta",
        joints=2,
        joint_lower_rad=(-0.3, -2.0),
        joint_upper_rad=(0.2, 0.05),
        max_joint_velocity_rad_s=(0.9, 0.7),
        max_joint_acceleration_rad_s2=(2.0, 3.0),
    )
    q, last = np.zeros(2), np.zeros(2)
    wanted = np.zeros(2)
    for tick in range(1500):
        if tick % 8 == 0:
            wanted = rng.choice([-1.0, 0.0, 1.0], 2) * rng.uniform(0.5, 1.5)
        step = rig.check(*wanted).values.astype(float)
        q = q + step
        assert (np.abs(step) <= np.array([0.09, 0.07]) + TOLERANCE).all()
        assert (np.abs(step - last) <= np.array([0.02, 0.03]) + TOLERANCE).all()
        assert (q >= np.array([-0.3, -2.0]) - TOLERANCE).all()
        assert (q <= np.array([0.2, 0.05]) + TOLERANCE).all()
        rig.q, last = q.astype(np.float32), step


def test_arm_driven_at_random_is_never_told_to_leave_the_box_or_its_joints(make_rig, fr3):
    rng = np.random.default_rng(0)
    rig = make_rig(joints=7, chain=fr3, **LIMITS)
    q, wanted, before = READY.copy(), np.zeros(6), np.zeros(6)
    for tick in range(800):
        if tick % 15 == 0:
            wanted = rng.uniform(-1.5, 1.5, 6)
        rig.q, rig.tcp = q.astype(np.float32), fr3.forward(q).astype(np.float32)
        jacobian = fr3.jacobian(q)
        safe = rig.check(*wanted)
        damped = jacobian @ jacobian.T + 0.005**2 * np.eye(6)
        q = q + jacobian.T @ np.linalg.solve(damped, safe.values.astype(float))
        assert (q > np.array(LIMITS["joint_lower_rad"]) - TOLERANCE).all()
        assert (q < np.array(LIMITS["joint_upper_rad"]) + TOLERANCE).all()
        # This arm goes along the tangent, and so leaves the line by its curvature while it turns:
        # by that it comes beyond a face, but it is never told to go there.
        assert_within(rig, safe, before)
        before = safe.values[:6].astype(float)
