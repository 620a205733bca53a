from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, replace

import numpy as np
import pytest

from robot_rl.core.episode import OBSERVATION_COLUMNS, STEP_COLUMNS, Episode, EpisodeMetadata
from robot_rl.core.errors import ContractError
from robot_rl.core.types import (
    NO_LATENT,
    ActionChunk,
    GateReason,
    Observation,
    Outcome,
    Source,
    Transition,
)

METADATA = EpisodeMetadata(task="reach")
CAMERA = "observation.images.wrist"


def build_observation(number: int) -> Observation:
    return Observation(
        stamp_ns=100 * number,
        vectors={"observation.state": np.full(2, number, np.float32)},
        images={CAMERA: np.full((2, 3, 3), number, np.uint8)},
        ages_s={"arm": 0.001 * number, "camera": 0.01 * number},
    )


def build_transitions(steps: int = 3, **changes) -> list[Transition]:
    observations = [build_observation(i) for i in range(steps + 1)]
    return [
        Transition(
            **{
                "observation": observations[i],
                "next_observation": observations[i + 1],
                "action": np.array([i, 0], np.float32),
                "base_action": np.array([i, 1], np.float32),
                "next_base_action": np.array([i + 1, 1], np.float32),
                "proposed_action": np.array([i, 2], np.float32),
                "reward": float(i),
                "terminated": i == steps - 1,
                "truncated": False,
                "source": Source.POLICY,
                "intervention_start": False,
                "gate_reason": GateReason.PASSED,
                "inference_s": 0.01,
                "lateness_s": 0.0,
                "episode_id": "e1",
                "step": i,
                "policy_version": 7,
                **changes,
            }
        )
        for i in range(steps)
    ]


def build_episode(outcome: Outcome = Outcome.SUCCESS, **changes) -> Episode:
    return Episode.from_transitions(build_transitions(**changes), outcome, METADATA)


def test_episode_has_a_row_per_step_and_one_more_observation():
    episode = build_episode()
    assert len(episode) == 3
    np.testing.assert_array_equal(episode.action[:, 0], [0, 1, 2])
    np.testing.assert_array_equal(episode.base_action[:, 0], [0, 1, 2, 3])
    np.testing.assert_array_equal(episode.reward, [0, 1, 2])
    np.testing.assert_array_equal(episode.vectors["observation.state"][:, 0], [0, 1, 2, 3])
    np.testing.assert_array_equal(episode.images[CAMERA][:, 0, 0, 0], [0, 1, 2, 3])
    np.testing.assert_array_equal(episode.stamps_ns, [0, 100, 200, 300])
    np.testing.assert_array_equal(episode.policy_version, [7, 7, 7])


def test_episode_keeps_the_age_of_the_oldest_stream():
    np.testing.assert_allclose(build_episode().ages_s, [0, 0.01, 0.02, 0.03], rtol=1e-6)


def test_episode_ends_as_its_last_step_did():
    episode = build_episode()
    assert (episode.terminated, episode.truncated) == (True, False)
    timed_out = build_episode(terminated=False, truncated=True)
    assert (timed_out.terminated, timed_out.truncated) == (False, True)


def test_success_with_a_persons_help_is_not_autonomous():
    assert build_episode().success_autonomous
    assisted = build_episode(source=Source.HUMAN)
    assert assisted.assisted
    assert not assisted.success_autonomous
    assert not build_episode(Outcome.FAILURE).success_autonomous


@pytest.mark.parametrize(
    ("source", "assisted"),
    [
        (Source.POLICY, False),
        (Source.HOLD, False),
        (Source.RESET, False),
        (Source.HUMAN, True),
        (Source.DEMO, True),
    ],
)
def test_one_step_by_a_person_makes_an_episode_assisted(source, assisted):
    transitions = build_transitions()
    transitions[1] = replace(transitions[1], source=source)
    episode = Episode.from_transitions(transitions, Outcome.SUCCESS, METADATA)
    assert episode.assisted == assisted


@pytest.mark.parametrize(
    ("reason", "refuses"),
    [(GateReason.NON_FINITE, True), (GateReason.NOT_RUNNING, True), (GateReason.RANGE, False)],
)
def test_a_reason_tells_refused_from_bent(reason, refuses):
    assert reason.refuses == refuses


