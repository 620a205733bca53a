from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from robot_rl.core.errors import ConfigError, ContractError
from robot_rl.data.replay.replay_buffer import ReplayBuffer
from robot_rl.data.replay.sampling import Sampler

CAMERA = "observation.images.wrist"


@pytest.fixture(scope="session")
def make_buffer(make_spec, make_episode):
    def make(lengths=(), *, first=0, images=False, offline=False, capacity=50) -> ReplayBuffer:
        buffer = ReplayBuffer(capacity, make_spec(images=images), 3, offline=offline)
        for i, length in enumerate(lengths):
            buffer.add_episode(make_episode(length, episode=first + i))
        return buffer

    return make


@pytest.fixture(scope="session")
def make_sampler():
    def make(buffers, shares=(0.5, 0.5), *, batch_size=8, n_step=3, gamma=0.9, seed=0) -> Sampler:
        return Sampler(buffers, shares, batch_size, n_step, gamma, seed)

    return make


def test_batch_is_half_and_half(make_buffer, make_sampler):
    online, demos = make_buffer([9, 9]), make_buffer([3], first=10, offline=True)

    batch = make_sampler([online, demos]).sample()

    assert batch.offline.tolist() == [False] * 4 + [True] * 4
    assert (batch.observation[:4, 0] < 11).all()
    assert (batch.observation[4:, 0] == 11).all()


def test_shares_are_exact_by_largest_remainder(make_buffer, make_sampler):
    buffers = [make_buffer([3]) for _ in range(3)]

    # 10 * (.48, .27, .25) = 4.8, 2.7, 2.5: whole 4, 2, 2, the two left go to .8 and .7.
    assert make_sampler(buffers, (0.48, 0.27, 0.25), batch_size=10).counts() == [5, 3, 2]
    # 7 * .5 twice: the tie goes to the first.
    assert make_sampler(buffers[:2], batch_size=7).counts() == [4, 3]


def test_share_of_an_empty_buffer_goes_to_the_others_in_proportion(make_buffer, make_sampler):
    buffers = [make_buffer(), make_buffer([3]), make_buffer([3])]

    assert make_sampler(buffers, (0.5, 0.375, 0.125), batch_size=8).counts() == [0, 6, 2]


def test_empty_online_buffer_gives_a_batch_of_demonstrations(make_buffer, make_sampler):
    batch = make_sampler([make_buffer(), make_buffer([3], offline=True)]).sample()

    assert len(batch) == 8
    assert batch.offline.all()


@given(
    st.lists(st.integers(1, 20), min_size=1, max_size=5),
    st.integers(1, 257),
    st.data(),
)
def test_counts_sum_to_the_batch_and_miss_their_quota_by_less_than_one(
    make_buffer, make_sampler, weights, batch_size, data
):
    filled = [data.draw(st.booleans()) for _ in weights]
    buffers = [make_buffer([1] if full else [], capacity=1) for full in filled]
    shares = [w / sum(weights) for w in weights]
    if not any(filled):
        return

    counts = make_sampler(buffers, shares, batch_size=batch_size).counts()

    present = sum(w for w, full in zip(weights, filled, strict=True) if full)
    assert sum(counts) == batch_size
    for count, weight, full in zip(counts, weights, filled, strict=True):
        quota = batch_size * weight / present if full else 0.0
        assert abs(count - quota) < 1


def test_nothing_to_sample_is_said(make_buffer, make_sampler):
    with pytest.raises(ContractError, match="every buffer is empty"):
        make_sampler([make_buffer()], (1.0,)).sample()


def test_equal_seeds_draw_equal_batches_and_others_do_not(make_buffer, make_sampler):
    buffer = make_buffer([9, 9, 9])
    one, same, other = (make_sampler([buffer], (1.0,), seed=seed).sample() for seed in (1, 1, 2))

    assert torch.equal(one.action, same.action)
    assert not torch.equal(one.action, other.action)


def test_every_step_is_drawn_about_as_often(make_buffer, make_sampler):
    sampler = make_sampler([make_buffer([5])], (1.0,), batch_size=5_000)

    instants = sampler.sample().observation[:, 1].long() - 1

    # 1,000 expected of each; 5 standard deviations of a binomial are 141.
    assert torch.bincount(instants, minlength=5).sub(1_000).abs().max() < 141


