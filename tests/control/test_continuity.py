"""An observation that no motion explains is refused once, and believed if the next one agrees.

2 m/s and 4 rad/s of the tool are 0.6 m and 1.2 rad in 0.1 s at three times the speed.
"""

from __future__ import annotations

import numpy as np
import pytest

from robot_rl.core.types import GateReason, GateState

STILL = (0.0,) * 6
LIMITS = {"max_tcp_speed_m_s": 2.0, "max_tcp_angular_speed_rad_s": 4.0}


def see(rig, x=None, turn_rad=None):
    """Check a command that asks for rest, on a pose, and wait for a period."""
    if x is not None:
        rig.tcp[0] = x
    if turn_rad is not None:
        rig.tcp[3:] = (np.sin(turn_rad / 2), 0.0, 0.0, np.cos(turn_rad / 2))
    safe = rig.check(*STILL)
    rig.clock.advance_s(0.1)
    return safe.reason


@pytest.mark.parametrize(("x", "refused"), [(0.59, False), (0.61, True), (-0.61, True)])
def test_position_may_not_jump(make_rig, x, refused):
    rig = make_rig(**LIMITS)
    see(rig, 0.0)
    assert (see(rig, x) == GateReason.STALE_OBSERVATION) == refused
    assert ("the tcp jumped by 0.61 m in 0.100 s" in rig.gate.cause) == refused


@pytest.mark.parametrize(("turn_rad", "refused"), [(1.19, False), (1.21, True), (6.0, False)])
def test_orientation_may_not_jump_and_both_signs_of_a_quaternion_are_one(
    make_rig, turn_rad, refused
):
    # A turn by 6 rad is one by -0.28 rad.
    rig = make_rig(**LIMITS)
    see(rig, turn_rad=0.0)
    assert (see(rig, turn_rad=turn_rad) == GateReason.STALE_OBSERVATION) == refused


@pytest.mark.parametrize(("q", "refused"), [(0.29, False), (0.31, True)])
def test_joints_may_not_jump(make_rig, q, refused):
    rig = make_rig("joint_delta", joints=2, max_joint_velocity_rad_s=(9.0, 1.0))
    rig.check(0, 0)
    rig.q[1] = q
    rig.clock.advance_s(0.1)
    assert (rig.check(0, 0).reason == GateReason.STALE_OBSERVATION) == refused
    assert ("joint 1 jumped by 0.31 rad in 0.100 s" in rig.gate.cause) == refused


def test_spike_of_one_sample_is_refused_and_forgotten(make_rig):
    rig = make_rig(**LIMITS)
    reasons = [see(rig, x) for x in (0.0, 5.0, 0.0, 0.0)]
    assert reasons == [
        GateReason.PASSED,
        GateReason.STALE_OBSERVATION,
        GateReason.PASSED,
        GateReason.PASSED,
    ]


def test_arm_that_was_moved_is_believed_at_second_sight(make_rig):
    rig = make_rig(**LIMITS)
    reasons = [see(rig, x) for x in (0.0, 5.0, 5.1, 5.2)]
    assert reasons == [GateReason.PASSED, GateReason.STALE_OBSERVATION] + [GateReason.PASSED] * 2


def test_the_longer_ago_the_farther_an_arm_may_have_got(make_rig):
    rig = make_rig(**LIMITS)
    see(rig, 0.0)
    rig.clock.advance_s(2.0)
    assert see(rig, 5.0) == GateReason.PASSED


def test_samples_closer_than_a_period_count_as_a_period_apart(make_rig):
    rig = make_rig(**LIMITS)
    see(rig, 0.0)
    rig.clock.advance_s(-0.099)
    assert see(rig, 0.3) == GateReason.PASSED


def test_first_observation_of_an_episode_is_believed(make_rig):
    rig = make_rig(**LIMITS)
    see(rig, 0.0)
    rig.gate.reset()
    assert see(rig, 5.0) == GateReason.PASSED


def test_spike_does_not_become_a_jump_of_the_command(make_rig):
    # The box ends between the arm and its spike: what was believed would cut the motion.
    rig = make_rig(workspace_max_m=(1.0, 9.0, 9.0), max_tcp_acceleration_m_s2=2.0, **LIMITS)
    for _ in range(4):
        rig.tick(1, 0, 0, 0, 0, 0)
    rig.tcp[0] += 3.0
    spiked = rig.check(1, 0, 0, 0, 0, 0)
    rig.clock.advance_s(0.1)
    rig.tcp[0] -= 3.0
    rig.tcp[0] += spiked.values[0]
    after = rig.check(1, 0, 0, 0, 0, 0)
    assert spiked.values[0] == pytest.approx(0.06)
    assert (after.values[0], after.state) == (pytest.approx(0.08), GateState.RUN)
