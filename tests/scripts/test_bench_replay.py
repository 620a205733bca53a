from __future__ import annotations

import dataclasses
import functools
from itertools import islice

import numpy as np
import pytest
import replay
import torch
from replay_data import CAMERAS, STATE, Shape, transitions
from replay_peers import INSTALL, NEXT, peers, usual_shift

from robot_rl.data.replay.augmentation import AugmentationConfig
from robot_rl.data.replay.replay_buffer import ReplayBuffer
from robot_rl.data.replay.shifting import shift_tensor

SHAPE = Shape(side=16, state=3, action=2, batch=32, steps=40, episode=10)
TINY = replay.Effort(shape=SHAPE, rounds=2, insertions=20, compiled=False)


@pytest.fixture(autouse=True)
def same_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def flat_steps():
    """Steps whose images are of one value each, that of the instant."""
    for k, step in enumerate(islice(transitions(SHAPE), SHAPE.steps)):
        before, after = (
            dataclasses.replace(
                seen, images={key: np.full((16, 16, 3), value, np.uint8) for key in CAMERAS}
            )
            for seen, value in ((step.observation, k), (step.next_observation, k + 1))
        )
        yield dataclasses.replace(step, observation=before, next_observation=after)


def test_absent_peers_are_said_to_be_absent_and_hold_no_claim(monkeypatch):
    def absent(shape):
        raise ImportError("no module named 'cpprb'")

    monkeypatch.setattr(replay, "peers", lambda **_: {"cpprb next_of": absent})

    rows, claims = replay.measure(TINY)

    assert {"name": "cpprb next_of", "skipped": INSTALL} in rows
    held = {claim.name: claim for claim in claims}
    for name in ("1 thread: against lerobot with its own shift",):
        assert np.isnan(held[name].value)
        assert not held[name].holds
    assert "1 thread: time to a copy of the same bytes" in held
    assert "inserting a step, p99 while a thread samples" in held


def test_peers_that_are_there_are_compared_in_turn(monkeypatch):
    class Quick:
        """Four batches of ours, so it is slower."""

        def __init__(self, shape):
            self._buffer = ReplayBuffer(shape.steps, shape.observation, shape.action)
            self._sampler = replay._sampler(self._buffer, shape.batch)

        def add(self, step):
            self._buffer.add(step)

        def sample(self, augment):
            return [self._sampler.sample() for _ in range(4)]

    monkeypatch.setattr(replay, "peers", lambda **_: {"lerobot": Quick, "quick": Quick})

    rows, claims = replay.measure(dataclasses.replace(TINY, rounds=7))

    held = {claim.name: claim for claim in claims}
    one = held["1 thread: against lerobot with its own shift"]
    assert 2 < one.value < 8
    best = held["1 thread: against quick with our shift, the best of the others"]
    assert 2 < best.value < 8
    names = [row["name"] for row in rows]
    assert names.count("quick, 1 thread") == 2


def test_memory_counts_frames_once():
    # 20 MB of frames, so that what else a process does is small beside it.
    shape = dataclasses.replace(SHAPE, side=128, steps=200)

    buffer, rows, copies = replay.fill("ours", replay.our_buffer, shape)

    # 200 + 200 // 32 + 1 frames, and about 400 bytes of numbers.
    assert copies == pytest.approx(207 / 200, abs=0.03)
    assert len(buffer) > 180
    assert rows[1]["repeats"] == 400


def test_the_usual_shift_gives_values_that_ours_gives(monkeypatch):
    images = torch.randint(0, 256, (5, 16, 16, 3), dtype=torch.uint8)
    draws = AugmentationConfig().build(0).draw(5)
    # The usual one counts from the corner of the padded image.
    corner = torch.from_numpy(np.stack([draws.down, draws.right]) + 4)[..., None]
    monkeypatch.setattr(torch, "randint", lambda *_: corner)

    ours = shift_tensor(images, draws).permute(0, 3, 1, 2)

    torch.testing.assert_close(usual_shift(images), ours, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("SB3 DictReplayBuffer", "stable_baselines3"),
        ("cpprb next_of", "cpprb"),
        pytest.param("torchrl LazyTensorStorage", "torchrl", marks=pytest.mark.slow),
        pytest.param("torchrl LazyMemmapStorage", "torchrl", marks=pytest.mark.slow),
        pytest.param("lerobot", "lerobot", marks=pytest.mark.slow),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_a_peer_gives_images_and_next_images_that_belong_together(name, module):
    pytest.importorskip(module)
    peer = peers(compiled=False)[name](SHAPE)
    for step in flat_steps():
        peer.add(step)

    batch = peer.sample(functools.partial(usual_shift))

    for key in CAMERAS:
        now, after = batch[key], batch[NEXT + key]
        assert now.shape == after.shape == (32, 3, 16, 16)
        assert now.dtype == torch.float32
        torch.testing.assert_close(after - now, torch.full_like(now, 1 / 255))
        assert now.max() <= 40 / 255


def test_steps_fit_the_spec_and_share_their_observations():
    first, second = islice(transitions(SHAPE), 2)

    SHAPE.observation.check(first.observation.vectors, first.observation.images)
    assert first.next_observation is second.observation
    assert first.observation.vectors[STATE].shape == (3,)
    assert SHAPE.frame_bytes == 2 * 16 * 16 * 3
