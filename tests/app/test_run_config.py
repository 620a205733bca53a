from __future__ import annotations

from pathlib import Path

import pytest

from robot_rl.config.load import load, save
from robot_rl.core.errors import ConfigError
from robot_rl.learning.reward_view import RlifRewardConfig, TaskRewardConfig

REWARDS = Path(__file__).parents[2] / "configs" / "rewards"


def test_a_run_is_paid_by_its_task_unless_it_says_otherwise(make_config):
    assert make_config().reward == TaskRewardConfig()


def test_a_reward_that_no_target_can_reach_stops_at_the_start(make_config):
    with pytest.raises(ConfigError, match=r"target_range .* \[0\.0, 1\.0\].*\[-inf, 0\.0\]"):
        make_config(f"reward={REWARDS}/rlif.yaml")


@pytest.mark.parametrize("target_range", ["null", "[-10.0, 0.0]"])
def test_a_reward_from_interventions_is_saved_with_the_run_and_loads_again(
    make_config, tmp_path, target_range
):
    config = make_config(
        f"reward={REWARDS}/rlif.yaml",
        f"learner.target_range={target_range}",
        "reward.late_steps=3",
    )
    assert config.reward == RlifRewardConfig(late_steps=3)
    save(config, tmp_path / "config.yaml")
    assert load(tmp_path / "config.yaml", type(config)) == config


def test_the_mixed_reward_leaves_the_clip_to_whoever_sets_it(make_config):
    assert make_config(f"reward={REWARDS}/mixed.yaml").learner.target_range == (0.0, 1.0)
