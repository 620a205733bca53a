"""Steps that were forgotten are never drawn again, and all others still are."""

from __future__ import annotations

import dataclasses
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robot_rl.core.errors import ContractError
from robot_rl.data.replay.feature_cache import FeatureCache
from robot_rl.data.replay.replay_buffer import ReplayBuffer
from robot_rl.data.replay.sampling import Sampler

CAMERA = "observation.images.wrist"


@pytest.fixture(scope="session")
def make_buffer(make_spec):
    def make(capacity=50, *, images=False, **options) -> ReplayBuffer:
        return ReplayBuffer(capacity, make_spec(images=images), 3, **options)

    return make


def draw(buffer, *, size=400, n_step=3, seed=0, **options):
    return Sampler([buffer], [1.0], size, n_step, 0.5, seed, **options).sample()


def places(batch) -> list[tuple[int, int]]:
    """Of each row: the episode and the step that it begins with."""
    return [(int(e) - 1, int(i) - 1) for e, i in batch.observation[:, :2].tolist()]


def ends(batch) -> list[tuple[int, int]]:
    """Of each row: the episode and the instant that it bootstraps from."""
    return [(int(e) - 1, int(i) - 1) for e, i in batch.next_observation[:, :2].tolist()]


def test_no_step_of_a_forgotten_episode_is_drawn(make_buffer, make_episode):
    buffer = make_buffer()
    for episode in range(3):
        buffer.add_episode(make_episode(5, episode=episode))

    buffer.forget("episode-1")

    assert set(places(draw(buffer))) == {(e, i) for e in (0, 2) for i in range(5)}
    assert len(buffer) == 10
    assert buffer.alive(np.arange(15)).tolist() == [True] * 5 + [False] * 5 + [True] * 5


def test_an_episode_that_is_not_there_is_forgotten_without_a_word(make_buffer, make_episode):
    buffer = make_buffer()
    buffer.forget("episode-1")
    buffer.add_episode(make_episode(2))
    buffer.forget("episode-1")
    assert len(buffer) == 2
    assert buffer.drawable() is None


def test_added_again_it_is_drawn_as_it_is_now(make_buffer, make_episode):
    buffer = make_buffer()
    buffer.add_episode(make_episode(3, rewards=[0.0, 0.0, 0.0]))

    buffer.forget("episode-0")
    buffer.add_episode(make_episode(3, rewards=[0.0, 0.0, 1.0]))
    batch = draw(buffer, n_step=1)

    assert {(i, r) for (_, i), r in zip(places(batch), batch.reward.tolist(), strict=True)} == {
        (0, 0.0),
        (1, 0.0),
        (2, 1.0),
    }


def test_no_window_runs_from_or_into_what_was_forgotten_of_an_unfinished_episode(
    make_buffer, make_transitions
):
    buffer = make_buffer()
    steps = make_transitions(6, images=False)
    for step in steps[:3]:
        buffer.add(step)
    buffer.forget("episode-0")
    for step in steps[3:]:
        buffer.add(step)

    batch = draw(buffer, n_step=6)

    assert set(places(batch)) == {(0, 3), (0, 4), (0, 5)}
    assert set(ends(batch)) == {(0, 6)}
    assert buffer.column("continues").tolist()[3:] == [False, True, True]


def test_a_forgotten_plan_does_not_take_the_rest_of_its_episode_with_it(
    make_buffer, make_transitions
):
    buffer = make_buffer(latent_size=2)
    steps = [
        dataclasses.replace(step, latent=np.ones(2, np.float32))
        for step in make_transitions(4, images=False)
    ]
    for step in steps[:2]:
        buffer.add(step)
    buffer.forget("episode-0")
    for step in steps[2:]:
        buffer.add(step)

    assert set(places(draw(buffer, starts="plans"))) == {(0, 2)}
    assert buffer.plan_starts(np.arange(4)).tolist() == [-1, -1, 2, 2]


def test_where_all_that_is_left_is_the_rest_of_a_plan_it_is_said(make_buffer, make_transitions):
    buffer = make_buffer(4, latent_size=2)
    noise = np.ones(2, np.float32)
    for episode, length in ((0, 4), (1, 2)):
        for step in make_transitions(length, episode=episode, images=False):
            buffer.add(dataclasses.replace(step, latent=noise))
    buffer.forget("episode-1")

    with pytest.raises(ContractError, match="one plan whose beginning is gone"):
        draw(buffer, starts="plans")


def test_a_buffer_of_which_all_was_forgotten_is_empty_until_more_comes(make_buffer, make_episode):
    online, offline = make_buffer(), make_buffer(offline=True)
    online.add_episode(make_episode(3))
    offline.add_episode(make_episode(3, episode=9))
    sampler = Sampler([online, offline], [0.5, 0.5], 8, 1, 0.5, 0)

    online.forget("episode-0")
    assert sampler.counts() == [0, 8]
    assert len(online) == 0
    offline.forget("episode-9")
    with pytest.raises(ContractError, match="every buffer is empty"):
        sampler.sample()
    online.add_episode(make_episode(1, episode=2))
    assert set(places(sampler.sample())) == {(2, 0)}


