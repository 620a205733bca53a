from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from robot_rl.control.safety import SafetyGate
from robot_rl.core.errors import ContractError, GateStopError, HardwareError
from robot_rl.core.spec import TCP_POSE
from robot_rl.core.types import GateReason, GateState, Outcome, Source
from robot_rl.envs.robot_env import RobotEnv

RIGHT = np.array([1, 0, 0, 0, 0, 0], np.float32)
STILL = np.zeros(6, np.float32)


def test_reset_returns_the_observation_of_the_start_state(make_env):
    env, bench = make_env()
    observation = env.reset(seed=4)
    expected = np.random.default_rng(4).uniform(-0.01, 0.01, 3).astype(np.float32)
    np.testing.assert_array_equal(observation.vectors[TCP_POSE][:3], expected)
    assert observation.instruction == "go to the right"
    assert observation.ages_s == {"point": 0.0, "camera": 0.0}
    assert observation.stamp_ns == bench.clock.now_ns()


def test_observation_is_taken_after_the_action_had_its_period(make_env):
    env, bench = make_env()
    before = env.reset(seed=0)
    result = env.step(RIGHT)
    moved = result.observation.vectors[TCP_POSE][:3] - before.vectors[TCP_POSE][:3]
    np.testing.assert_allclose(moved, [0.1, 0, 0], atol=1e-6)
    assert result.observation.stamp_ns - before.stamp_ns == 100_000_000
    assert bench.events == ["reset", "read", "command", "read", "judge"]
    assert result.lateness_s == 0.0


def test_slow_inference_shortens_the_action_but_not_the_schedule(make_env):
    env, bench = make_env()
    before = env.reset(seed=0)
    bench.clock.advance_s(0.04)
    result = env.step(STILL)
    assert result.observation.stamp_ns - before.stamp_ns == 100_000_000
    assert env.missed == 0


def test_missed_periods_are_counted_and_reported(make_env):
    env, bench = make_env(max_observation_age_s=1.0)
    before = env.reset(seed=0)
    bench.clock.advance_s(0.25)
    result = env.step(STILL)
    assert result.lateness_s == pytest.approx(0.2)
    assert env.missed == 2
    assert result.observation.stamp_ns - before.stamp_ns == 300_000_000


def test_inference_on_an_old_observation_holds_the_arm(make_env):
    env, bench = make_env()
    env.reset(seed=0)
    bench.clock.advance_s(0.2)
    result = env.step(RIGHT)
    assert (result.gate_reason, result.gate_state) == (
        GateReason.STALE_OBSERVATION,
        GateState.HOLD,
    )
    np.testing.assert_array_equal(result.executed_action, STILL)


@pytest.mark.parametrize(
    ("direction", "outcome", "reward"), [(1, Outcome.SUCCESS, 1.0), (-1, Outcome.FAILURE, 0.0)]
)
def test_judgement_terminates(make_env, direction, outcome, reward):
    env, bench = make_env()
    env.reset(seed=0)
    bench.position[0] = 0.15 * direction
    first, second = env.step(RIGHT * direction), env.step(RIGHT * direction)
    assert (first.terminated, first.outcome, first.reward) == (False, Outcome.UNKNOWN, 0.0)
    assert (second.terminated, second.outcome, second.reward) == (True, outcome, reward)
    assert not second.truncated


def test_time_out_is_truncated_and_not_terminated(make_env):
    env, _ = make_env(horizon=3)
    env.reset(seed=0)
    results = [env.step(STILL) for _ in range(3)]
    assert [r.truncated for r in results] == [False, False, True]
    assert not any(r.terminated for r in results)
    assert results[-1].outcome == Outcome.UNKNOWN


def test_success_in_the_last_step_is_no_time_out(make_env):
    env, bench = make_env(horizon=1)
    env.reset(seed=0)
    bench.position[0] = 0.25
    result = env.step(RIGHT)
    assert result.terminated
    assert not result.truncated


def test_step_counter_begins_anew_with_every_episode(make_env):
    env, _ = make_env(horizon=2)
    for seed in range(3):
        env.reset(seed=seed)
        assert [env.step(STILL).truncated for _ in range(2)] == [False, True]