def test_resume_continues_bit_by_bit_after_refilling_in_order(make_buffer, make_sampler):
    lengths = [6, 9, 4, 8, 7]  # 34 steps: both rings have wrapped.
    before = [make_buffer(lengths, capacity=20), make_buffer([5, 3], first=9, offline=True)]
    sampler = make_sampler(before)
    for _ in range(7):
        sampler.sample()
    state = json.loads(json.dumps(sampler.state_dict()))
    saved_order = [json.loads(json.dumps(buffer.state)) for buffer in before]

    after = [make_buffer(lengths, capacity=20), make_buffer([5, 3], first=9, offline=True)]
    resumed = make_sampler(after, seed=99)
    resumed.load_state_dict(state)

    assert [buffer.state for buffer in after] == saved_order
    for _ in range(100):
        one, other = sampler.sample(), resumed.sample()
        for field in dataclasses.fields(one):
            if field.name not in ("images", "next_images"):
                assert torch.equal(getattr(one, field.name), getattr(other, field.name))


def test_refilling_in_another_order_shows_in_the_state(make_buffer, make_episode):
    episodes = [make_episode(3, episode=i) for i in (0, 1)]
    one, other = make_buffer(), make_buffer()
    for episode in episodes:
        one.add_episode(episode)
    for episode in reversed(episodes):
        other.add_episode(episode)

    assert one.state["episodes"] == ["episode-0", "episode-1"]
    assert one.state != other.state


def test_batch_has_the_promised_shapes_and_dtypes(make_buffer, make_sampler):
    buffers = [make_buffer([4], images=True), make_buffer([4], images=True, offline=True)]

    batch = make_sampler(buffers).sample()

    f32, u8, flag = torch.float32, torch.uint8, torch.bool
    for name, shape, dtype in (
        ("observation", (8, 3), f32),
        ("next_observation", (8, 3), f32),
        ("action", (8, 3), f32),
        ("base_action", (8, 3), f32),
        ("next_base_action", (8, 3), f32),
        ("proposed_action", (8, 3), f32),
        ("reward", (8,), f32),
        ("discount", (8,), f32),
        ("human", (8,), flag),
        ("offline", (8,), flag),
    ):
        tensor = getattr(batch, name)
        assert (tuple(tensor.shape), tensor.dtype) == (shape, dtype), name
    for images in (batch.images, batch.next_images):
        assert (tuple(images[CAMERA].shape), images[CAMERA].dtype) == ((8, 2, 3, 3), u8)


def test_images_belong_to_their_observations(make_buffer, make_sampler):
    buffers = [make_buffer([9], images=True), make_buffer([9], images=True)]

    batch = make_sampler(buffers, batch_size=32).sample()

    assert torch.equal(batch.images[CAMERA][:, 0, 0, 0].float(), batch.observation[:, 1])
    assert torch.equal(batch.next_images[CAMERA][:, 1, 1, 1].float(), batch.next_observation[:, 1])


def test_changing_a_batch_does_not_change_the_buffer(make_buffer, make_sampler):
    buffer = make_buffer([4], images=True)
    before = buffer.state

    batch = make_sampler([buffer], (1.0,)).sample()
    for tensor in (batch.observation, batch.action, batch.reward, batch.images[CAMERA]):
        tensor.zero_()

    assert buffer.state == before
    assert make_sampler([buffer], (1.0,)).sample().images[CAMERA].min() >= 1


@pytest.mark.parametrize(
    ("shares", "settings"),
    [
        ((1.0,), {}),
        ((0.5, 0.6), {}),
        ((1.0, 0.0), {}),
        ((float("nan"), 0.5), {}),
        ((0.5, 0.5), {"batch_size": 0}),
        ((0.5, 0.5), {"n_step": 0}),
        ((0.5, 0.5), {"gamma": 1.01}),
        ((0.5, 0.5), {"gamma": float("nan")}),
    ],
)
def test_impossible_settings_are_refused(make_buffer, make_sampler, shares, settings):
    with pytest.raises(ConfigError):
        make_sampler([make_buffer([2]), make_buffer([2])], shares, **settings)


def test_buffers_of_different_content_are_refused(make_buffer, make_sampler):
    with pytest.raises(ContractError, match="different observations"):
        make_sampler([make_buffer([2], images=True), make_buffer([2])])


def test_human_steps_are_marked(make_spec, make_episode, make_sampler):
    buffer = ReplayBuffer(10, make_spec(images=False), 3)
    buffer.add_episode(make_episode(4, human=(2, 3)))

    batch = make_sampler([buffer], (1.0,), batch_size=64).sample()

    np.testing.assert_array_equal(batch.human, batch.observation[:, 1] >= 3)
