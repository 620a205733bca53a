from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from robot_rl.config.load import load
from robot_rl.config.model import Config
from robot_rl.core.errors import ConfigError
from robot_rl.core.spec import TCP_POSE, WRENCH, ActionSpec, ObservationSpec, TaskSpec, VectorSpec
from robot_rl.core.types import Observation, Outcome
from robot_rl.rewards.region import RegionReward, RegionRewardConfig

CONFIGS = Path(__file__).parents[2] / "configs"
TASK = TaskSpec(
    name="seat",
    horizon=10,
    observation=ObservationSpec(
        vectors={
            TCP_POSE: VectorSpec(names=("x", "y", "z"), unit="m"),
            WRENCH: VectorSpec(names=("fx", "fz"), unit="N"),
        }
    ),
    action=ActionSpec(kind="joint_delta", names=("a",), scale=(0.1,), period_s=0.1),
)
BOUNDS = {TCP_POSE: {"z": (0.0, 0.05)}, WRENCH: {"fz": (-5.0, 5.0)}}


def make_reward(**settings: object) -> RegionReward:
    config = RegionRewardConfig.model_validate({"bounds": BOUNDS, "hold_s": 0.3} | settings)
    return config.build(TASK)


def seen(at_s: float, z: float = 0.02, fz: float = 0.0) -> Observation:
    vectors = {
        TCP_POSE: np.array([0.4, 0.1, z], np.float32),
        WRENCH: np.array([99.0, fz], np.float32),
    }
    return Observation(stamp_ns=round(at_s * 1e9), vectors=vectors)


def outcomes(reward: RegionReward, *instants: Observation) -> list[Outcome]:
    return [reward.score(instant).outcome for instant in instants]


def test_success_is_when_all_bounds_have_been_kept_for_long_enough() -> None:
    reward = make_reward()
    said = [reward.score(seen(t)) for t in (1.0, 1.1, 1.2, 1.3)]
    assert [s.outcome for s in said] == [Outcome.UNKNOWN] * 3 + [Outcome.SUCCESS]
    assert [s.reward for s in said] == [0.0, 0.0, 0.0, 1.0]


@pytest.mark.parametrize("left", [{"z": 0.051}, {"z": -0.001}, {"fz": 5.1}, {"z": np.nan}])
def test_leaving_one_bound_lets_holding_begin_anew(left: dict[str, float]) -> None:
    reward = make_reward()
    said = outcomes(reward, seen(1.0), seen(1.2, **left), seen(1.3), seen(1.5), seen(1.6))
    assert said == [Outcome.UNKNOWN] * 4 + [Outcome.SUCCESS]


def test_bounds_are_included() -> None:
    assert outcomes(make_reward(hold_s=0.0), seen(1.0, z=0.05, fz=-5.0)) == [Outcome.SUCCESS]


def test_what_was_not_seen_does_not_count_as_held() -> None:
    reward = make_reward(gap_s=0.2)
    said = outcomes(reward, seen(1.0), seen(1.4), seen(1.5), seen(1.6), seen(1.7))
    assert said == [Outcome.UNKNOWN] * 4 + [Outcome.SUCCESS]


def test_a_new_episode_begins_outside() -> None:
    reward = make_reward()
    outcomes(reward, seen(1.0), seen(1.2))
    reward.reset()
    assert outcomes(reward, seen(1.4)) == [Outcome.UNKNOWN]


def test_it_needs_only_what_it_names() -> None:
    reward = make_reward(bounds={TCP_POSE: {"x": (0, 1)}})
    assert list(reward.observation.vectors) == [TCP_POSE]
    assert np.isnan(reward.probability)


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ({"observation.tcp_pos": {"z": (0, 1)}}, "did you mean 'observation.tcp_pose'"),
        ({TCP_POSE: {"w": (0, 1)}}, "no element 'w'.*x, y, z"),
    ],
)
def test_what_the_task_does_not_observe_is_named(bounds: object, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make_reward(bounds=bounds)


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ({TCP_POSE: {"z": (1.0, 0.0)}}, r"expected the lower first"),
        ({TCP_POSE: {}}, "has no elements"),
        ({}, "at least 1"),
    ],
)
def test_bounds_that_bound_nothing_are_refused(bounds: object, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        make_reward(bounds=bounds)


def test_the_reward_of_the_real_insertion_fits_its_task() -> None:
    task = load(CONFIGS / "tasks" / "real" / "fr3_insert.yaml", Config).build()
    reward = load(CONFIGS / "rewards" / "models" / "peg_seated.yaml", Config).build(task)
    vectors = {key: np.zeros(v.size, np.float32) for key, v in task.observation.vectors.items()}
    vectors[TCP_POSE][:3] = (0.5, 0.0, 0.07)
    instants = [Observation(stamp_ns=round(t * 1e9), vectors=vectors) for t in (0.0, 0.2, 0.5)]
    assert outcomes(reward, *instants) == [Outcome.UNKNOWN, Outcome.UNKNOWN, Outcome.SUCCESS]
