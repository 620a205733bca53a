from __future__ import annotations

import os
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from robot_rl.app import gym_registry
from robot_rl.app.gym_registry import CONFIGS, ENVIRONMENTS, register_environments
from robot_rl.core.errors import ConfigError, DependencyError

pytestmark = pytest.mark.sim

every_id = pytest.mark.parametrize("name", ENVIRONMENTS)


@pytest.fixture
def make():
    made = []

    def make(name, **kwargs):
        with warnings.catch_warnings():
            # Poses and forces have no bounds that a space could name.
            warnings.filterwarnings("ignore", message=".*Box observation space m.*infinity.*")
            made.append(gymnasium.make(name, **kwargs))
        return made[-1]

    yield make
    for env in made:
        env.close()


def check(env, *, skip_render_check):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*Box observation space m.*infinity.*")
        check_env(env.unwrapped, skip_render_check=skip_render_check)


@every_id
def test_gymnasiums_own_checker_is_content(make, name):
    check(make(name), skip_render_check=True)


@pytest.mark.render
@pytest.mark.parametrize("name", ["robot_rl/PegInsert-v0", "robot_rl/PickCube-v0"])
def test_cameras_are_one_override_away_and_the_checker_still_content(make, name):
    env = make(name, overrides=["cameras=true"], render_mode="rgb_array")
    try:
        observation, _ = env.reset(seed=0)
    except DependencyError as error:
        pytest.skip(str(error))
    for camera in ("wrist", "front"):
        image = observation[f"observation.images.{camera}"]
        assert image.shape == (128, 128, 3)
        assert image.std() > 5
    assert env.render().shape == (480, 640, 3)
    check(env, skip_render_check=False)


@every_id
def test_equal_seeds_give_equal_episodes(make, name):
    env, episodes = make(name), []
    for _ in range(2):
        observation, _ = env.reset(seed=4)
        env.action_space.seed(0)
        rows = [*observation.values()]
        for _ in range(5):
            rows += env.step(env.action_space.sample())[0].values()
        episodes.append(np.concatenate(rows))
    np.testing.assert_array_equal(*episodes)


def test_an_id_that_names_the_module_needs_no_import(make):
    env = make(f"{gym_registry.__name__}:robot_rl/PointReach-v0")
    assert env.spec.id == "robot_rl/PointReach-v0"


def test_registering_again_changes_nothing():
    before = dict(gymnasium.registry)
    register_environments()
    assert gymnasium.registry == before


def test_files_of_ones_own_take_the_place_of_the_repositorys(make, monkeypatch):
    monkeypatch.setattr(gym_registry, "CONFIGS", CONFIGS / "absent")
    env = make(
        "robot_rl/PointReach-v0",
        task=os.fspath(CONFIGS / "tasks" / "point_reach.yaml"),
        cell=os.fspath(CONFIGS / "cells" / "sim_point.yaml"),
        overrides=["horizon=7"],
    )
    assert env.unwrapped.env.horizon == 7


def test_where_there_are_no_configs_the_error_says_what_to_pass(monkeypatch):
    monkeypatch.setattr(gym_registry, "CONFIGS", CONFIGS / "absent")
    with pytest.raises(ConfigError, match=r"got 'point_reach'.*task='path/to/a.yaml'"):
        gymnasium.make("robot_rl/PointReach-v0")


def test_an_unknown_task_is_refused_by_name():
    with pytest.raises(ConfigError, match="task: got 'point_rich'"):
        gymnasium.make("robot_rl/PointReach-v0", task="point_rich")