def test_executed_action_is_the_gates_and_not_the_proposal(make_env):
    env, bench = make_env(max_tcp_speed_m_s=0.5)
    env.reset(seed=0)
    result = env.step(RIGHT)
    np.testing.assert_allclose(result.executed_action, [0.5, 0, 0, 0, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(bench.commands[0].values, [0.05, 0, 0, 0, 0, 0], rtol=1e-6)
    assert result.gate_reason == GateReason.VELOCITY
    assert result.executed_action.dtype == np.float32


def test_action_that_passed_is_recorded_to_the_last_bit(make_env):
    env, _ = make_env()
    env.reset(seed=0)
    action = np.random.default_rng(0).uniform(-1, 1, 6).astype(np.float32)
    result = env.step(action)
    np.testing.assert_array_equal(result.executed_action, action)
    assert result.executed_action is not action


def test_nan_action_is_refused_and_counted_and_the_arm_holds(make_env):
    env, bench = make_env()
    before = env.reset(seed=0)
    result = env.step(RIGHT * np.nan)
    np.testing.assert_array_equal(result.executed_action, STILL)
    np.testing.assert_array_equal(result.observation.vectors[TCP_POSE], before.vectors[TCP_POSE])
    assert result.gate_reason == GateReason.NON_FINITE
    assert env.gate.counts.refused == 1
    assert not result.terminated
    assert not result.truncated
    assert bench.stops == 0


def test_what_is_wrong_with_a_command_holds_for_the_rest_of_the_episode(make_env):
    env, _ = make_env()
    env.reset(seed=0)
    env.step(RIGHT * np.nan)
    result = env.step(RIGHT)
    assert (result.gate_reason, result.gate_state) == (GateReason.NOT_RUNNING, GateState.HOLD)
    np.testing.assert_array_equal(result.executed_action, STILL)
    env.reset(seed=1)
    assert env.step(RIGHT).gate_state == GateState.RUN


def test_way_to_rest_after_a_refusal_is_what_was_executed(make_env):
    # 1 m/s^2 is 0.01 m per period, a tenth of the action.
    env, bench = make_env(max_tcp_acceleration_m_s2=1.0)
    env.reset(seed=0)
    for _ in range(3):
        env.step(RIGHT)
    executed = [env.step(RIGHT * np.nan).executed_action[0] for _ in range(3)]
    np.testing.assert_allclose(executed, [0.2, 0.1, 0.0], rtol=1e-5)
    assert bench.stops == 0


@pytest.mark.parametrize("source", [Source.POLICY, Source.HUMAN, Source.DEMO, Source.HOLD])
def test_whoever_may_drive_an_episode_gets_through(make_env, source):
    env, _ = make_env()
    env.reset(seed=0)
    assert env.step(RIGHT, source).gate_reason == GateReason.PASSED


@pytest.mark.parametrize("source", [Source.RESET, Source.REPLAY, Source.CALIBRATION])
def test_nobody_else_moves_the_arm_in_an_episode(make_env, source):
    env, _ = make_env()
    env.reset(seed=0)
    result = env.step(RIGHT, source)
    assert result.gate_reason == GateReason.MODE
    np.testing.assert_array_equal(result.executed_action, STILL)


def test_lease_given_to_somebody_else_ends_what_the_loop_may_do(make_env):
    env, _ = make_env()
    env.reset(seed=0)
    env.gate.grant(Source.HUMAN)
    assert env.step(RIGHT).gate_reason == GateReason.LEASE
    env.reset(seed=1)
    assert env.step(RIGHT).gate_reason == GateReason.PASSED


def test_reset_clears_the_gates_memory_of_motion(make_env):
    env, _ = make_env(max_tcp_acceleration_m_s2=1.0)
    env.reset(seed=0)
    first = env.step(RIGHT).executed_action[0]
    assert env.step(RIGHT).executed_action[0] > first
    env.reset(seed=0)
    assert env.step(RIGHT).executed_action[0] == first


def test_latched_stop_truncates_and_is_no_failure(make_env):
    env, bench = make_env()
    env.reset(seed=0)
    bench.force_n = 61.0
    env.step(STILL)
    result = env.step(RIGHT)
    assert (result.terminated, result.truncated) == (False, True)
    assert result.outcome == Outcome.UNKNOWN
    assert (result.gate_state, result.gate_reason) == (GateState.STOP, GateReason.FORCE)
    assert bench.stops > 0


def test_nothing_moves_under_a_latched_stop_until_a_person_clears_it(make_env):
    env, bench = make_env()
    env.gate.stop("button on the table")
    with pytest.raises(GateStopError, match="button on the table"):
        env.reset(seed=0)
    assert bench.events == []
    env.gate.clear("Ada")
    env.reset(seed=0)
    assert env.step(RIGHT).gate_state == GateState.RUN


def test_stop_pressed_during_the_period_ends_the_episode_in_that_step(make_env):
    env, bench = make_env()
    env.reset(seed=0)
    bench.during_period = lambda: env.gate.stop("button")
    result = env.step(RIGHT)
    assert (result.gate_reason, result.gate_state) == (GateReason.PASSED, GateState.STOP)
    assert (result.terminated, result.truncated) == (False, True)
    assert bench.stops == 1


def test_failed_device_stops_the_robot_and_ends_the_episode(make_env):
    env, bench = make_env()
    env.reset(seed=0)
    bench.broken = True
    with pytest.raises(HardwareError, match="silent"):
        env.step(RIGHT)
    assert bench.stops == 1
    bench.broken = False
    with pytest.raises(ContractError, match="call reset first"):
        env.step(RIGHT)


def test_step_before_reset_or_after_the_end_is_refused(make_env):
    env, _ = make_env(horizon=1)
    with pytest.raises(ContractError, match="call reset first"):
        env.step(STILL)
    env.reset(seed=0)
    env.step(STILL)
    with pytest.raises(ContractError, match="call reset first"):
        env.step(STILL)


def test_gate_for_another_action_space_is_refused(make_env):
    env, bench = make_env()
    other = replace(env.action_spec, scale=(0.2,) * 6)
    with pytest.raises(ContractError, match="the gate's action is"):
        RobotEnv(bench, SafetyGate(env.gate.limits, other, bench.clock, None))
