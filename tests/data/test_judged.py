"""What an episode is once a person has judged it."""

from __future__ import annotations

import numpy as np
import pytest

from robot_rl.core.errors import ContractError
from robot_rl.core.types import Outcome
from robot_rl.data.disk.failing_disk import FailingDisk
from robot_rl.data.judged import as_judged, ended_in, judgement, successes
from robot_rl.data.store.episode_reader import outcome_value
from robot_rl.data.store.episode_store import EpisodeStore


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_judgement_says_what_was_said(outcome):
    label = judgement(outcome, " ann ")
    assert (outcome_value(label), label.made_by, label.name) == (outcome, "ann", "success")


@pytest.mark.parametrize("outcome", list(Outcome))
def test_nobody_cannot_judge(outcome):
    with pytest.raises(ContractError, match="needs a name"):
        judgement(outcome, " ")


@pytest.mark.parametrize(
    ("recorded", "said", "expected"),
    [
        # Outcome, terminated, truncated, reward of the last step, of 0.5 before.
        ((Outcome.UNKNOWN, False, True), Outcome.SUCCESS, (True, False, 1.0)),
        ((Outcome.UNKNOWN, False, True), Outcome.FAILURE, (False, True, 0.0)),
        ((Outcome.SUCCESS, True, False), Outcome.FAILURE, (True, False, 0.0)),
        ((Outcome.FAILURE, True, False), Outcome.SUCCESS, (True, False, 1.0)),
        ((Outcome.SUCCESS, True, False), Outcome.UNKNOWN, (True, False, 0.0)),
        ((Outcome.SUCCESS, True, False), Outcome.SUCCESS, (True, False, 0.5)),
    ],
)
def test_it_ended_as_was_said_and_pays_for_that(make_episode, recorded, said, expected):
    outcome, terminated, truncated = recorded
    episode = make_episode(
        3, rewards=[0.5] * 3, outcome=outcome, terminated=terminated, truncated=truncated
    )
    judged = ended_in(episode, said)
    assert judged.outcome == said
    assert (judged.terminated, judged.truncated, judged.reward[-1]) == expected
    assert judged.reward[:-1].tolist() == [0.5, 0.5]
    assert episode.reward.tolist() == [0.5] * 3


def test_the_newest_judgement_counts_and_none_leaves_the_recording(
    tmp_path, make_episode, recording_spec
):
    episode = make_episode(3, terminated=False, truncated=True, outcome=Outcome.UNKNOWN)
    with EpisodeStore(tmp_path / "store", recording_spec, disk=FailingDisk()) as store:
        store.append(episode)
        assert as_judged(store, "episode-0").outcome == Outcome.UNKNOWN
        for outcome in (Outcome.SUCCESS, Outcome.FAILURE, Outcome.SUCCESS):
            store.add_label("episode-0", judgement(outcome, "ann"))
            assert as_judged(store, "episode-0").outcome == outcome
        store.undo()
        assert as_judged(store, "episode-0").outcome == Outcome.FAILURE
        store.undo()
        store.undo()
        recorded = as_judged(store, "episode-0")
    assert np.array_equal(recorded.reward, episode.reward)
    assert recorded.truncated


def test_what_has_succeeded_is_for_a_person_to_say(tmp_path, make_episode, recording_spec):
    outcomes = (Outcome.SUCCESS, Outcome.FAILURE, Outcome.UNKNOWN, Outcome.SUCCESS)
    with EpisodeStore(tmp_path / "store", recording_spec, disk=FailingDisk()) as store:
        for number, outcome in enumerate(outcomes):
            store.append(make_episode(2, episode=number, outcome=outcome))
        assert successes(store) == ["episode-0", "episode-3"]
        store.add_label("episode-2", judgement(Outcome.SUCCESS, "ann"))
        store.add_label("episode-0", judgement(Outcome.FAILURE, "ann"))
        assert successes(store) == ["episode-2", "episode-3"]
        store.delete("episode-3")
        assert successes(store) == ["episode-2"]
