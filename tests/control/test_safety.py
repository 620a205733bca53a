"""What the gate refuses, and why. What follows from a refusal is in `test_gate_state`."""

from __future__ import annotations

import numpy as np
import pytest

from robot_rl.control.safety import SafetyGate
from robot_rl.core.errors import ConfigError
from robot_rl.core.spec import TCP_POSE, WRENCH, ActionSpec
from robot_rl.core.types import GateReason, GateState, Source

STILL = np.zeros(6, np.float32)
MOVE = (0.3, 0.0, 0.0, 0.0, 0.0, 0.0)


def check_raw(rig, action=STILL, observation=None, issued_ns=None):
    issued_ns = rig.clock.now_ns() if issued_ns is None else issued_ns
    command = rig.command(action, issued_ns=issued_ns)
    return rig.gate.check(command, observation or rig.observe())


def assert_refused(rig, safe, reason):
    np.testing.assert_array_equal(safe.values, np.zeros(6, np.float32))
    assert reason.refuses
    assert (safe.reason, safe.state, safe.changed) == (reason, GateState.HOLD, True)
    assert rig.gate.counts.refused == 1
    assert rig.gate.counts.changed == {reason: 1}


def test_good_action_passes_unchanged_in_si_units(make_rig):
    rig = make_rig()
    safe = rig.check(0.3, -0.2, 0.1, 1.0, 0.0, -1.0)
    np.testing.assert_allclose(safe.values, [0.03, -0.02, 0.01, 0.5, 0, -0.5], rtol=1e-6)
    assert (safe.reason, safe.state, safe.changed) == (GateReason.PASSED, GateState.RUN, False)
    assert (rig.gate.counts.checked, rig.gate.counts.refused) == (1, 0)
    assert rig.gate.counts.changed == {}


@pytest.mark.parametrize(
    "action",
    [
        np.zeros(5, np.float32),
        np.zeros((1, 6), np.float32),
        np.zeros(6, np.float64),
        np.zeros(6, object),
        [0.0] * 6,
        None,
    ],
)
def test_action_of_wrong_shape_or_dtype_is_refused(make_rig, action):
    rig = make_rig()
    assert_refused(rig, check_raw(rig, action), GateReason.SHAPE)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_action_is_refused(make_rig, bad):
    rig = make_rig()
    action = np.array([0, 0, bad, 0, 0, 0], np.float32)
    assert_refused(rig, check_raw(rig, action), GateReason.NON_FINITE)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_observation_is_refused(make_rig, bad):
    rig = make_rig()
    rig.wrench[4] = bad
    assert_refused(rig, check_raw(rig), GateReason.OBSERVATION_NON_FINITE)
    assert WRENCH in rig.gate.cause


def test_pose_without_a_rotation_is_refused(make_rig):
    rig = make_rig()
    rig.tcp[3:] = 0
    assert_refused(rig, check_raw(rig), GateReason.OBSERVATION_NON_FINITE)


@pytest.mark.parametrize("key", [TCP_POSE, WRENCH])
@pytest.mark.parametrize("bad", [np.zeros(4, np.float32), np.zeros((7, 1), np.float32)])
def test_observation_of_wrong_shape_is_refused(make_rig, key, bad):
    rig = make_rig()
    observation = rig.observe(vectors={**rig.observe().vectors, key: bad})
    assert_refused(rig, check_raw(rig, observation=observation), GateReason.SHAPE)


def test_observation_of_wrong_dtype_is_refused(make_rig):
    rig = make_rig()
    rig.q = rig.q.astype(np.float64)
    assert_refused(rig, check_raw(rig), GateReason.SHAPE)


def test_missing_pose_counts_as_a_stale_stream(make_rig):
    rig = make_rig()
    assert_refused(
        rig, check_raw(rig, observation=rig.observe(vectors={})), GateReason.STALE_OBSERVATION
    )
    assert f"{TCP_POSE} is missing" in rig.gate.cause


@pytest.mark.parametrize(("age_ms", "state"), [(50, GateState.RUN), (51, GateState.HOLD)])
def test_command_older_than_its_limit_is_refused(make_rig, age_ms, state):
    rig = make_rig(max_command_age_s=0.05)
    safe = check_raw(rig, issued_ns=rig.clock.now_ns() - age_ms * 1_000_000)
    assert safe.state == state
    assert (safe.reason == GateReason.STALE_COMMAND) == (state == GateState.HOLD)


