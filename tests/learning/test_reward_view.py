"""Numbers are worked out by hand, or by `data.labelling`, which has such tests of its own."""

from __future__ import annotations

import logging
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robot_rl.core.episode import Episode, EpisodeMetadata
from robot_rl.core.errors import ConfigError
from robot_rl.core.types import GateReason, Observation, Outcome, Source, Transition
from robot_rl.data.labelling import rlif_reward
from robot_rl.learning import return_alarm
from robot_rl.learning.return_alarm import ReturnAlarm
from robot_rl.learning.reward_view import (
    RlifRewardConfig,
    TaskRewardConfig,
    check_target_range,
    paid,
)

P, H, D, W = Source.POLICY, Source.HUMAN, Source.DEMO, Source.HOLD


def observation(t: int) -> Observation:
    return Observation(stamp_ns=t, vectors={"observation.state": np.float32([t])})


def steps(
    sources,
    *,
    rewards=None,
    starts=None,
    episode_id="e",
    end="terminated",
) -> list[Transition]:
    """The steps of an episode; a person's first step after others starts an intervention."""
    count = len(sources)
    if starts is None:
        starts = [s == H and (i == 0 or sources[i - 1] != H) for i, s in enumerate(sources)]
    seen = [observation(t) for t in range(count + 1)]
    nothing = np.zeros(2, np.float32)
    return [
        Transition(
            observation=seen[t],
            next_observation=seen[t + 1],
            action=nothing,
            base_action=nothing,
            next_base_action=nothing,
            proposed_action=nothing,
            reward=float(rewards[t]) if rewards is not None else float(t == count - 1),
            terminated=end == "terminated" and t == count - 1,
            truncated=end == "truncated" and t == count - 1,
            source=sources[t],
            intervention_start=starts[t],
            gate_reason=GateReason.PASSED,
            inference_s=0.0,
            lateness_s=0.0,
            episode_id=episode_id,
            step=t,
            policy_version=0,
        )
        for t in range(count)
    ]


def episode(transitions) -> Episode:
    return Episode.from_transitions(transitions, Outcome.UNKNOWN, EpisodeMetadata(task="t"))


def stream(view, transitions) -> list[list[tuple[int, float]]]:
    """What comes out after each step: number and reward."""
    return [[(s.step, s.reward) for s in view.push(t)] for t in transitions]


def test_the_tasks_own_reward_comes_out_at_once_and_as_it_was_recorded():
    made = steps([P, P, H], rewards=[0.5, 0.0, 1.0])
    view = TaskRewardConfig().build()
    assert [view.push(t) for t in made] == [[t] for t in made]
    assert view.finish() == []


def test_a_policy_step_is_held_back_until_the_next_one_is_known():
    out = stream(RlifRewardConfig().build(), steps([P, P, H, H, P, P]))
    assert out == [
        [],
        [(0, 0.0)],
        [(1, -1.0), (2, 0.0)],
        [(3, 0.0)],
        [],
        [(4, 0.0), (5, 0.0)],
    ]


def test_a_hold_before_the_person_waits_with_the_step_that_is_to_blame():
    out = stream(RlifRewardConfig().build(), steps([P, W, W, H, P]))
    assert out == [[], [], [], [(0, -1.0), (1, 0.0), (2, 0.0), (3, 0.0)], [(4, 0.0)]]


def test_late_steps_share_the_blame_and_are_held_back_together():
    out = stream(RlifRewardConfig(late_steps=2).build(), steps([P, P, P, H]))
    assert out == [[], [], [(0, 0.0)], [(1, -0.5), (2, -0.5), (3, 0.0)]]


def test_the_tasks_reward_is_mixed_in_only_when_asked_for():
    made = steps([P, H, H], rewards=[0.0, 0.0, 1.0])
    alone = stream(RlifRewardConfig().build(), made)
    mixed = stream(RlifRewardConfig(task_scale=2.0).build(), made)
    assert alone == [[], [(0, -1.0), (1, 0.0)], [(2, 0.0)]]
    assert mixed == [[], [(0, -1.0), (1, 0.0)], [(2, 2.0)]]


@pytest.mark.parametrize("end", ["terminated", "truncated"])
def test_nothing_is_held_back_beyond_the_last_step(end):
    view = RlifRewardConfig(late_steps=3).build()
    out = stream(view, steps([P, P], end=end))
    assert out == [[], [(0, 0.0), (1, 0.0)]]
    assert view.finish() == []


@pytest.mark.parametrize("next_id", ["f", "e"])
def test_what_an_episode_that_broke_off_held_back_comes_out_with_the_next_and_is_not_blamed(
    next_id,
):
    view = RlifRewardConfig().build()
    stream(view, steps([P, P, P], end="not at all"))
    # The next episode begins with a person, who has nothing to do with the one before.
    out = view.push(steps([H, P], episode_id=next_id)[0])
    assert [(s.episode_id, s.step, s.reward) for s in out] == [("e", 2, 0.0), (next_id, 0, 0.0)]


