"""One thread adds while another one samples. Every element and pixel says which step it is of."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from robot_rl.core.spec import ImageSpec, ObservationSpec, VectorSpec
from robot_rl.core.types import GateReason, Observation, Source, Transition
from robot_rl.data.replay.array_pool import ArrayPool
from robot_rl.data.replay.augmentation import AugmentationConfig
from robot_rl.data.replay.feature_cache import FeatureCache
from robot_rl.data.replay.gathering import PlainGather
from robot_rl.data.replay.replay_buffer import ReplayBuffer
from robot_rl.data.replay.sampling import Sampler
from robot_rl.data.replay.window import WindowRule

STATE = "observation.state"
CAMERA = "observation.images.wrist"
SIDE = 32
SPEC = ObservationSpec(
    vectors={STATE: VectorSpec(names=tuple(f"s{i}" for i in range(64)), unit="rad")},
    images={CAMERA: ImageSpec(height=SIDE, width=SIDE)},
)
LENGTH = 5
"""Steps of an episode."""


def observation(number: int) -> Observation:
    """Instants are numbered through: all elements are the number, all pixels its last byte."""
    return Observation(
        stamp_ns=number,
        vectors={STATE: np.full(64, number, np.float32)},
        images={CAMERA: np.full((SIDE, SIDE, 3), number % 251, np.uint8)},
    )


def transitions(start: int = 0):
    """Step k goes from instant k to k + 1; every fifth ends its episode, every other its plan."""
    after, number = observation(start), start
    while True:
        before, after = after, observation(number + 1)
        action = np.full(2, number, np.float32)
        yield Transition(
            observation=before,
            next_observation=after,
            action=action,
            base_action=action,
            next_base_action=action + 1,
            proposed_action=action,
            reward=float(number),
            terminated=number % LENGTH == LENGTH - 1,
            truncated=False,
            source=Source.POLICY,
            intervention_start=False,
            gate_reason=GateReason.PASSED,
            inference_s=0.0,
            lateness_s=0.0,
            episode_id=f"episode-{number // LENGTH}",
            step=number % LENGTH,
            policy_version=0,
            latent=np.full(1, number // 2, np.float32),
        )
        number += 1


class PixelEncoder:
    """Features are the pixels."""

    shapes = {CAMERA: (SIDE, SIDE, 3)}  # noqa: RUF012
    fingerprint = "pixels"

    def encode(self, key, images):
        return images.astype(np.float16)


def build_features() -> FeatureCache:
    return FeatureCache(encoder=PixelEncoder(), variants=2, pad=3, seed=0, keep_images=True)


class Blind(ReplayBuffer):
    """Believes whatever it read."""

    def alive(self, steps):
        return np.ones(len(steps), np.bool_)


def wrong_rows(batch, n_step: int) -> np.ndarray:
    """Which rows are not a single window of at most n steps in each of their parts."""
    number = batch.action[:, 0].numpy().astype(np.int64)
    following = batch.next_base_action[:, 0].numpy().astype(np.int64)
    length = following - number
    wrong = (length < 1) | (length > np.minimum(n_step, LENGTH - number % LENGTH))
    expected = {
        "observation": number,
        "next_observation": following,
        "action": number,
        "base_action": number,
        "next_base_action": following,
        "proposed_action": number,
        "reward": reward_of(number, length.clip(1, n_step)),
        "discount": np.where(following % LENGTH == 0, 0, 0.5**length),
    }
    for field, values in expected.items():
        found = getattr(batch, field).numpy().reshape(len(number), -1)
        wrong |= (np.abs(found - values[:, None]) > 1e-6 * np.abs(values[:, None])).any(axis=1)
    for field, instant in (("images", number), ("next_images", following)):
        pixels = getattr(batch, field)[CAMERA].numpy().reshape(len(number), -1)
        if pixels.dtype == np.float32:
            pixels = (pixels * 255).round()
        wrong |= (pixels != (instant % 251)[:, None]).any(axis=1)
    return wrong


def reward_of(number: np.ndarray, length: np.ndarray) -> np.ndarray:
    """The n-step return: the reward of a step is its number, and gamma is a half."""
    return np.array(
        [sum(0.5**i * (k + i) for i in range(n)) for k, n in zip(number, length, strict=True)]
    )


def inside_plans(batch) -> np.ndarray:
    """Which rows do not begin with a plan."""
    number = batch.action[:, 0].numpy().astype(np.int64)
    return (number % 2 == 1) & (number % LENGTH != 0)


def sample_while_adding(buffer, *, until, seconds=30, n_step=3, **options):
    """Sample from a buffer that a thread adds to, some 10,000 steps a second; return the finds."""
    stream = transitions()
    for _ in range(buffer.capacity):
        buffer.add(next(stream))
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            buffer.add(next(stream))
            if buffer.features is not None:
                buffer.refresh(1)
            # Without a pause a writer overwrites so few steps many times over while they are read.
            time.sleep(1e-4)

    sampler = Sampler([buffer], [1.0], 64, n_step, 0.5, 0, **options)
    found = SimpleNamespace(batches=0, added=0, wrong=0, inside=0)
    deadline = time.monotonic() + seconds
    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(write)
        try:
            while time.monotonic() < deadline and not until(found):
                batch = sampler.sample()
                found.wrong += int(wrong_rows(batch, n_step).sum())
                found.inside += int(inside_plans(batch).sum())
                found.batches += 1
                found.added = buffer.span[1] - buffer.capacity
        finally:
            stop.set()
        writer.result()
    return found


# Augmenting takes so long that a writer at this rate has overwritten 16 steps before it is done.
@pytest.mark.parametrize(
    ("capacity", "augmented"), [(16, False), (200, False), (64, True), (200, True)]
)
def test_no_sample_is_torn_or_mixed(capacity, augmented):
    augmentation = AugmentationConfig().build(0) if augmented else None

    found = sample_while_adding(
        ReplayBuffer(capacity, SPEC, 2),
        until=lambda so_far: so_far.batches >= 10 and so_far.added >= 500,
        augmentation=augmentation,
    )

    assert found.wrong == 0
    assert found.batches >= 10
    assert found.added >= 500


@pytest.mark.parametrize("capacity", [32, 200])
def test_no_plan_and_no_features_are_torn_or_mixed(capacity):
    found = sample_while_adding(
        ReplayBuffer(capacity, SPEC, 2, latent_size=1, features=build_features()),
        until=lambda so_far: so_far.batches >= 10 and so_far.added >= 200,
        starts="plans",
    )

    assert found.wrong == 0
    assert found.inside == 0
    assert found.added >= 200


def test_samples_are_torn_where_nobody_checks():
    found = sample_while_adding(Blind(8, SPEC, 2), until=lambda so_far: so_far.wrong)

    assert found.wrong >= 1


@pytest.mark.slow
def test_no_sample_is_torn_in_a_minute():
    found = sample_while_adding(ReplayBuffer(16, SPEC, 2), until=lambda _: False, seconds=60)

    assert found.wrong == 0
    assert found.added > 10_000


class Interrupted(PlainGather):
    """Something happens each time before images are read."""

    def __init__(self, size, happens):
        super().__init__(size, SPEC.images, ArrayPool())
        self._happens = happens

    def fill(self, field, key, frames, slots, rows):
        self._happens()
        super().fill(field, key, frames, slots, rows)


def test_steps_that_went_while_they_were_read_are_not_alive():
    buffer, stream = ReplayBuffer(8, SPEC, 2), transitions()
    for _ in range(8):
        buffer.add(next(stream))
    steps = np.arange(*buffer.span)
    images = Interrupted(len(steps), lambda: buffer.add(next(stream)))

    buffer.read(steps, WindowRule(n_step=1, gamma=0.5), images, slice(0, len(steps)))

    # Steps 0 to 7 are ten frames, there is room for nine: step 0 had to go. Before the images,
    # step 8 came and its frame took the place of step 1's; before the next images, step 9 came.
    assert steps.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert images.arrays["images"][CAMERA][:, 0, 0, 0].tolist() == [9, 2, 3, 4, 5, 6, 7]
    assert buffer.alive(steps).tolist() == [False, False, True, True, True, True, True]


def test_rows_that_went_are_drawn_anew_with_all_their_parts():
    buffer, stream = ReplayBuffer(8, SPEC, 2), transitions()
    for _ in range(8):
        buffer.add(next(stream))
    read, reads = buffer.read, []

    def interrupted(*request):
        window = read(*request)
        reads.append(len(window.action))
        if len(reads) <= 2:
            buffer.add(next(stream))
        return window

    buffer.read = interrupted
    batch = Sampler([buffer], [1.0], 64, 3, 0.5, 0).sample()

    # Of 64 rows over seven steps some are of the step that goes; only those are read again.
    assert reads[0] == 64
    assert len(reads) >= 2
    assert all(0 < count < 64 for count in reads[1:])
    assert not wrong_rows(batch, 3).any()
    assert batch.action[:, 0].min() >= buffer.span[0]


def test_a_step_is_retired_before_its_frames_are_overwritten():
    buffer, stream = ReplayBuffer(4, SPEC, 2), transitions()
    for _ in range(4):
        buffer.add(next(stream))
    seen: list[int] = []
    ring = buffer._frames
    put = ring.put

    def watched(*frame):
        first = buffer.span[0]
        oldest = (
            buffer._steps.columns["frame"][first % buffer.capacity]
            if len(buffer)
            else ring.next_id
        )
        seen.append(int(oldest) - ring.oldest_after(1))
        put(*frame)

    ring.put = watched
    for _ in range(20):
        buffer.add(next(stream))

    assert len(seen) >= 20
    assert min(seen) >= 0


def test_one_thread_alone_draws_each_step_once_from_the_random_numbers():
    buffer, stream = ReplayBuffer(8, SPEC, 2), transitions()
    for _ in range(8):
        buffer.add(next(stream))
    first, end = buffer.span
    drawn = Sampler([buffer], [1.0], 6, 1, 0.5, 3).sample().action[:, 0].numpy()

    expected = first + np.random.Generator(np.random.PCG64(3)).integers(0, end - first, 6)

    assert drawn.tolist() == expected.tolist()
