from __future__ import annotations

import warnings

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from robot_rl.core.errors import ConfigError
from robot_rl.core.spec import TCP_POSE
from robot_rl.envs.gymnasium_env import GymnasiumEnv


@pytest.fixture
def env(make_bench_and_gate) -> GymnasiumEnv:
    return GymnasiumEnv(*make_bench_and_gate())


def test_gymnasiums_own_checker_is_content(env):
    with warnings.catch_warnings():
        # Poses and forces have no bounds that a space could name.
        warnings.filterwarnings("ignore", message=".*Box observation space m.*infinity.*")
        check_env(env, skip_render_check=True)


def test_spaces_follow_the_specs(env):
    assert list(env.observation_space.spaces) == [
        "observation.images.front",
        "observation.tcp_pose",
        "observation.wrench",
    ]
    assert env.observation_space["observation.images.front"].dtype == np.uint8
    assert env.action_space.shape == (6,)


def test_equal_seeds_give_equal_episodes(env):
    runs = []
    for _ in range(2):
        first, _ = env.reset(seed=7)
        second, _ = env.reset()
        runs.append((first[TCP_POSE], second[TCP_POSE]))
    np.testing.assert_array_equal(runs[0], runs[1])


def test_resets_without_a_seed_differ(env):
    env.reset(seed=7)
    a, b = env.reset()[0][TCP_POSE], env.reset()[0][TCP_POSE]
    assert (a != b).any()


def test_nan_action_holds_and_says_so(env):
    before, _ = env.reset(seed=0)
    after, reward, terminated, truncated, info = env.step(np.full(6, np.nan))
    np.testing.assert_array_equal(before[TCP_POSE], after[TCP_POSE])
    assert info == {"is_success": False, "gate_reason": "NON_FINITE"}
    assert (reward, terminated, truncated) == (0.0, False, False)


def test_number_too_large_for_float32_is_refused_like_any_other(env):
    env.reset(seed=0)
    assert env.step(np.full(6, 1e308))[4]["gate_reason"] == "NON_FINITE"


def test_success_is_reported_once_reached(env):
    env.reset(seed=0)
    terminated = False
    while not terminated:
        _, reward, terminated, truncated, info = env.step(np.eye(6)[0])
        assert not truncated
        assert info["is_success"] == terminated == (reward == 1.0)


def test_render_is_of_the_bench(make_bench_and_gate):
    env = GymnasiumEnv(*make_bench_and_gate(), render_mode="rgb_array")
    assert env.render().shape == (480, 640, 3)
    assert env.metadata["render_fps"] == 10


def test_render_without_a_mode_is_nothing(env):
    assert env.render() is None


def test_unknown_render_mode_is_refused(make_bench_and_gate):
    with pytest.raises(ConfigError, match="'human'"):
        GymnasiumEnv(*make_bench_and_gate(), render_mode="human")


def test_close_closes_the_bench(make_bench_and_gate):
    bench, gate = make_bench_and_gate()
    GymnasiumEnv(bench, gate).close()
    assert bench.closed
