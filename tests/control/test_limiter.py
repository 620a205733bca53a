"""What the gate bends, and by how much. Translations: 1 is 0.1 m, rotations: 0.5 rad, in 0.1 s."""

from __future__ import annotations

import numpy as np
import pytest

from robot_rl.core.types import GateReason, GateState

FORWARD = (1.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def test_range_is_clipped(make_rig):
    safe = make_rig(gripper=True).check(3.0, -0.5, 0, 0, 0, 0, -7.0)
    np.testing.assert_allclose(safe.values, [0.1, -0.05, 0, 0, 0, 0, -1], rtol=1e-6)
    assert (safe.reason, safe.changed) == (GateReason.RANGE, True)


def test_tcp_speed_is_scaled_and_keeps_its_direction(make_rig):
    # (0.06, 0.08, 0) m in 0.1 s is 1 m/s; half of it is left.
    safe = make_rig(max_tcp_speed_m_s=0.5).check(0.6, 0.8, 0, 1, 0, 0)
    np.testing.assert_allclose(safe.values, [0.03, 0.04, 0, 0.5, 0, 0], rtol=1e-6)
    assert safe.reason == GateReason.VELOCITY


def test_tcp_angular_speed_is_scaled(make_rig):
    # 0.5 rad in 0.1 s is 5 rad/s.
    safe = make_rig(max_tcp_angular_speed_rad_s=2.0).check(1, 0, 0, 0, 0, -1)
    np.testing.assert_allclose(safe.values, [0.1, 0, 0, 0, 0, -0.2], rtol=1e-6)
    assert safe.reason == GateReason.VELOCITY


def test_speed_exactly_at_its_limit_is_not_changed(make_rig):
    assert not make_rig(max_tcp_speed_m_s=1.0).check(*FORWARD).changed


def test_acceleration_ramps_up_from_rest(make_rig):
    # 2 m/s^2 is 0.2 m/s more in each period: 0.02 m, 0.04 m, ...
    rig = make_rig(max_tcp_acceleration_m_s2=2.0)
    steps = [rig.check(*FORWARD) for _ in range(6)]
    expected = [0.02, 0.04, 0.06, 0.08, 0.1, 0.1]
    np.testing.assert_allclose([s.values[0] for s in steps], expected, rtol=1e-6)
    assert steps[0].reason == GateReason.ACCELERATION
    assert steps[5].reason == GateReason.PASSED


def test_angular_acceleration_is_limited_too(make_rig):
    # 20 rad/s^2 is 0.2 rad a period more.
    safe = make_rig(max_tcp_angular_acceleration_rad_s2=20.0).check(0, 0, 0, 0, 1, 0)
    np.testing.assert_allclose(safe.values[4], 0.2, rtol=1e-6)
    assert safe.reason == GateReason.ACCELERATION


def test_handover_between_opposite_sources_is_bumpless(make_rig):
    rig = make_rig(max_tcp_acceleration_m_s2=2.0)
    forward = [rig.check(*FORWARD).values[0] for _ in range(5)]
    backward = [rig.check(*(-x for x in FORWARD)).values[0] for _ in range(10)]
    np.testing.assert_allclose(backward[:2], [0.08, 0.06], rtol=1e-6)
    assert np.abs(np.diff(forward + backward)).max() <= 0.02 + 1e-6


def test_new_episode_starts_from_rest(make_rig):
    rig = make_rig(max_tcp_acceleration_m_s2=2.0)
    for _ in range(3):
        rig.check(*FORWARD)
    rig.gate.reset()
    np.testing.assert_allclose(rig.check(*FORWARD).values[0], 0.02, rtol=1e-6)


def test_motion_out_of_the_box_is_cut_axis_by_axis(make_rig):
    rig = make_rig(workspace_max_m=(0.5, 1.0, 1.0))
    rig.tcp[0] = 0.48
    safe = rig.check(1, 1, 0, 0, 0, 0)
    np.testing.assert_allclose(safe.values[:3], [0.02, 0.1, 0], atol=1e-6)
    assert safe.reason == GateReason.WORKSPACE


@pytest.mark.parametrize(("x", "wanted", "given"), [(0.6, 1, 0), (0.6, -1, -0.1), (-0.6, -1, 0)])
def test_only_inward_motion_is_let_through_outside_the_box(make_rig, x, wanted, given):
    rig = make_rig(workspace_min_m=(-0.5,) * 3, workspace_max_m=(0.5,) * 3)
    rig.tcp[0] = x
    np.testing.assert_allclose(rig.check(wanted, 0, 0, 0, 0, 0).values[0], given, atol=1e-6)


def test_face_of_the_box_is_approached_at_braking_speed(make_rig):
    # 0.03 m ahead and 1 m/s^2 to brake with: 0.02 m now, 0.01 m next.
    rig = make_rig(workspace_max_m=(0.5, 9.0, 9.0), max_tcp_acceleration_m_s2=1.0)
    for _ in range(12):
        rig.check(*FORWARD)
    rig.tcp[0] = 0.47
    np.testing.assert_allclose(rig.check(*FORWARD).values[0], 0.02, atol=1e-6)


def test_joint_limit_ahead_slows_the_whole_tcp_delta(make_rig, one_joint):
    # A lever of 1 m: 0.1 m along y and 0.1 rad about z are 0.1 rad of the joint; 0.05 are left.
    rig = make_rig(chain=one_joint, joint_upper_rad=(0.05,))
    safe = rig.check(0, 1, 0, 0, 0, 0.2)
    np.testing.assert_allclose(safe.values, [0, 0.05, 0, 0, 0, 0.05], rtol=1e-3)
    assert safe.reason == GateReason.JOINT_LIMIT


def test_tcp_delta_may_leave_a_joint_limit(make_rig, one_joint):
    rig = make_rig(chain=one_joint, joint_upper_rad=(0.05,))
    rig.q[:] = 0.2
    np.testing.assert_allclose(rig.check(0, 1, 0, 0, 0, 0.2).values, np.zeros(6), atol=1e-7)
    assert not rig.check(0, -1, 0, 0, 0, -0.2).changed


def test_joint_velocity_slows_the_whole_tcp_delta(make_rig, one_joint):
    rig = make_rig(chain=one_joint, max_joint_velocity_rad_s=(0.25,))
    safe = rig.check(0, 1, 0, 0, 0, 0.2)
    np.testing.assert_allclose(safe.values, [0, 0.025, 0, 0, 0, 0.025], rtol=1e-3)


def test_joint_limit_is_approached_at_braking_speed(make_rig, one_joint):
    # 0.03 rad ahead and 1 rad/s^2 to brake with: 0.02 rad.
    limits = {"joint_upper_rad": (0.03,), "max_joint_acceleration_rad_s2": (1.0,)}
    safe = make_rig(chain=one_joint, **limits).check(0, 1, 0, 0, 0, 0.2)
    np.testing.assert_allclose(safe.values[1], 0.02, rtol=1e-3)


def test_singularity_does_not_let_joints_race(make_rig, fr3):
    # Stretched, the arm cannot move along its length: no delta may take more than 1 rad/s.
    rig = make_rig(chain=fr3, joints=7, max_joint_velocity_rad_s=(1.0,) * 7)
    q = np.array([0.0, 0.3, 0.0, -1e-3, 0.0, 0.3, 0.0])
    rig.q, rig.tcp = q.astype(np.float32), fr3.forward(q).astype(np.float32)
    safe = rig.check(1, 0, 1, 0, 0, 0)
    joint_step = np.linalg.lstsq(fr3.jacobian(q), safe.values.astype(float), rcond=1e-2)[0]
    assert safe.reason == GateReason.JOINT_LIMIT
    assert np.abs(joint_step).max() <= 0.1 * 1.01  # the prediction is damped


def press(rig, force_n):
    """The table pushes the tool up; the tool looks down, so its own z sees the force as minus."""
    rig.wrench[2] = -force_n


def test_pressing_motion_is_taken_out_beyond_the_force_limit(make_rig):
    rig = make_rig(max_force_n=30.0)
    press(rig, 31.0)
    safe = rig.check(0.5, 0, -0.5, 0, 0, 0)
    np.testing.assert_allclose(safe.values[:3], [0.05, 0, 0], atol=1e-6)
    assert (safe.reason, safe.state) == (GateReason.FORCE, GateState.RUN)


def test_pressing_motion_is_free_up_to_the_force_limit(make_rig):
    rig = make_rig(max_force_n=30.0)
    press(rig, 30.0)
    assert not rig.check(0.5, 0, -0.5, 0, 0, 0).changed


def test_motion_away_from_the_contact_stays_free(make_rig):
    rig = make_rig(max_force_n=30.0)
    press(rig, 31.0)
    assert not rig.check(0, 0, 0.5, 0, 0, 0).changed


def test_pressing_motion_comes_back_once_the_force_is_gone(make_rig):
    rig = make_rig(max_force_n=30.0)
    press(rig, 31.0)
    assert rig.check(0, 0, -0.5, 0, 0, 0).values[2] == 0.0
    press(rig, 10.0)
    assert not rig.check(0, 0, -0.5, 0, 0, 0).changed
    assert rig.gate.counts.holds == 0


def test_twisting_motion_is_taken_out_beyond_the_torque_limit(make_rig):
    rig = make_rig(max_torque_n_m=2.0)
    rig.wrench[5] = -3.0  # about the base's +z
    safe = rig.check(0, 0, -0.5, 0.2, 0, -0.2)
    np.testing.assert_allclose(safe.values, [0, 0, -0.05, 0.1, 0, 0], atol=1e-6)
    assert safe.reason == GateReason.FORCE


@pytest.mark.parametrize("element", [2, 5])
def test_twice_the_force_or_torque_latches_stop(make_rig, element):
    rig = make_rig(max_force_n=10.0, max_torque_n_m=10.0)
    rig.wrench[element] = 20.0
    assert rig.check(*FORWARD).state == GateState.RUN
    rig.wrench[element] = 20.1
    safe = rig.check(*FORWARD)
    assert (safe.state, safe.reason) == (GateState.STOP, GateReason.FORCE)
    np.testing.assert_array_equal(safe.values, np.zeros(6))
    rig.wrench[:] = 0.0
    rig.gate.reset()
    assert rig.check(*FORWARD).state == GateState.STOP


def test_cut_by_the_box_does_not_turn_sliding_into_pressing(make_rig):
    # Force along (1, 1, 0): sliding along (1, -1, 0) is free, but x is cut at the face, and -y
    # alone would press.
    rig = make_rig(max_force_n=10.0, workspace_max_m=(0.0, 9.0, 9.0))
    rig.tcp[3:] = (0, 0, 0, 1)
    rig.wrench[:2] = 10.0
    np.testing.assert_allclose(rig.check(1, -1, 0, 0, 0, 0).values, np.zeros(6), atol=1e-6)


def test_force_cannot_be_regained_through_the_acceleration_limit(make_rig):
    rig = make_rig(max_force_n=30.0, max_tcp_acceleration_m_s2=2.0)
    for _ in range(5):
        rig.check(0, 0, -1, 0, 0, 0)
    press(rig, 31.0)
    assert rig.check(0, 0, -1, 0, 0, 0).values[2] == 0.0


@pytest.mark.parametrize(
    ("limit", "value", "expected", "reason"),
    [
        ("max_joint_velocity_rad_s", (0.5, 9.0), [0.05, 0.1], GateReason.VELOCITY),
        ("max_joint_acceleration_rad_s2", (2.0, 99.0), [0.02, 0.1], GateReason.ACCELERATION),
        ("joint_upper_rad", (0.03, 9.0), [0.03, 0.1], GateReason.JOINT_LIMIT),
    ],
)
def test_joint_delta_is_limited_joint_by_joint(make_rig, limit, value, expected, reason):
    safe = make_rig("joint_delta", joints=2, **{limit: value}).check(1, 1)
    np.testing.assert_allclose(safe.values, expected, rtol=1e-5)
    assert safe.reason == reason


def test_joint_delta_needs_no_tcp_pose(make_rig):
    rig = make_rig("joint_delta", joints=2)
    observation = rig.observe(vectors={"observation.state": rig.q})
    assert rig.check(1, 1, observation=observation).reason == GateReason.PASSED


@pytest.mark.parametrize(
    ("limit", "value", "expected", "reason"),
    [
        ("max_tcp_speed_m_s", 0.5, 0.05, GateReason.VELOCITY),
        ("max_tcp_angular_speed_rad_s", 0.2, 0.02, GateReason.VELOCITY),
        ("workspace_max_m", (9.0, 0.04, 9.0), 0.04, GateReason.WORKSPACE),
    ],
)
def test_joint_delta_keeps_the_tcp_limits_with_a_chain(
    make_rig, one_joint, limit, value, expected, reason
):
    safe = make_rig("joint_delta", joints=1, chain=one_joint, **{limit: value}).check(1)
    np.testing.assert_allclose(safe.values, [expected], rtol=1e-5)
    assert safe.reason == reason


@pytest.mark.parametrize(("wanted", "given"), [(1.0, 0.0), (-1.0, -0.1)])
def test_joint_delta_may_only_give_way_beyond_the_force_limit(make_rig, one_joint, wanted, given):
    rig = make_rig("joint_delta", joints=1, chain=one_joint, max_force_n=10.0)
    rig.wrench[1] = -11.0  # the lever's +y is blocked
    np.testing.assert_allclose(rig.check(wanted).values, [given], atol=1e-6)


def test_joint_delta_without_a_chain_rests_beyond_the_force_limit(make_rig):
    rig = make_rig("joint_delta", joints=2, max_force_n=10.0)
    rig.wrench[1] = -11.0
    safe = rig.check(1, 1)
    np.testing.assert_array_equal(safe.values, [0, 0])
    assert safe.reason == GateReason.FORCE