def test_command_from_the_future_is_refused(make_rig):
    rig = make_rig(max_command_age_s=0.05)
    safe = check_raw(rig, issued_ns=rig.clock.now_ns() + 3_600_000_000_000)
    assert_refused(rig, safe, GateReason.STALE_COMMAND)


def test_observation_older_than_its_limit_is_refused(make_rig):
    rig = make_rig(max_observation_age_s=0.2)
    observation = rig.observe()
    rig.clock.advance_s(0.201)
    assert_refused(rig, check_raw(rig, observation=observation), GateReason.STALE_OBSERVATION)


def test_stale_stream_is_named_and_ages_add_up(make_rig):
    # 0.15 s old when the observation was made, and 0.06 s have passed since.
    rig = make_rig(max_observation_age_s=0.2)
    observation = rig.observe(ages_s={"arm": 0.0, "wrist_camera": 0.15})
    rig.clock.advance_s(0.05)
    assert check_raw(rig, observation=observation).state == GateState.RUN
    rig.clock.advance_s(0.01)
    assert_refused(rig, check_raw(rig, observation=observation), GateReason.STALE_OBSERVATION)
    assert "'wrist_camera' is 0.210 s old" in rig.gate.cause


def test_stream_of_unknown_age_is_refused(make_rig):
    rig = make_rig()
    observation = rig.observe(ages_s={"camera": float("nan")})
    assert_refused(rig, check_raw(rig, observation=observation), GateReason.STALE_OBSERVATION)


def test_observation_that_is_none_is_refused(make_rig):
    rig = make_rig()
    for nothing in (None, {}, rig.observe(vectors=None), rig.observe(ages_s=[])):
        safe = rig.gate.check(rig.command(STILL), nothing)
        assert (safe.reason, safe.state) == (GateReason.SHAPE, GateState.HOLD)


@pytest.mark.parametrize(
    "changes",
    [
        {"issued_ns": None},
        {"issued_ns": 1.5},
        {"issued_ns": 10**400},
        {"epoch": "1"},
        {"sequence": np.int64(3)},
        {"source": 0},
    ],
)
def test_command_of_other_types_is_refused(make_rig, changes):
    rig = make_rig()
    safe = rig.gate.check(rig.command(STILL, **changes), rig.observe())
    assert_refused(rig, safe, GateReason.SHAPE)


@pytest.mark.parametrize("nothing", [None, 7, STILL, "forward"])
def test_what_is_no_command_is_refused(make_rig, nothing):
    rig = make_rig()
    assert_refused(rig, rig.gate.check(nothing, rig.observe()), GateReason.SHAPE)


def test_command_of_an_ended_lease_is_refused(make_rig):
    rig = make_rig()
    rig.gate.grant(Source.HUMAN)
    assert_refused(rig, rig.check(*MOVE), GateReason.LEASE)
    assert "command of lease 1, the lease is 2" in rig.gate.cause


def test_command_before_any_lease_is_refused(make_rig):
    rig = make_rig()
    gate = SafetyGate(rig.gate.limits, rig.gate.action, rig.clock, None)
    assert gate.check(rig.command(STILL), rig.observe()).reason == GateReason.LEASE
    assert gate.check(rig.command(STILL, epoch=0), rig.observe()).reason == GateReason.MODE


@pytest.mark.parametrize("source", [s for s in Source if s != Source.POLICY])
def test_source_that_the_lease_does_not_name_is_refused(make_rig, source):
    rig = make_rig()
    safe = rig.gate.check(rig.command(STILL, source=source), rig.observe())
    assert_refused(rig, safe, GateReason.MODE)
    assert rig.gate.cause == f"MODE: {source.name} may not command now, but POLICY"


@pytest.mark.parametrize("sequence", [7, 6, -1])
def test_command_that_is_not_newer_than_the_last_is_refused(make_rig, sequence):
    rig = make_rig()
    rig.gate.check(rig.command(STILL, sequence=7), rig.observe())
    safe = rig.gate.check(rig.command(STILL, sequence=sequence), rig.observe())
    assert_refused(rig, safe, GateReason.SEQUENCE)


