from __future__ import annotations

import json
from pathlib import Path

import pytest

from robot_rl.app.run_context import RunContext
from robot_rl.app.run_folder import RunFolder
from robot_rl.app.station import Station
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


def test_a_run_tightens_the_limits_of_its_cell_and_the_gate_has_them(make_config, tmp_path):
    config = make_config("limits.max_tcp_speed_m_s=0.5", "limits.max_force_n=10.0")
    assert config.cell.limits.max_tcp_speed_m_s == 2.0
    save(config, tmp_path / "config.yaml")
    config = load(tmp_path / "config.yaml", type(config))
    station = Station.of_run(config)
    assert station.env.gate.limits.max_tcp_speed_m_s == 0.5
    assert station.env.gate.limits.max_force_n == 10.0
    assert station.env.gate.limits.max_torque_n_m == config.cell.limits.max_torque_n_m
    station.bench.close()


def test_a_run_that_loosens_a_limit_does_not_start_unless_it_says_so(make_config):
    with pytest.raises(ConfigError, match=r"max_force_n: the cell has 30.0, the run 31.0.*allow_"):
        make_config("limits.max_force_n=31.0")
    config = make_config("limits.max_force_n=31.0", "allow_looser_limits=true")
    assert config.limits_in_force.looser == ("max_force_n",)
    assert config.cell_in_force.limits.max_force_n == 31.0


def test_a_mistyped_limit_is_named(make_config):
    with pytest.raises(ConfigError, match="unknown key 'max_force'; did you mean 'max_force_n'"):
        make_config("limits.max_force=1.0")


@pytest.mark.parametrize("bad", ["dead_man_s=0.3", "dead_man_s=0", "after_release=never"])
def test_a_dead_man_slower_than_a_page_may_be_is_refused(make_config, bad):
    with pytest.raises(ConfigError, match=bad.split("=")[0]):
        make_config(bad)


def test_what_follows_a_release_is_the_runs(make_config):
    rule = make_config("release_s=0.5", "after_release=hold", "dead_man_s=0.28").hand_over
    assert (rule.release_s, rule.after_release, rule.dead_man_s) == (0.5, "hold", 0.28)


def test_every_episode_tells_the_limits_in_force_and_what_was_loosened(make_config, tmp_path):
    config = make_config(
        "limits.max_force_n=31.0", "limits.max_torque_n_m=4.0", "allow_looser_limits=true"
    )
    station = Station.of_run(config)
    run = RunContext(RunFolder.create(tmp_path, config), station, [], lambda: False)
    limits = run.metadata(0).limits
    station.bench.close()
    assert (limits["max_force_n"], limits["max_torque_n_m"]) == (31.0, 4.0)
    assert limits["cell"] == {"max_force_n": 30.0, "max_torque_n_m": 8.0}
    assert limits["looser_than_cell"] == ["max_force_n"]
    json.dumps(limits)
