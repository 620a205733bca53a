"""What was logged comes back as it was."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from robot_rl.core.episode import Episode, EpisodeMetadata
from robot_rl.core.spec import JOINT_POSITION, JOINT_VELOCITY, VectorSpec
from robot_rl.core.types import GateReason, Outcome, Source
from robot_rl.data.log.episode_log import EpisodeLog
from robot_rl.data.log.export import write_mcap
from robot_rl.data.log.recovery import read_log

QUIET_NAN, SIGNALLING_NAN, QUIET_BIT = 0x7FC01234, 0x7F801234, 0x00400000


def log_steps(path, spec, steps, metadata, **options):
    with EpisodeLog(path, spec, steps[0].episode_id, metadata, **options) as log:
        for step in steps:
            log.add(step)


@pytest.mark.parametrize("images", ["raw", "png"])
def test_closed_log_gives_the_episode_back_bit_by_bit(
    tmp_path, make_arm_spec, make_arm_steps, make_arm_episode, arm_metadata, equal_bits, images
):
    spec = make_arm_spec()
    steps = make_arm_steps(spec, 7)
    log_steps(tmp_path / "log.mcap", spec, steps, arm_metadata, images=images)

    logged = read_log(tmp_path / "log.mcap")

    assert logged.complete
    assert logged.spec == spec
    assert logged.episode_id == "episode-1"
    assert logged.metadata == arm_metadata
    assert equal_bits(logged.episode, make_arm_episode(steps))


def test_each_intermediate_step_comes_back_with_its_own_next_base_action(
    tmp_path, make_arm_spec, make_arm_steps, arm_metadata
):
    spec = make_arm_spec()
    steps = make_arm_steps(spec, 4)
    log_steps(tmp_path / "log.mcap", spec, steps, arm_metadata)
    episode = read_log(tmp_path / "log.mcap").episode
    again = list(episode.transitions())
    assert [t.next_base_action.tolist() for t in again] == [
        t.next_base_action.tolist() for t in steps
    ]
    assert [t.observation.stamp_ns for t in again] == [t.observation.stamp_ns for t in steps]


def test_the_latent_of_each_step_comes_back(
    tmp_path, make_arm_spec, make_arm_steps, make_arm_episode, arm_metadata, equal_bits
):
    spec = make_arm_spec(vectors={})
    steps = make_arm_steps(spec, 5, latent_size=12)
    log_steps(tmp_path / "log.mcap", spec, steps, arm_metadata)

    logged = read_log(tmp_path / "log.mcap")

    assert logged.complete
    assert logged.episode.latent.shape == (5, 12)
    assert equal_bits(logged.episode, make_arm_episode(steps))


def test_a_log_of_steps_that_nothing_steered_has_no_word_of_latents(
    tmp_path, make_arm_spec, make_arm_steps, arm_metadata
):
    spec = make_arm_spec()
    log_steps(tmp_path / "log.mcap", spec, make_arm_steps(spec, 3), arm_metadata)

    assert b"latent" not in (tmp_path / "log.mcap").read_bytes()
    assert read_log(tmp_path / "log.mcap").episode.latent.shape == (3, 0)


@pytest.mark.parametrize("terminated", [True, False])
@pytest.mark.parametrize("truncated", [True, False])
def test_complete_log_keeps_how_the_last_step_ended(
    tmp_path, recording_spec, make_transitions, terminated, truncated
):
    steps = make_transitions(3, terminated=terminated, truncated=truncated)
    log_steps(tmp_path / "log.mcap", recording_spec, steps, EpisodeMetadata(task="plug"))
    logged = read_log(tmp_path / "log.mcap")
    assert logged.complete
    assert (logged.episode.terminated, logged.episode.truncated) == (terminated, truncated)
    assert logged.episode.outcome == Outcome.UNKNOWN


def test_jpeg_images_come_back_nearly_as_they_were(tmp_path, make_arm_spec, make_arm_steps):
    spec = make_arm_spec(height=32, width=32)
    steps = make_arm_steps(spec, 1)
    slope = np.linspace(0, 255, 32).astype(np.uint8)
    picture = np.stack(np.broadcast_arrays(slope[:, None], slope[None], np.uint8(90)), axis=-1)
    seen = dataclasses.replace(
        steps[0].observation, images=dict.fromkeys(steps[0].observation.images, picture)
    )
    steps = [dataclasses.replace(steps[0], observation=seen)]
    log_steps(tmp_path / "log.mcap", spec, steps, EpisodeMetadata(task="peg"), images="jpeg")
    episode = read_log(tmp_path / "log.mcap").episode
    for column in episode.images.values():
        error = np.abs(column[0].astype(int) - picture)
        assert 0 < error.mean() < 2
        assert error.max() < 12


def test_log_without_steps_is_complete_and_has_no_episode(tmp_path, recording_spec):
    EpisodeLog(tmp_path / "a.mcap", recording_spec, "e", EpisodeMetadata(task="plug")).close()
    logged = read_log(tmp_path / "a.mcap")
    assert logged.complete
    assert logged.episode is None
    assert logged.spec == recording_spec


@pytest.mark.parametrize("pattern", [QUIET_NAN, SIGNALLING_NAN])
def test_nan_comes_back_as_nan(tmp_path, make_arm_spec, make_arm_steps, arm_metadata, pattern):
    spec = make_arm_spec(images=False)
    step = make_arm_steps(spec, 1)[0]
    nan = np.array([pattern], np.uint32).view(np.float32)[0]
    seen = dataclasses.replace(
        step.observation,
        vectors={k: np.full_like(v, nan) for k, v in step.observation.vectors.items()},
    )
    log_steps(
        tmp_path / "log.mcap",
        spec,
        [dataclasses.replace(step, observation=seen, reward=float("nan"))],
        arm_metadata,
    )
    episode = read_log(tmp_path / "log.mcap").episode
    assert np.isnan(episode.reward).all()
    for column in episode.vectors.values():
        assert np.isnan(column[0]).all()
        # Where it travelled as float64, it is quiet now.
        assert set(column[0].view(np.uint32).tolist()) <= {pattern, pattern | QUIET_BIT}


@pytest.mark.parametrize("position_unit", ["rad", "deg", ""])
@pytest.mark.parametrize("velocity_unit", ["rad/s", "deg/s"])
def test_any_unit_of_joints_comes_back(
    tmp_path, make_arm_spec, make_arm_steps, arm_metadata, position_unit, velocity_unit
):
    spec = make_arm_spec(
        vectors={
            JOINT_VELOCITY: VectorSpec(names=("a", "b"), unit=velocity_unit),
            JOINT_POSITION: VectorSpec(names=("a", "b"), unit=position_unit),
        }
    )
    steps = make_arm_steps(spec, 2)
    log_steps(tmp_path / "log.mcap", spec, steps, arm_metadata)
    episode = read_log(tmp_path / "log.mcap").episode
    for key, column in episode.vectors.items():
        assert column[1].tolist() == steps[1].observation.vectors[key].tolist()


def test_strided_arrays_are_logged_as_they_read(
    tmp_path, make_arm_spec, make_arm_steps, make_arm_episode, arm_metadata, equal_bits
):
    spec = make_arm_spec()

    def strided(array):
        wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
        wide[..., ::2] = array
        return wide[..., ::2]

    step = make_arm_steps(spec, 1)[0]
    views = dataclasses.replace(
        step,
        action=strided(step.action),
        base_action=strided(step.base_action),
        observation=dataclasses.replace(
            step.observation,
            vectors={k: strided(v) for k, v in step.observation.vectors.items()},
            images={k: strided(v) for k, v in step.observation.images.items()},
        ),
    )
    log_steps(tmp_path / "log.mcap", spec, [views], arm_metadata)
    assert equal_bits(read_log(tmp_path / "log.mcap").episode, make_arm_episode([step]))


@st.composite
def episodes(draw, spec):
    seen, action = spec.task.observation, spec.task.action.size
    steps = draw(st.integers(1, 4))
    seed = draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    everyday = draw(st.booleans())

    def floats(*shape):
        if everyday:
            return random.standard_normal(shape).astype(np.float32)
        # Any bit pattern but signalling NaNs: infinities, subnormals, negative zeros.
        bits = random.integers(0, 2**32, shape, np.uint32)
        bits[random.random(shape) < 0.3] &= 0xFF800000
        nan = np.isnan(bits.view(np.float32))
        return np.where(nan, bits | np.uint32(QUIET_BIT), bits).view(np.float32)

    return Episode(
        episode_id=draw(st.text(st.characters(codec="utf-8"), max_size=8)),
        metadata=EpisodeMetadata(
            task=draw(st.text(st.characters(codec="utf-8"), max_size=8)),
            created_unix_s=draw(st.sampled_from([0.0, 1.7e9, -5.0, 1e300])),
            limits={"force": draw(st.floats(allow_nan=False)), "names": ["a", "ä"]},
        ),
        outcome=draw(st.sampled_from(Outcome)),
        terminated=draw(st.booleans()),
        truncated=draw(st.booleans()),
        stamps_ns=random.integers(-(2**63), 2**63 - 1, steps + 1),
        ages_s=floats(steps + 1),
        vectors={k: floats(steps + 1, v.size) for k, v in seen.vectors.items()},
        images={
            k: random.integers(0, 256, (steps + 1, i.height, i.width, 3), np.uint8)
            for k, i in seen.images.items()
        },
        action=floats(steps, action),
        base_action=floats(steps + 1, action),
        proposed_action=floats(steps, action),
        reward=floats(steps),
        source=random.integers(0, len(Source), steps).astype(np.uint8),
        intervention_start=random.integers(0, 2, steps).astype(bool),
        gate_reason=random.integers(0, len(GateReason), steps).astype(np.uint8),
        inference_s=floats(steps),
        lateness_s=floats(steps),
        policy_version=random.integers(-(2**63), 2**63 - 1, steps),
        latent=np.nan_to_num(floats(steps, draw(st.sampled_from([0, 1, 7]))), posinf=1, neginf=-1),
    )


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_episode_comes_back_from_an_mcap_file_bit_by_bit(
    tmp_path, make_arm_spec, equal_bits, data
):
    spec = make_arm_spec(height=1, width=2)
    episode = data.draw(episodes(spec))
    path = tmp_path / "episode.mcap"
    path.unlink(missing_ok=True)
    write_mcap(path, episode, spec, images=data.draw(st.sampled_from(["raw", "png"])))
    logged = read_log(path)
    assert logged.complete
    assert equal_bits(logged.episode, episode)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_episode_comes_back_from_its_log_but_for_the_outcome(
    tmp_path, make_arm_spec, equal_bits, data
):
    spec = make_arm_spec(height=1, width=2)
    episode = data.draw(episodes(spec))
    path = tmp_path / "log.mcap"
    path.unlink(missing_ok=True)
    with EpisodeLog(path, spec, episode.episode_id, episode.metadata, flush_s=0.01) as log:
        for step in episode.transitions():
            log.add(step)
    unknown = dataclasses.replace(episode, outcome=Outcome.UNKNOWN)
    assert equal_bits(read_log(path).episode, unknown)