@pytest.mark.parametrize("column", [*STEP_COLUMNS, *OBSERVATION_COLUMNS])
def test_column_of_another_length_is_refused(column):
    episode = build_episode()
    # `action` sets the number of steps, so its neighbours are the ones that disagree.
    with pytest.raises(ContractError, match="expected"):
        replace(episode, **{column: getattr(episode, column)[:-1]})


@pytest.mark.parametrize("field", ["vectors", "images"])
def test_vector_or_image_of_another_length_is_refused(field):
    episode = build_episode()
    shorter = {key: column[:-1] for key, column in getattr(episode, field).items()}
    with pytest.raises(ContractError, match="has 3 rows, expected 4 for 3 steps"):
        replace(episode, **{field: shorter})


def test_episode_without_steps_is_refused():
    with pytest.raises(ContractError, match="at least one"):
        Episode.from_transitions([], Outcome.UNKNOWN, METADATA)


def test_step_that_does_not_follow_is_refused():
    transitions = build_transitions(4)
    with pytest.raises(ContractError, match="step 3 does not follow 1"):
        Episode.from_transitions(transitions[:2] + transitions[3:], Outcome.UNKNOWN, METADATA)


def test_step_from_another_observation_is_refused():
    transitions = build_transitions(2)
    transitions[1] = replace(transitions[1], observation=build_observation(1))
    with pytest.raises(ContractError, match="step 1 does not follow 0"):
        Episode.from_transitions(transitions, Outcome.UNKNOWN, METADATA)


def test_steps_that_nothing_steered_have_an_empty_latent():
    assert build_transitions()[0].latent is NO_LATENT
    episode = build_episode()
    assert (episode.latent.dtype, episode.latent.shape) == (np.float32, (3, 0))
    assert all(t.latent.shape == (0,) for t in episode.transitions())
    assert not NO_LATENT.flags.writeable


def test_an_episode_made_without_a_latent_has_an_empty_one():
    episode = build_episode()
    columns = {f.name: getattr(episode, f.name) for f in fields(Episode) if f.name != "latent"}
    assert Episode(**columns).latent.shape == (3, 0)


def test_the_latent_of_each_step_is_a_row_and_comes_back():
    transitions = [
        replace(t, latent=np.array([t.step, -t.step], np.float32)) for t in build_transitions()
    ]
    episode = Episode.from_transitions(transitions, Outcome.SUCCESS, METADATA)
    assert episode.latent.tolist() == [[0, 0], [1, -1], [2, -2]]
    assert [t.latent.tolist() for t in episode.transitions()] == [[0, 0], [1, -1], [2, -2]]


def test_latents_of_two_sizes_in_one_episode_are_refused():
    transitions = build_transitions()
    transitions[2] = replace(transitions[2], latent=np.zeros(4, np.float32))
    with pytest.raises(ContractError, match=r"latent of step 2 has shape \[4\], that of step 1"):
        Episode.from_transitions(transitions, Outcome.SUCCESS, METADATA)


@pytest.mark.parametrize(
    ("latent", "said"),
    [
        (np.zeros((3, 2)), r"float64\[3, 2\], expected float32\[3, k\]"),
        (np.zeros((2, 2), np.float32), r"float32\[2, 2\], expected float32\[3, k\]"),
        (np.zeros((0, 0), np.float32), r"float32\[0, 0\], expected float32\[3, k\]"),
        (np.zeros(3, np.float32), r"float32\[3\], expected float32\[3, k\]"),
        (np.array([[0], [np.inf], [np.nan]], np.float32), "latent of step 1 is not finite"),
    ],
)
def test_a_latent_of_another_kind_is_refused(latent, said):
    with pytest.raises(ContractError, match=said):
        replace(build_episode(), latent=latent)


@pytest.mark.parametrize(
    "values", [np.zeros(6, np.float32), np.zeros((0, 6), np.float32), np.zeros((4, 6))]
)
def test_chunk_that_is_no_plan_is_refused(values):
    with pytest.raises(ContractError, match="expected float32"):
        ActionChunk(values=values, start_ns=0, dt_s=0.1)


def test_what_crosses_a_seam_cannot_be_rebound():
    with pytest.raises(FrozenInstanceError):
        build_observation(0).stamp_ns = 1
