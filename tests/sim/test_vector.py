import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from robot_rl.core.errors import ConfigError, ContractError
from robot_rl.core.spec import ENVIRONMENT, JOINT_POSITION, JOINT_VELOCITY, TCP_POSE
from robot_rl.core.types import GateReason
from robot_rl_sim.tasks.peg_insert import PegInsertConfig
from robot_rl_sim.tasks.pick_cube import PickCubeConfig
from robot_rl_sim.tasks.point_reach import PointReachConfig
from robot_rl_sim.vector import SimVectorEnv

pytestmark = pytest.mark.sim

TASKS = [PegInsertConfig(), PickCubeConfig(), PointReachConfig()]


def ideal(env):
    """What one who sees everything would do, normalised."""
    scale, state = np.asarray(env.task.spec.action.scale), env.backend.state()
    corrections = [env.task.correction(state, i) / scale for i in range(env.num_envs)]
    return np.clip(corrections, -0.5, 0.5).astype(np.float32)


def act(env, rng):
    return rng.uniform(-0.3, 0.3, env.action_space.shape).astype(np.float32)


@pytest.mark.parametrize("config", TASKS, ids=lambda t: type(t).__name__)
def test_one_simulation_moves_as_the_bench_does_behind_its_gate(make_stage, config):
    env, stage = SimVectorEnv(config.build(), 1), make_stage(config)
    observations, _ = env.reset(seed=5)
    vectors, rng = stage.reset(5), np.random.default_rng(0)
    exact = {JOINT_POSITION, JOINT_VELOCITY, TCP_POSE, ENVIRONMENT} & set(vectors)
    for _ in range(15):
        for key in exact:
            np.testing.assert_array_equal(observations[key][0], vectors[key])
        actions = act(env, rng)
        observations, *_ = env.step(actions)
        result = stage.step(*actions[0])
        vectors = result.observation.vectors
        assert result.gate_reason == GateReason.PASSED


def test_equal_seeds_and_actions_give_bit_identical_observations():
    records = []
    for _ in range(2):
        env, rng = SimVectorEnv(PegInsertConfig(horizon=6).build(), 3), np.random.default_rng(0)
        observations, _ = env.reset(seed=1)
        rows = [*observations.values()]
        # Past the horizon: what the next episodes' starts are is decided as well.
        for _ in range(10):
            rows += env.step(act(env, rng))[0].values()
        records.append(np.concatenate(rows, axis=-1))
    np.testing.assert_array_equal(*records)


def test_simulations_start_apart_and_like_the_bench_with_the_seeds_in_a_row(make_stage):
    env, stage = SimVectorEnv(PointReachConfig().build(), 3), make_stage(PointReachConfig())
    observations, info = env.reset(seed=10)
    for row, seed in enumerate((10, 11, 12)):
        np.testing.assert_array_equal(
            observations[ENVIRONMENT][row], stage.reset(seed)[ENVIRONMENT]
        )
    assert not info["is_success"].any()
    again, _ = env.reset(seed=[12, 11, 10])
    np.testing.assert_array_equal(again[ENVIRONMENT], observations[ENVIRONMENT][::-1])


def test_the_step_after_an_end_begins_the_next_episode_and_ignores_the_action():
    env = SimVectorEnv(PointReachConfig(horizon=4, nearest_m=0.2).build(), 2)
    start, _ = env.reset(seed=0)
    still = np.zeros((2, 2), np.float32)
    for step in range(1, 5):
        last, _, terminated, truncated, _ = env.step(still)
        assert not terminated.any()
        assert truncated.tolist() == [step == 4] * 2
    first, reward, terminated, truncated, info = env.step(np.ones((2, 2), np.float32))
    assert not (terminated | truncated | info["is_success"]).any()
    assert reward.tolist() == [0.0, 0.0]
    # New starts at rest; the old ones had not moved.
    np.testing.assert_allclose(last[JOINT_POSITION], start[JOINT_POSITION], atol=1e-3)
    assert np.abs(first[JOINT_POSITION] - start[JOINT_POSITION]).max(1).min() > 0.01
    np.testing.assert_allclose(first[JOINT_VELOCITY], 0.0, atol=1e-3)
    # The new episodes have their whole horizon before them.
    ends = [env.step(still)[3].tolist() for _ in range(4)]
    assert ends == [[False] * 2] * 3 + [[True] * 2]


@pytest.mark.parametrize("config", TASKS, ids=lambda t: type(t).__name__)
def test_who_sees_everything_succeeds_and_is_paid_once_an_episode(config):
    env = SimVectorEnv(config.build(), 4)
    env.reset(seed=0)
    paid, ended = np.zeros(4), np.zeros(4, bool)
    for _ in range(config.horizon):
        _, reward, terminated, truncated, info = env.step(ideal(env))
        np.testing.assert_array_equal(reward, terminated.astype(float))
        np.testing.assert_array_equal(info["is_success"], terminated)
        paid += np.where(ended, 0.0, reward)
        ended |= terminated | truncated
    assert paid.sum() >= 3
    assert paid.max() == 1.0


def test_while_some_begin_anew_the_others_go_on_as_if_alone():
    task = PointReachConfig().build()
    env, alone = SimVectorEnv(task, 4), [SimVectorEnv(task, 1) for _ in range(4)]
    env.reset(seed=0)
    for seed, single in enumerate(alone):
        single.reset(seed=seed)
    running, lengths = set(range(4)), {}
    for step in range(40):
        actions = ideal(env)
        observations, _, terminated, *_ = env.step(actions)
        for index in sorted(running):
            expected, *_ = alone[index].step(actions[index : index + 1])
            for key, value in expected.items():
                np.testing.assert_array_equal(observations[key][index], value[0])
            if terminated[index]:
                running.remove(index)
                lengths[index] = step
    assert not running
    assert len(set(lengths.values())) > 1


def test_spaces_and_metadata_are_gymnasiums():
    env = SimVectorEnv(PickCubeConfig().build(), 2)
    observations, _ = env.reset(seed=0)
    assert env.observation_space.contains(observations)
    assert env.action_space.shape == (2, 7)
    assert env.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    env.close()


def test_what_cannot_be_stepped_is_refused():
    env = SimVectorEnv(PointReachConfig().build(), 2)
    with pytest.raises(ContractError, match="reset first"):
        env.step(np.zeros((2, 2), np.float32))
    env.reset(seed=0)
    for actions in (np.zeros((2, 3), np.float32), np.full((2, 2), np.nan, np.float32)):
        with pytest.raises(ContractError, match=r"expected finite float32\[2, 2\]"):
            env.step(actions)
    with pytest.raises(ContractError, match="3 seeds for 2"):
        env.reset(seed=[1, 2, 3])
    with pytest.raises(ConfigError, match="no cameras"):
        SimVectorEnv(PegInsertConfig(cameras=True).build(), 2)
