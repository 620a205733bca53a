"""What the gate refuses, what state it is then in, and who gets it out of there."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest

from robot_rl.control.safety import SafetyGate
from robot_rl.core.clock import ManualClock
from robot_rl.core.errors import ConfigError, ContractError
from robot_rl.core.spec import TCP_POSE, WRENCH, ActionSpec
from robot_rl.core.types import GateReason, GateState

STILL = np.zeros(6, np.float32)
MOVE = (0.3, 0.0, 0.0, 0.0, 0.0, 0.0)


def check_raw(rig, action=STILL, observation=None, issued_ns=None):
    issued_ns = rig.clock.now_ns() if issued_ns is None else issued_ns
    return rig.gate.check(action, observation or rig.observe(), issued_ns)


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


def test_refusals_are_checked_in_their_order(make_rig):
    rig = make_rig(max_command_age_s=0.05, max_observation_age_s=0.2)
    old = rig.observe()
    rig.clock.advance_s(1.0)
    issued_ns = old.stamp_ns
    reasons = [check_raw(rig, np.zeros(5, np.float32), old, issued_ns).reason]
    reasons.append(check_raw(rig, STILL * np.nan, old, issued_ns).reason)
    rig.wrench[0] = np.nan
    reasons.append(check_raw(rig, STILL, old, issued_ns).reason)
    rig.wrench[0] = 0.0
    reasons.append(check_raw(rig, STILL, old, issued_ns).reason)
    reasons.append(check_raw(rig, STILL, old).reason)
    rig.gate.stop("test")
    reasons.append(check_raw(rig, STILL, old, issued_ns).reason)
    assert reasons == [
        GateReason.SHAPE,
        GateReason.NON_FINITE,
        GateReason.OBSERVATION_NON_FINITE,
        GateReason.STALE_COMMAND,
        GateReason.STALE_OBSERVATION,
        GateReason.NOT_RUNNING,
    ]


def test_hold_ends_by_itself_with_the_next_good_command(make_rig):
    rig = make_rig()
    check_raw(rig, STILL * np.nan)
    assert rig.gate.state == GateState.HOLD
    assert rig.check(*MOVE).state == GateState.RUN
    assert rig.gate.counts.holds == 1


def test_hold_repeats_the_last_safe_gripper_value(make_rig):
    rig = make_rig(gripper=True)
    rig.check(*MOVE, -0.5)
    rig.gate.reset()
    held = rig.check(*MOVE, np.nan)
    np.testing.assert_array_equal(held.values, [0, 0, 0, 0, 0, 0, -0.5])


def test_gripper_is_apart_from_all_geometry(make_rig):
    rig = make_rig(gripper=True, max_tcp_speed_m_s=1e-3, max_tcp_acceleration_m_s2=1e-3)
    assert rig.check(0, 0, 0, 0, 0, 0, 1.0).values[6] == 1.0
    assert rig.check(0, 0, 0, 0, 0, 0, -1.0).values[6] == -1.0


def test_stop_is_latched_until_a_named_person_clears_it(make_rig):
    rig = make_rig()
    rig.gate.stop("button on the table")
    for _ in range(100):
        rig.gate.reset()
        safe = rig.check(*MOVE)
        assert (safe.state, safe.reason) == (GateState.STOP, GateReason.NOT_RUNNING)
        np.testing.assert_array_equal(safe.values, STILL)
    assert rig.gate.cause == "button on the table"
    with pytest.raises(ContractError, match="named person"):
        rig.gate.clear("  ")
    assert rig.gate.state == GateState.STOP
    rig.gate.clear("Ada")
    assert rig.check(*MOVE).state == GateState.RUN


def test_refusal_does_not_soften_a_stop(make_rig):
    rig = make_rig()
    rig.gate.stop("button")
    check_raw(rig, STILL * np.nan)
    assert rig.gate.state == GateState.STOP


def test_stop_from_another_thread_holds_from_the_next_command(make_rig):
    rig = make_rig()
    thread = threading.Thread(target=rig.gate.stop, args=("watchdog",))
    thread.start()
    thread.join()
    np.testing.assert_array_equal(rig.check(*MOVE).values, STILL)


class InterruptingClock(ManualClock):
    """Runs a signal handler in the middle of a check."""

    def __init__(self) -> None:
        super().__init__()
        self.reads_until_signal = 2
        self.handler: Callable[[], None] = lambda: None

    def now_ns(self) -> int:
        self.reads_until_signal -= 1
        if self.reads_until_signal == 0:
            self.handler()
        return super().now_ns()


def test_stop_from_a_signal_handler_during_the_check_still_holds(make_rig):
    rig = make_rig()
    clock = InterruptingClock()
    gate = SafetyGate(rig.gate.limits, rig.gate.action, clock, None)
    clock.handler = lambda: gate.stop("signal")
    safe = gate.check(np.array(MOVE, np.float32), rig.observe(stamp_ns=0), issued_ns=0)
    np.testing.assert_array_equal(safe.values, STILL)
    assert (safe.state, safe.reason) == (GateState.STOP, GateReason.NOT_RUNNING)


def test_clearing_a_gate_that_runs_changes_nothing(make_rig):
    rig = make_rig()
    rig.gate.clear("Ada")
    assert rig.gate.state == GateState.RUN
    assert rig.gate.events == ()


def test_every_change_of_state_is_recorded(make_rig):
    rig = make_rig()
    check_raw(rig, STILL * np.nan)
    rig.clock.advance_s(0.1)
    rig.check(*MOVE)
    rig.check(*MOVE)
    rig.gate.stop("button")
    rig.gate.clear("Ada")
    events = rig.gate.events
    assert [(e.before.name, e.after.name) for e in events] == [
        ("RUN", "HOLD"),
        ("HOLD", "RUN"),
        ("RUN", "STOP"),
        ("STOP", "HOLD"),
    ]
    assert events[0].reason == "NON_FINITE: action is not finite"
    assert events[0].stamp_ns == 5_000_000_000
    assert events[1].stamp_ns == 5_100_000_000
    assert [e.reason for e in events[2:]] == ["button", "cleared by Ada"]


def test_events_are_bounded(make_rig):
    rig = make_rig()
    for _ in range(600):
        check_raw(rig, STILL * np.nan)
        rig.check(*MOVE)
    assert len(rig.gate.events) == 1000
    assert rig.gate.counts.holds == 600


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
