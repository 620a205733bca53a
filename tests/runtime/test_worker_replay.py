"""What of a learner's needs and of the schedule reaches its batches."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from robot_rl.core.episode import Episode, EpisodeMetadata
from robot_rl.core.errors import ConfigError
from robot_rl.core.spec import (
    JOINT_POSITION,
    ActionSpec,
    ImageSpec,
    ObservationSpec,
    TaskSpec,
    VectorSpec,
)
from robot_rl.core.types import GateReason, Observation, Outcome, Source, Transition
from robot_rl.learning.contract import SamplingNeeds
from robot_rl.runtime.worker import LearnerWorker, ScheduleConfig

CAMERA = "observation.images.wrist"
TASK = TaskSpec(
    name="seen",
    horizon=50,
    observation=ObservationSpec(
        vectors={JOINT_POSITION: VectorSpec(names=("q",), unit="rad")},
        images={CAMERA: ImageSpec(height=6, width=6)},
    ),
    action=ActionSpec(kind="joint_delta", names=("a",), scale=(0.1,), period_s=0.1),
)
LENGTH = 12
SCHEDULE = {"prefill_steps": 4, "warmup_updates": 0, "utd": 1.0, "batches_per_cycle": 1}
SEES = SamplingNeeds(images=True)


class RedEncoder:
    shapes = {CAMERA: (6, 6)}  # noqa: RUF012
    fingerprint = "red"

    def encode(self, key, images):
        return images[..., 0].astype(np.float16)


def build_steps(episode: int = 0, human: tuple[int, ...] = (), latents=None) -> list[Transition]:
    """Instant t has joint position t; its image is noise."""
    rng = np.random.default_rng(episode)
    seen = [
        Observation(
            stamp_ns=t,
            vectors={JOINT_POSITION: np.full(1, t, np.float32)},
            images={CAMERA: rng.integers(0, 256, (6, 6, 3), np.uint8)},
        )
        for t in range(LENGTH + 1)
    ]
    action = np.zeros(1, np.float32)
    return [
        Transition(
            observation=seen[t],
            next_observation=seen[t + 1],
            action=action + t / 100,
            base_action=action,
            next_base_action=action,
            proposed_action=action,
            reward=0.0,
            terminated=t == LENGTH - 1,
            truncated=False,
            source=Source.HUMAN if t in human else Source.POLICY,
            intervention_start=t in human,
            gate_reason=GateReason.PASSED,
            inference_s=0.0,
            lateness_s=0.0,
            episode_id=f"episode-{episode}",
            step=t,
            policy_version=0,
            latent=np.zeros(0, np.float32) if latents is None else latents[t],
        )
        for t in range(LENGTH)
    ]


def build_episode(episode: int = 0) -> Episode:
    steps = build_steps(episode)
    return Episode.from_transitions(steps, Outcome.SUCCESS, EpisodeMetadata(task="seen"))


@pytest.fixture
def work(kit):
    """A worker around a learner that keeps its batches, fed with one episode."""

    def work(needs=SEES, encoder=None, demonstrations=(), steps=None, **changes):
        learner = kit.CountingLearner(needs)
        learner.frame_encoder = encoder
        schedule = ScheduleConfig(**{**SCHEDULE, "batch_size": 64, "capacity": 40, **changes})
        worker = LearnerWorker(learner, TASK, schedule, demonstrations, seed=0)
        for step in build_steps() if steps is None else steps:
            worker.add(step)
        return worker, learner

    return work


def batch_of(worker, learner):
    worker.train_cycle()
    return learner.batches[-1]


def test_a_learner_that_looks_at_no_images_costs_no_memory_for_them(work):
    blind, learner = work(needs=SamplingNeeds(), demonstrations=[build_episode(1)])
    seeing, _ = work()

    assert batch_of(blind, learner).images == {}
    # 40 + 1 + 1 frames of 108 bytes in each of two buffers, and nothing else, are saved.
    sizes = [sum(buffer.nbytes for buffer in worker._buffers) for worker in (blind, seeing)]
    assert sizes[1] - sizes[0] == 2 * 42 * 108


def test_a_learner_with_vision_gets_images_as_recorded(work):
    batch = batch_of(*work())

    images = torch.from_numpy(np.stack([s.observation.images[CAMERA] for s in build_steps()]))
    assert torch.equal(batch.images[CAMERA], images[batch.observation[:, 0].long()])


def test_an_augmentation_of_the_schedule_changes_them(work):
    batch = batch_of(*work(augmentation={"shift_pixels": 2}))

    image = batch.images[CAMERA]
    assert (tuple(image.shape), image.dtype) == ((64, 3, 6, 6), torch.float32)


def test_features_take_the_place_of_images_in_both_buffers(work):
    options = {"features": {"variants": 2, "pad": 1}, "encoder": RedEncoder()}
    worker, learner = work(demonstrations=[build_episode(0)], **options)

    batch = batch_of(worker, learner)

    features = batch.images[CAMERA]
    assert (tuple(features.shape), features.dtype) == ((64, 6, 6), torch.float16)
    assert batch.offline.sum() == 32
    # The same episode in both buffers, but shifted differently.
    known = [
        {tuple(row.tolist()) for row in features[batch.offline == offline].flatten(1)}
        for offline in (False, True)
    ]
    assert known[0] != known[1]
    assert sum(buffer.nbytes for buffer in worker._buffers) < 2 * 42 * (108 + 2 * 72 + 200)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"features": {}}, "no frozen vision"),
        ({"features": {}, "needs": SamplingNeeds()}, "schedule.features.*looks at none"),
        ({"augmentation": {}, "needs": SamplingNeeds()}, "schedule.augmentation.*looks at none"),
        (
            {"augmentation": {}, "features": {}, "encoder": RedEncoder()},
            "shifted before they were encoded",
        ),
        ({"features": {"refresh_per_cycle": 1}, "encoder": RedEncoder()}, "keep_images"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(work, options, said):
    with pytest.raises(ConfigError, match=said):
        work(**options)


def test_needs_of_the_learner_come_before_the_schedule(work):
    latents = [np.full(2, t // 3, np.float32) for t in range(LENGTH)]
    needs = SamplingNeeds(starts="plans", n_step=5, latent_size=2, actions=True)

    batch = batch_of(*work(needs=needs, steps=build_steps(latents=latents), n_step=1))

    assert set(batch.observation[:, 0].tolist()) == {0, 3, 6, 9}
    assert batch.steps.tolist() == [3] * 64
    assert torch.equal(batch.latent[:, 0], batch.observation[:, 0] / 3)
    first = batch.observation[:, :1]
    expected = (first + torch.tensor([0.0, 1.0, 2.0, 2.0, 2.0])) / 100
    torch.testing.assert_close(batch.actions[..., 0], expected)


def test_the_schedule_decides_where_the_learner_needs_nothing(work):
    batch = batch_of(*work(n_step=2))

    assert set(batch.steps.tolist()) == {1, 2}
    assert batch.actions.shape == (64, 0, 1)
    assert batch.latent.shape == (64, 0)


def test_a_learner_that_cannot_use_demonstrations_gets_no_offline_rows(work):
    needs = dataclasses.replace(SEES, demonstrations=False)
    options = {"steps": build_steps(human=(3, 4)), "demonstrations": [build_episode(1)]}

    batch = batch_of(*work(needs=needs, **options))

    assert not batch.offline.any()
    assert batch.human.any()


def test_a_resumed_worker_has_the_same_refreshed_features(work):
    # Enough for the ring of 40 steps to lose its oldest, and refreshing to go round.
    episodes = [build_steps(number, human=(1, 2)) for number in range(5)]
    options = {
        "encoder": RedEncoder(),
        "demonstrations": [build_episode(9)],
        "features": {"variants": 2, "pad": 2, "keep_images": True, "refresh_per_cycle": 9},
    }
    worker, learner = work(steps=(), **options)
    plain, other = work(steps=(), **options)
    for steps in episodes:
        for step in steps:
            worker.add(step)
            while worker.cycle_is_due:
                worker.train_cycle()
    for step in (step for steps in episodes for step in steps):
        plain.add(step)
    state = json.loads(json.dumps({**worker.state_dict(), "learner": {"cycles": 0}}))
    plain.load_state_dict(state)

    assert state["refreshed"][0] != [1, 0, 0]
    for _ in range(20):
        one, same = batch_of(worker, learner), batch_of(plain, other)
        assert torch.equal(one.images[CAMERA], same.images[CAMERA])
        assert torch.equal(one.next_images[CAMERA], same.next_images[CAMERA])