def test_a_demonstration_pays_nothing_and_stays_what_it_was():
    demo = episode(steps([D, D, D]))
    view = RlifRewardConfig().build()
    assert paid(view, demo).reward.tolist() == [0, 0, 0]
    assert demo.reward.tolist() == [0, 0, 1]
    assert paid(TaskRewardConfig().build(), demo).reward.tolist() == [0, 0, 1]


def test_steps_keep_everything_but_their_reward_and_go_on_sharing_observations():
    made = steps([P, P, H, P], rewards=[1, 2, 3, 4])
    view = RlifRewardConfig().build()
    out = [s for t in made for s in view.push(t)]
    assert [t.reward for t in made] == [1, 2, 3, 4]
    for before, after in zip(made, out, strict=True):
        assert after.observation is before.observation
        assert after.next_observation is before.next_observation
        assert (after.step, after.source) == (before.step, before.source)


@st.composite
def recordings(draw):
    """Episodes of any sources and take-overs, of which some broke off."""
    number = draw(st.integers(1, 3))
    made = []
    for n in range(number):
        sources = draw(st.lists(st.sampled_from(Source), min_size=1, max_size=12))
        starts = draw(st.lists(st.booleans(), min_size=len(sources), max_size=len(sources)))
        rewards = draw(
            st.lists(st.floats(-2, 2, width=32), min_size=len(sources), max_size=len(sources))
        )
        end = draw(st.sampled_from(["terminated", "truncated", "not at all"]))
        made.append(steps(sources, rewards=rewards, starts=starts, episode_id=f"e{n}", end=end))
    return made


@settings(deadline=None)
@given(recordings(), st.integers(1, 4), st.sampled_from([0.0, 1.0, -0.3]))
def test_the_stream_is_the_label_step_by_step_for_any_episodes(made, late_steps, task_scale):
    view = RlifRewardConfig(late_steps=late_steps, task_scale=task_scale).build()
    out = [s for transitions in made for t in transitions for s in view.push(t)] + view.finish()
    labels = [
        rlif_reward(episode(transitions), late_steps=late_steps, task_scale=task_scale).values
        for transitions in made
    ]
    assert [(s.episode_id, s.step) for s in out] == [
        (t.episode_id, t.step) for transitions in made for t in transitions
    ]
    np.testing.assert_array_equal(np.float32([s.reward for s in out]), np.concatenate(labels))


def test_returns_are_bounded_by_zero_unless_the_tasks_reward_is_mixed_in():
    assert RlifRewardConfig().build().return_bounds == (-math.inf, 0.0)
    assert RlifRewardConfig(task_scale=1.0).build().return_bounds is None
    assert TaskRewardConfig().build().return_bounds is None


@pytest.mark.parametrize("target_range", [(0.0, 1.0), (0.5, 2.0)])
def test_a_clip_that_leaves_no_return_is_refused(target_range):
    with pytest.raises(ConfigError, match=r"target_range.*every return lies in \[-inf, 0.0\]"):
        check_target_range(target_range, RlifRewardConfig().build())


@pytest.mark.parametrize("target_range", [None, (-5.0, 0.0), (-2.0, 1.0)])
def test_a_clip_that_leaves_returns_is_accepted(target_range):
    check_target_range(target_range, RlifRewardConfig().build())
    check_target_range((0.0, 1.0), TaskRewardConfig().build())


# The alarm


def test_q_above_the_bound_is_told_by_how_much_and_below_it_is_not():
    alarm = ReturnAlarm(0.5)
    assert alarm.check({"q_max": 0.75}) == {"q_above_bound": 0.25}
    assert alarm.check({"q_max": 0.5}) == {}
    assert alarm.check({"critic_loss": 1.0}) == {}
    assert ReturnAlarm(None).check({"q_max": 9.0}) == {}


def test_somebody_is_warned_once_and_only_after_a_while_above_the_margin(caplog):
    alarm = ReturnAlarm(0.0)
    high, slight = {"q_max": 0.3}, {"q_max": return_alarm.MARGIN}
    with caplog.at_level(logging.WARNING):
        for _ in range(return_alarm.PATIENCE - 1):
            alarm.check(high)
        alarm.check(slight)
        for _ in range(return_alarm.PATIENCE - 1):
            alarm.check(high)
        assert not caplog.records
        for _ in range(return_alarm.PATIENCE):
            alarm.check(high)
    assert len(caplog.records) == 1
    assert "q_max is 0.3 where no return exceeds 0" in caplog.text