def test_what_is_overwritten_is_forgotten_no_more(make_buffer, make_episode):
    buffer = make_buffer(6)
    buffer.add_episode(make_episode(5))
    buffer.forget("episode-0")
    for episode in (1, 2):
        buffer.add_episode(make_episode(3, episode=episode))

    assert buffer.drawable() is None
    first, end = buffer.span
    assert len(buffer) == end - first
    assert not buffer.column("forgotten").any()


def test_features_are_those_of_the_steps_that_are_left(make_buffer, make_episode):
    class Brightness:
        shapes = {CAMERA: (1,)}  # noqa: RUF012
        fingerprint = "brightness"

        def encode(self, key, images):
            return images[:, :1, 0, 0].astype(np.float16)

    features = FeatureCache(encoder=Brightness(), variants=2, pad=1, seed=0, keep_images=True)
    buffer = make_buffer(images=True, features=features)
    for episode, length in ((0, 4), (1, 9)):
        buffer.add_episode(make_episode(length, episode=episode))

    buffer.forget("episode-0")
    buffer.refresh(20)
    buffer.add_episode(make_episode(2, episode=0))
    batch = draw(buffer, n_step=1)

    seen = batch.images[CAMERA][:, 0].tolist()
    assert seen == [instant + 1 for _, instant in places(batch)]
    assert set(places(batch)) == {(1, i) for i in range(9)} | {(0, 0), (0, 1)}


def test_without_a_forgotten_step_the_draws_are_what_they_were(make_buffer, make_episode):
    plain, other = make_buffer(), make_buffer()
    for buffer in (plain, other):
        buffer.add_episode(make_episode(9))
    other.forget("somebody else")

    assert plain.state == other.state
    assert places(draw(plain, seed=3)) == places(draw(other, seed=3))
    other.forget("episode-0")
    assert plain.state != other.state


@st.composite
def histories(draw):
    """What happens to six episodes: steps added one by one, whole ones, and forgotten ones."""
    kinds = st.tuples(
        st.sampled_from(["steps", "whole", "forget"]), st.integers(0, 5), st.integers(1, 6)
    )
    return draw(st.lists(kinds, min_size=1, max_size=25))


@settings(max_examples=60, deadline=None)
@given(histories(), st.integers(4, 40), st.sampled_from(["steps", "plans"]))
def test_exactly_the_steps_that_are_there_and_not_forgotten_are_drawn(
    make_buffer, make_transitions, make_episode, history, capacity, starts
):
    buffer = make_buffer(capacity, latent_size=1)
    model: list[tuple[int, int, float]] = []
    """Of each step ever added: episode, step, a reward of its own; -1 once forgotten."""
    for turn, (kind, episode, length) in enumerate(history):
        pays = [float(100 * turn + i) for i in range(length)]
        made = {"episode": episode, "images": False, "rewards": pays, "latent_size": 1}
        if kind == "forget":
            buffer.forget(f"episode-{episode}")
            model = [(e, i, -1.0 if e == episode else r) for e, i, r in model]
            continue
        if kind == "whole":
            buffer.add_episode(make_episode(length, **made))
        else:
            for step in make_transitions(length, terminated=False, **made):
                buffer.add(step)
        model += [(episode, i, pays[i]) for i in range(length)]
    first, end = buffer.span
    kept = {step for step in model[first:end] if step[2] >= 0}
    assert len(buffer) == len(kept)
    assert end == len(model)
    if not kept:
        assert not buffer.has_been_filled or first == end == 0
        return
    try:
        one = draw(buffer, n_step=1, size=800, starts=starts)
    except ContractError:
        # Only a plan that began before the ring did may be left.
        assert starts == "plans"
        return
    found = {
        (*place, reward) for place, reward in zip(places(one), one.reward.tolist(), strict=True)
    }

    assert found <= kept
    if starts == "steps":
        assert found == kept
    # A window of more steps ends where the forgotten ones begin.
    live_ends = {(e, i + 1) for e, i, _ in kept}
    assert set(ends(draw(buffer, n_step=4, starts=starts))) <= live_ends


def test_what_was_forgotten_before_a_sample_began_is_not_in_it(make_buffer, make_transitions):
    """One thread adds and forgets, another samples."""
    buffer = make_buffer(64)
    gone_before: set[int] = set()
    newest = [0]
    stop = threading.Event()

    def add(episode: int) -> None:
        for step in make_transitions(4, episode=episode, images=False):
            buffer.add(step)

    def write() -> None:
        while not stop.is_set():
            newest[0] += 1
            add(newest[0])
            if newest[0] % 2:
                buffer.forget(f"episode-{newest[0] - 3}")
                gone_before.add(newest[0] - 3)
            time.sleep(1e-4)

    for episode in range(4):
        newest[0] = episode
        add(episode)
    sampler = Sampler([buffer], [1.0], 64, 3, 0.5, 0)
    batches = wrong = 0
    deadline = time.monotonic() + 20
    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(write)
        try:
            while time.monotonic() < deadline and (batches < 50 or newest[0] < 300):
                gone = frozenset(gone_before)
                batch = sampler.sample()
                wrong += sum(episode in gone for episode, _ in places(batch))
                batches += 1
        finally:
            stop.set()
        writer.result()

    assert wrong == 0
    assert batches >= 50
    assert newest[0] >= 300
