"""What holds for every simulated task, and for time."""

import math
import time

import numpy as np
import pytest

from robot_rl.core.clock import NS_PER_S
from robot_rl.core.errors import ContractError, HardwareError
from robot_rl.core.spec import ENVIRONMENT, TCP_POSE, WRENCH
from robot_rl.core.types import GateReason, GateState, Outcome, SafeAction
from robot_rl_sim.bench import SimBenchConfig
from robot_rl_sim.tasks.peg_insert import PegInsertConfig
from robot_rl_sim.tasks.pick_cube import PickCubeConfig
from robot_rl_sim.tasks.point_reach import PointReachConfig

pytestmark = pytest.mark.sim

TASKS = [PegInsertConfig(), PickCubeConfig(), PointReachConfig()]
every_task = pytest.mark.parametrize("task", TASKS, ids=lambda t: type(t).__name__)


def record(stage, seed, steps=20):
    """An episode of arbitrary actions: every element of every observation, in order."""
    actions = np.random.default_rng(7).uniform(-1, 1, (steps, stage.bench.task.action.size))
    pack = stage.bench.task.observation.pack
    rows = [pack(stage.reset(seed))]
    for action in actions:
        result = stage.step(*action)
        rows.append(pack(result.observation.vectors))
        if result.terminated or result.truncated:
            break
    return np.stack(rows)


@every_task
def test_equal_seeds_and_actions_give_bit_identical_observations(make_stage, task):
    stage, other = make_stage(task), make_stage(task)
    first = record(stage, 3)
    # Neither an episode in between nor another bench leaves a trace.
    record(stage, 4)
    np.testing.assert_array_equal(record(stage, 3), first)
    np.testing.assert_array_equal(record(other, 3), first)


@every_task
def test_other_seeds_start_elsewhere(make_stage, task):
    stage = make_stage(task)
    starts = np.stack([record(stage, seed, steps=1)[0] for seed in range(3)])
    assert len(np.unique(starts, axis=0)) == 3


@every_task
def test_success_counts_once_it_has_been_held_long_enough_and_pays_once(make_stage, task):
    stage = make_stage(task)
    goal = stage.bench.sim_task
    needed = math.ceil(goal.hold_s / goal.spec.action.period_s - 1e-6)
    assert needed > 1
    for seed in range(3):
        reached, results = [], []
        for result in stage.drive(seed):
            reached.append(bool(goal.success(stage.state)[0]))
            results.append(result)
        assert results[-1].outcome == Outcome.SUCCESS
        assert [r.reward for r in results] == [0.0] * (len(results) - 1) + [1.0]
        runs = [all(reached[k : k + needed]) for k in range(len(reached) - needed + 1)]
        assert runs == [False] * (len(runs) - 1) + [True]


@pytest.mark.parametrize("task", TASKS[:2], ids=["peg", "cube"])
def test_perception_is_wrong_by_a_constant_that_each_episode_draws_anew(make_stage, task):
    stage, constants = make_stage(task), []
    for seed in range(3):
        vectors, errors = stage.reset(seed), []
        for _ in range(6):
            true = stage.bench.sim_task.estimate(stage.state, np.zeros((1, 6)))[0]
            errors.append((vectors[ENVIRONMENT] - true)[:3])
            vectors = stage.step(*np.full(stage.bench.task.action.size, 0.3)).observation.vectors
        np.testing.assert_allclose(errors, errors[:1] * 6, atol=1e-7)
        constants.append(errors[0])
    assert np.abs(constants).max() <= 2 * task.estimate_error_m + 1e-7
    assert np.ptp(constants, axis=0).min() > 1e-4


@every_task
def test_zeros_hold_the_arm_where_it_is(make_stage, task):
    stage = make_stage(task)
    stage.reset(1)
    before = stage.state.tcp_pose[0]
    for _ in range(10):
        result = stage.step(*np.zeros(stage.bench.task.action.size))
        assert result.gate_reason == GateReason.PASSED
    # It gives way a little to what pulls at it: half a millimetre in a second.
    np.testing.assert_allclose(stage.state.tcp_pose[0], before, atol=2e-3)


def test_a_command_of_the_wrong_length_is_refused(make_stage):
    stage = make_stage(PointReachConfig())
    stage.reset(0)
    command = SafeAction(
        values=np.zeros(3, np.float32),
        state=GateState.RUN,
        reason=GateReason.PASSED,
        changed=False,
    )
    with pytest.raises(ContractError, match=r"shape \[3\], expected \[2\]"):
        stage.bench.robot.command(command)


@pytest.mark.parametrize(("array", "value"), [("qvel", 1e12), ("qpos", np.nan)])
def test_a_simulation_that_diverges_is_a_hardware_error_until_it_is_reset(
    make_stage, monkeypatch, tmp_path, array, value
):
    # MuJoCo writes a log into the working folder.
    monkeypatch.chdir(tmp_path)
    stage = make_stage(PointReachConfig())
    stage.reset(0)
    getattr(stage.bench.backend, array)[0, 0] = value
    with pytest.raises(HardwareError, match="diverged"):
        stage.step(0.0, 0.0)
    stage.reset(0)
    assert np.isfinite(stage.step(0.0, 0.0).observation.vectors[ENVIRONMENT]).all()


def test_simulated_time_passes_only_when_slept_on(make_stage):
    stage = make_stage(PointReachConfig())
    stage.reset(0)
    clock, start_s = stage.bench.clock, stage.bench.backend.data(0).time
    before_ns = clock.now_ns()
    clock.sleep_until_ns(before_ns + NS_PER_S)
    assert clock.now_ns() - before_ns == NS_PER_S
    assert stage.bench.backend.data(0).time - start_s == pytest.approx(1.0)


def test_in_real_time_physics_keeps_pace_with_the_machine_and_forgets_what_a_reset_took():
    bench = SimBenchConfig(real_time=True).build(PointReachConfig())
    time.sleep(0.2)
    bench.scene.reset(0)
    start_s, before_ns = bench.backend.data(0).time, bench.clock.now_ns()
    for tick in range(1, 6):
        bench.clock.sleep_until_ns(before_ns + tick * NS_PER_S // 10)
    elapsed_s = (time.monotonic_ns() - before_ns) / NS_PER_S
    assert elapsed_s >= 0.5
    assert bench.backend.data(0).time - start_s == pytest.approx(0.5, abs=0.02)


def test_in_real_time_a_bench_can_be_looked_at_before_its_first_episode():
    bench = SimBenchConfig(real_time=True).build(PegInsertConfig())
    vectors = dict(bench.robot.read().vectors)
    for sensor in bench.sensors:
        vectors |= sensor.latest().vectors
    bench.task.observation.check(vectors, {})
    assert np.linalg.norm(vectors[WRENCH][:3]) < 1.0
    assert vectors[TCP_POSE][2] > 0.05


def test_an_arm_that_is_told_to_hold_does_not_creep(make_stage):
    stage = make_stage(PickCubeConfig())
    stage.reset(3)
    stage.step(*np.zeros(7))
    held = stage.state.tcp_pose[0, :3].copy()
    for _ in range(70):
        stage.step(*np.zeros(7))
    assert np.linalg.norm(stage.state.tcp_pose[0, :3] - held) < 0.25e-3
