"""Motion within jerk limits at short periods, on an arm that goes exactly where it is told.

2.5 m/s^2 and 50 m/s^3: the greatest acceleration takes five periods of 0.01 s to build up.
"""

from __future__ import annotations

import numpy as np
import pytest

from robot_rl.core.types import GateReason

PERIOD_S = 0.01
SCALE_M = 0.1
LIMITS = {
    "max_tcp_speed_m_s": 0.25,
    "max_tcp_acceleration_m_s2": 2.5,
    "max_tcp_jerk_m_s3": 50.0,
}


def drive(rig, periods, speed_m_s):
    """Ask for a velocity (x, y, z); return positions, and the worst acceleration and jerk."""
    asked = np.array([*speed_m_s, 0, 0, 0]) * PERIOD_S / SCALE_M
    steps, places = [], []
    for _ in range(periods):
        steps.append(rig.tick(*asked).values[:3].astype(float))
        places.append(rig.tcp[:3].copy())
    velocity = np.array(steps) / PERIOD_S
    acceleration = np.diff(np.vstack([np.zeros(3), velocity]), axis=0) / PERIOD_S
    jerk = np.diff(np.vstack([np.zeros(3), acceleration]), axis=0) / PERIOD_S
    assert np.linalg.norm(velocity, axis=1).max() <= 0.25 + 1e-6
    assert np.linalg.norm(acceleration, axis=1).max() <= 2.5 + 1e-4
    assert np.linalg.norm(jerk, axis=1).max() <= 50.0 + 1e-2
    return np.array(places), velocity


@pytest.fixture
def make_rig_10_ms(make_rig):
    return lambda **limits: make_rig(period_s=PERIOD_S, **(LIMITS | limits))


def test_acceleration_builds_up_by_the_jerk_limit(make_rig_10_ms):
    # 50 m/s^3 are 0.5 m/s^2 more in each period, and 0.005 m/s in the first.
    rig = make_rig_10_ms()
    _, velocity = drive(rig, 3, (0.2, 0, 0))
    np.testing.assert_allclose(velocity[:, 0], [0.005, 0.015, 0.03], atol=1e-6)
    assert rig.gate.counts.changed == {GateReason.JERK: 3}


def test_wanted_speed_is_reached_without_going_beyond_it(make_rig_10_ms):
    _, velocity = drive(make_rig_10_ms(), 40, (0.075, 0, 0))
    assert velocity.max() <= 0.075 + 1e-6
    assert velocity[-1, 0] == pytest.approx(0.075, abs=1e-6)
    # At 2.5 m/s^2 and without a jerk limit it would be reached after three periods.
    assert (velocity[10:, 0] > 0.074).all()


def test_greatest_speed_is_reached_and_kept(make_rig_10_ms):
    _, velocity = drive(make_rig_10_ms(), 60, (1.0, 0, 0))
    np.testing.assert_allclose(velocity[30:, 0], 0.25, atol=1e-5)


def test_face_of_the_box_is_reached_and_not_passed(make_rig_10_ms):
    rig = make_rig_10_ms(workspace_max_m=(0.1, 9.0, 9.0))
    places, _ = drive(rig, 120, (1.0, 0, 0))
    assert places[:, 0].max() <= 0.1 + 1e-6
    assert places[-1, 0] == pytest.approx(0.1, abs=1e-4)


def test_motion_along_a_face_goes_on_as_if_it_were_not_there(make_rig_10_ms):
    rig = make_rig_10_ms(workspace_max_m=(0.05, 9.0, 9.0))
    places, velocity = drive(rig, 150, (0.15, 0.15, 0))
    assert places[:, 0].max() <= 0.05 + 1e-6
    assert (velocity[20:, 1] > 0.15 - 1e-3).all()


def test_motion_along_a_plane_goes_on_as_well(make_rig_10_ms):
    # The plane looks back at 45 degrees and is 0.1 m away.
    half = 0.5**0.5
    plane = {"normal": (-half, -half, 0.0), "offset_m": -0.1}
    rig = make_rig_10_ms(workspace_planes=(plane,))
    places, velocity = drive(rig, 200, (0.2, 0.0, 0.1))
    assert (places[:, :2].sum(axis=1) * half).max() <= 0.1 + 1e-6
    # What is left of x along the plane is half of it, and takes y the other way.
    np.testing.assert_allclose(velocity[-1], [0.1, -0.1, 0.1], atol=2e-3)


def test_stop_from_full_speed_keeps_jerk_too(make_rig_10_ms):
    # 0.1 s to brake at 2.5 m/s^2, and four periods for the ramps at its two ends.
    rig = make_rig_10_ms()
    drive(rig, 60, (0.25, 0, 0))
    rig.gate.stop("button")
    steps = np.array([rig.tick(*np.zeros(6)).values[0] for _ in range(20)], float)
    velocity = np.concatenate([[0.25, 0.25, 0.25], steps / PERIOD_S])
    assert not steps[14:].any()
    assert steps[12] > 0.0
    assert np.abs(np.diff(velocity)).max() / PERIOD_S <= 2.5 + 1e-4
    assert np.abs(np.diff(velocity, n=2)).max() / PERIOD_S**2 <= 50.0 + 1e-2


def test_arm_that_was_put_outside_the_box_is_not_carried_farther_out(make_rig_10_ms):
    # It is believed to be there once it is seen there twice. Along the face it may go on.
    rig = make_rig_10_ms(workspace_max_m=(0.1, 9.0, 9.0))
    drive(rig, 40, (0.15, 0.15, 0))
    rig.tcp[0] = 0.11
    assert rig.check(0.015, 0.015, 0, 0, 0, 0).reason == GateReason.STALE_OBSERVATION
    safe = rig.check(0.015, 0.015, 0, 0, 0, 0)
    assert (safe.values[0], safe.reason) == (0.0, GateReason.WORKSPACE)
    assert safe.values[1] > 0.001


@pytest.mark.parametrize("period_s", [0.002, 0.01, 0.1])
def test_joint_comes_to_rest_at_its_limit(make_rig, period_s):
    rig = make_rig(
        "joint_delta",
        joints=2,
        period_s=period_s,
        joint_upper_rad=(0.3, 9.0),
        max_joint_velocity_rad_s=(1.0, 1.0),
        max_joint_acceleration_rad_s2=(5.0, 5.0),
        max_joint_jerk_rad_s3=(200.0, 200.0),
    )
    q = np.zeros(2)
    last, change = np.zeros(2), np.zeros(2)
    for _ in range(round(1.2 / period_s)):
        step = rig.check(*np.full(2, 10.0 * period_s)).values.astype(float)
        rig.clock.advance_s(period_s)
        q += step
        rig.q = q.astype(np.float32)
        before, change, last = change, step - last, step
        assert np.abs(change).max() <= 5.0 * period_s**2 * (1 + 1e-4)
        assert np.abs(change - before).max() <= 200.0 * period_s**3 * (1 + 1e-3)
    assert q[0] == pytest.approx(0.3, abs=1e-3)
    assert q[0] <= 0.3 + 1e-6
    # The other one has gone on all the time: 1.2 s at 1 rad/s but for the time to get there.
    assert q[1] > 1.0