def test_commands_may_be_lost(make_rig):
    rig = make_rig()
    for sequence in (3, 4, 900):
        safe = rig.gate.check(rig.command(STILL, sequence=sequence), rig.observe())
        assert safe.reason == GateReason.PASSED


def test_numbers_begin_anew_with_every_lease(make_rig):
    rig = make_rig()
    rig.gate.check(rig.command(STILL, sequence=900), rig.observe())
    rig.lease = rig.gate.grant(Source.POLICY)
    assert rig.gate.check(rig.command(STILL, sequence=0), rig.observe()).state == GateState.RUN


def test_refusals_are_checked_in_their_order(make_rig):
    rig = make_rig(max_command_age_s=0.05, max_observation_age_s=0.2)
    old = rig.observe()
    rig.clock.advance_s(1.0)
    rig.gate.stop("test")
    command = {"issued_ns": old.stamp_ns, "source": Source.HUMAN, "epoch": 77, "sequence": -1}
    reasons = [rig.gate.check(rig.command(np.zeros(5, np.float32), **command), old).reason]
    reasons.append(rig.gate.check(rig.command(STILL * np.nan, **command), old).reason)
    rig.wrench[0] = np.nan
    reasons.append(rig.gate.check(rig.command(STILL, **command), old).reason)
    rig.wrench[0] = 0.0
    for repaired in ("epoch", "source", "sequence", "issued_ns"):
        reasons.append(rig.gate.check(rig.command(STILL, **command), old).reason)
        del command[repaired]
    reasons.append(rig.gate.check(rig.command(STILL), old).reason)
    reasons.append(rig.gate.check(rig.command(STILL), rig.observe()).reason)
    assert reasons == [
        GateReason.SHAPE,
        GateReason.NON_FINITE,
        GateReason.OBSERVATION_NON_FINITE,
        GateReason.LEASE,
        GateReason.MODE,
        GateReason.SEQUENCE,
        GateReason.STALE_COMMAND,
        GateReason.STALE_OBSERVATION,
        GateReason.NOT_RUNNING,
    ]


def test_refusal_repeats_the_last_safe_gripper_value(make_rig):
    rig = make_rig(gripper=True)
    rig.check(*MOVE, -0.5)
    rig.gate.reset()
    held = rig.check(*MOVE, np.nan)
    np.testing.assert_array_equal(held.values, [0, 0, 0, 0, 0, 0, -0.5])


def test_gripper_is_apart_from_all_geometry(make_rig):
    rig = make_rig(gripper=True, max_tcp_speed_m_s=1e-3, max_tcp_acceleration_m_s2=1e-3)
    assert rig.check(0, 0, 0, 0, 0, 0, 1.0).values[6] == 1.0
    assert rig.check(0, 0, 0, 0, 0, 0, -1.0).values[6] == -1.0


def test_action_that_is_no_tcp_delta_is_refused_at_once(make_rig):
    limits = make_rig().gate.limits
    action = ActionSpec(kind="tcp_delta", names=("x", "y", "z"), scale=(1, 1, 1), period_s=0.1)
    with pytest.raises(ConfigError, match="3 elements besides the gripper, expected 6"):
        SafetyGate(limits, action, make_rig().clock, None)


def test_actions_of_unknown_meaning_get_no_gate(make_rig):
    limits = make_rig().gate.limits
    opaque = ActionSpec(kind="opaque", names=tuple("abcdef"), scale=(1.0,) * 6, period_s=0.1)
    with pytest.raises(ConfigError, match="no gate lets them through"):
        SafetyGate(limits, opaque, make_rig().clock, None)


def test_limits_of_another_arm_are_refused_at_once(make_rig, fr3):
    with pytest.raises(ConfigError, match="limits are of 1 joints, the arm has 7"):
        make_rig(chain=fr3)
    rig = make_rig("joint_delta", joints=7, chain=fr3)
    with pytest.raises(ConfigError, match="limits are of 7 joints, the arm has 6"):
        SafetyGate(rig.gate.limits, make_rig("joint_delta", joints=6).gate.action, rig.clock, None)


def test_distances_between_bodies_need_the_arms_chain_for_a_tcp_delta(make_rig):
    class Nothing:
        def near(self, q, within_m):
            return []

    with pytest.raises(ConfigError, match="needs the arm's chain"):
        make_rig(collision=Nothing())
    make_rig("joint_delta", joints=2, collision=Nothing())
