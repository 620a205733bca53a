"""Every number here is worked out by hand from the columns above it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from robot_rl.core.errors import ContractError
from robot_rl.core.types import Outcome, Source
from robot_rl.data.labelling import (
    human_outcome,
    progress_to_success,
    rlif_reward,
    sparse_reward,
)
from robot_rl.data.store.episode_reader import outcome_value

P, H, D, W = Source.POLICY, Source.HUMAN, Source.DEMO, Source.HOLD


def test_sparse_reward_is_one_on_the_last_step_of_a_terminated_success(make_episode):
    label = sparse_reward(make_episode(4))
    assert label.values.dtype == np.float32
    assert label.values.tolist() == [0, 0, 0, 1]
    assert label.name == "sparse"


@pytest.mark.parametrize(
    "fields",
    [{"outcome": Outcome.FAILURE}, {"outcome": Outcome.UNKNOWN}, {"terminated": False}],
)
def test_sparse_reward_is_zero_unless_a_success_ended_the_task(make_episode, fields):
    assert sparse_reward(make_episode(4, **fields)).values.tolist() == [0, 0, 0, 0]


def with_sources(make_episode, sources, **fields):
    source = np.asarray(sources, np.uint8)
    start = np.asarray(
        [s == H and (i == 0 or sources[i - 1] != H) for i, s in enumerate(sources)], np.bool_
    )
    return make_episode(len(sources), source=source, intervention_start=start, **fields)


@pytest.mark.parametrize(
    ("sources", "late_steps", "expected"),
    [
        ([P, P, P, H, H, P], 1, [0, 0, -1, 0, 0, 0]),
        ([P, P, H, P, P, H], 1, [0, -1, 0, 0, -1, 0]),
        ([P, P, P, P, H, H], 2, [0, 0, -0.5, -0.5, 0, 0]),
        # One policy step alone between two take-overs bears all the blame of the second.
        ([P, P, P, H, P, H], 2, [0, -0.5, -0.5, 0, -1, 0]),
        # The gate held before the person came: the hold is not what was objected to.
        ([P, P, W, W, H, H], 1, [0, -1, 0, 0, 0, 0]),
        # A hold between two take-overs: nothing of the policy's lies between them.
        ([P, H, W, H, P, P], 1, [-1, 0, 0, 0, 0, 0]),
        ([H, H, P, P, P, P], 1, [0, 0, 0, 0, 0, 0]),
        ([D, D, D, D, D, D], 1, [0, 0, 0, 0, 0, 0]),
        ([P, P, P, P, P, P], 3, [0, 0, 0, 0, 0, 0]),
    ],
)
def test_rlif_blames_the_last_policy_steps_before_a_take_over(
    make_episode, sources, late_steps, expected
):
    label = rlif_reward(with_sources(make_episode, sources), late_steps=late_steps)
    assert label.values.dtype == np.float32
    assert label.values.tolist() == expected


def test_rlif_ignores_the_task_reward_unless_it_is_mixed_in(make_episode):
    episode = with_sources(make_episode, [P, P, H, H], rewards=[0.0, 0.0, 0.0, 1.0])
    assert rlif_reward(episode).values.tolist() == [0, -1, 0, 0]
    mixed = rlif_reward(episode, task_scale=10.0)
    assert mixed.values.tolist() == [0, -1, 0, 10]
    assert mixed.parameters == {"late_steps": 1, "task_scale": 10.0}


def test_rlif_leaves_the_recorded_reward_as_it_is(make_episode):
    episode = with_sources(make_episode, [P, H], rewards=[3.0, 4.0])
    rlif_reward(episode, task_scale=2.0)
    assert episode.reward.tolist() == [3.0, 4.0]


@pytest.mark.parametrize("options", [{"late_steps": 0}, {"task_scale": float("nan")}])
def test_rlif_refuses_what_makes_no_sense(make_episode, options):
    with pytest.raises(ContractError, match="rlif reward: got"):
        rlif_reward(make_episode(), **options)


@pytest.mark.parametrize(("outcome", "value"), [(Outcome.SUCCESS, True), (Outcome.FAILURE, False)])
def test_a_persons_judgement_is_one_truth_value_and_a_name(outcome, value):
    label = human_outcome(outcome, by=" ann ")
    assert (label.name, label.made_by) == ("success", "ann")
    assert label.values.dtype == np.bool_
    assert label.values.tolist() == [value]
    assert outcome_value(label) == outcome


def test_a_persons_judgement_needs_a_verdict_and_a_name():
    with pytest.raises(ContractError, match="got unknown"):
        human_outcome(Outcome.UNKNOWN, by="ann")
    with pytest.raises(ContractError, match="who says so"):
        human_outcome(Outcome.SUCCESS, by="  ")


def test_progress_goes_by_time_from_zero_to_one(make_episode):
    stamps = np.array([50, 60, 70, 90], np.int64)
    label = progress_to_success(make_episode(3, stamps_ns=stamps))
    assert label.values.dtype == np.float32
    assert label.values.tolist() == [0, 0.25, 0.5, 1]


@pytest.mark.parametrize("outcome", [Outcome.FAILURE, Outcome.UNKNOWN])
def test_what_is_no_success_makes_no_progress(make_episode, outcome):
    with pytest.raises(ContractError, match="only a success has progress"):
        progress_to_success(make_episode(3, outcome=outcome))


def test_progress_needs_time_to_go_forward(make_episode):
    still = dataclasses.replace(make_episode(2), stamps_ns=np.array([5, 5, 6], np.int64))
    with pytest.raises(ContractError, match="do not increase"):
        progress_to_success(still)
