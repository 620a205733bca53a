"""Which steps windows begin and end with, against a plain search through the steps."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robot_rl.core.errors import ConfigError, ContractError
from robot_rl.core.types import Source
from robot_rl.data.replay.replay_buffer import ReplayBuffer
from robot_rl.data.replay.sampling import Sampler

LATENTS = np.array([[0.0, 1.0], [2.0, 3.0], [0.0, 0.0]], np.float32)
GAMMA = 0.5


@pytest.fixture(scope="session")
def steps_of(make_transitions):
    """Steps of an episode: `latents` picks of each step its latent, None for none recorded."""

    def steps_of(latents, *, episode=0, **options):
        made = make_transitions(len(latents), episode=episode, images=False, **options)
        none = np.zeros(0, np.float32)
        return [
            dataclasses.replace(step, latent=none if pick is None else LATENTS[pick])
            for step, pick in zip(made, latents, strict=True)
        ]

    return steps_of


@pytest.fixture(scope="session")
def filled(make_spec):
    """A buffer with these steps, and a sampler of plans over it."""

    def filled(steps, *, capacity=50, n_step=3, **options):
        buffer = ReplayBuffer(capacity, make_spec(images=False), 3, latent_size=2)
        for step in steps:
            buffer.add(step)
        rule = {"starts": "plans", "actions": True, "seed": 0, "batch_size": 64} | options
        return buffer, Sampler([buffer], [1.0], n_step=n_step, gamma=GAMMA, **rule)

    return filled


def begins(steps, i) -> bool:
    """Whether step i begins a plan, said once more in other words."""
    if i == 0:
        return True
    step, before = steps[i], steps[i - 1]
    follows = step.episode_id == before.episode_id and step.step == before.step + 1
    if not follows or before.terminated or before.truncated:
        return True
    person = Source.HUMAN in (step.source, before.source)
    return person or not np.array_equal(kept(step), kept(before))


def kept(step):
    return step.latent if step.latent.size else np.zeros(2, np.float32)


def start_of(steps, i) -> int:
    while steps[i].latent.size and not begins(steps, i):
        i -= 1
    return i


def window_of(steps, start, n_step):
    """The steps of a window, what they return, and its discount."""
    window = [steps[start]]
    while len(window) < n_step and start + len(window) < len(steps):
        if begins(steps, start + len(window)):
            break
        window.append(steps[start + len(window)])
    reward = sum(GAMMA**k * step.reward for k, step in enumerate(window))
    return window, reward, 0.0 if window[-1].terminated else GAMMA ** len(window)


def rows_by_start(batch, steps):
    """Of each row the index of the step that it begins with."""
    places = {s.observation.vectors["observation.state"].tobytes(): i for i, s in enumerate(steps)}
    states = batch.observation[:, :2].numpy()
    return [places[state.tobytes()] for state in states]


@st.composite
def episodes(draw):
    """Of each episode: latents or None throughout, who drove, how it ended, what is left out."""
    found = []
    for _ in range(draw(st.integers(1, 4))):
        length = draw(st.integers(1, 7))
        picks = st.lists(st.integers(0, 2), min_size=length, max_size=length)
        latents = draw(st.one_of(picks, st.just([None] * length)))
        human = draw(st.sets(st.integers(0, length - 1), max_size=2))
        left_out = draw(st.sets(st.integers(0, length - 1), max_size=1))
        found.append((latents, tuple(human), draw(st.booleans()), left_out))
    return found


@settings(max_examples=60, deadline=None)
@given(episodes(), st.integers(1, 4))
def test_starts_and_windows_equal_a_plain_search(steps_of, filled, drawn, n_step):
    steps = []
    for episode, (latents, human, terminated, left_out) in enumerate(drawn):
        made = steps_of(latents, episode=episode, human=human, terminated=terminated)
        steps += [step for i, step in enumerate(made) if i not in left_out]
    if not steps:
        return
    buffer, sampler = filled(steps, n_step=n_step)

    starts = buffer.plan_starts(np.arange(len(steps)))
    batch = sampler.sample()

    assert starts.tolist() == [start_of(steps, i) for i in range(len(steps))]
    for row, start in enumerate(rows_by_start(batch, steps)):
        window, reward, discount = window_of(steps, start, n_step)
        assert batch.steps[row] == len(window)
        assert batch.reward[row] == pytest.approx(reward)
        assert batch.discount[row] == discount
        last = window[-1]
        assert torch.equal(batch.next_base_action[row], torch.tensor(last.next_base_action))
        assert torch.equal(batch.latent[row], torch.tensor(kept(steps[start])))
        actions = [step.action for step in window] + [last.action] * (n_step - len(window))
        assert torch.equal(batch.actions[row], torch.tensor(np.stack(actions)))
        assert batch.human[row] == (window[0].source == Source.HUMAN)


@settings(max_examples=30, deadline=None)
@given(episodes())
def test_an_episode_at_once_has_the_plans_of_its_steps(steps_of, filled, make_episode, drawn):
    one, _ = filled([])
    other, _ = filled([])
    for episode, (latents, human, terminated, _) in enumerate(drawn):
        steps = steps_of(latents, episode=episode, human=human, terminated=terminated)
        for step in steps:
            one.add(step)
        other.add_episode(
            dataclasses.replace(
                make_episode(len(steps), episode=episode, images=False, human=human),
                terminated=terminated,
                latent=np.stack([step.latent for step in steps]),
            )
        )

    assert one.state == other.state
    for name in ("plan", "plan_goes_on", "latent"):
        np.testing.assert_array_equal(one.column(name), other.column(name))


def test_plans_by_hand(steps_of, filled):
    # Plan 0, 1; plan 2, 3; the person 4, 5; the plan of 3 resumed at 6.
    steps = steps_of([0, 0, 1, 1, 1, 1, 1], human=(4, 5))
    buffer, sampler = filled(steps, n_step=5, batch_size=700)

    batch = sampler.sample()

    assert buffer.plan_starts(np.arange(7)).tolist() == [0, 0, 2, 2, 4, 5, 6]
    drawn = Counter(rows_by_start(batch, steps))
    lengths = dict(zip(rows_by_start(batch, steps), batch.steps.tolist(), strict=True))
    assert lengths == {0: 2, 2: 2, 4: 1, 5: 1, 6: 1}
    # Every step is drawn as often, so plans of two steps come up twice as often: 200 of 700.
    assert all(abs(drawn[start] - 200) < 60 for start in (0, 2))
    assert all(abs(drawn[start] - 100) < 47 for start in (4, 5, 6))


def test_windows_of_steps_run_through_plans(steps_of, filled):
    steps = steps_of([0, 0, 1, 1], terminated=False)
    _, sampler = filled(steps, n_step=4, starts="steps")

    batch = sampler.sample()

    lengths = dict(zip(rows_by_start(batch, steps), batch.steps.tolist(), strict=True))
    assert lengths == {0: 4, 1: 3, 2: 2, 3: 1}


def test_demonstrations_have_zeros_and_start_anywhere(steps_of, filled):
    steps = steps_of([None] * 5, terminated=False)
    buffer, sampler = filled(steps, n_step=3)

    batch = sampler.sample()

    lengths = dict(zip(rows_by_start(batch, steps), batch.steps.tolist(), strict=True))
    assert lengths == {0: 3, 1: 3, 2: 3, 3: 2, 4: 1}
    assert not batch.latent.any()
    assert buffer.column("latent").shape == (5, 2)


def test_a_plan_whose_beginning_is_gone_is_not_drawn(steps_of, filled):
    # Room for 6 of 8 steps: of the plan 0 to 3 only 2 and 3 are left.
    steps = steps_of([0] * 4 + [1] * 4)
    buffer, sampler = filled(steps, capacity=6)

    assert buffer.alive(buffer.plan_starts(np.arange(2, 8))).tolist() == [False] * 2 + [True] * 4
    for _ in range(5):
        assert set(rows_by_start(sampler.sample(), steps)) == {4}


def test_a_plan_longer_than_the_buffer_is_said(steps_of, filled):
    _, sampler = filled(steps_of([0] * 7), capacity=4)

    with pytest.raises(ContractError, match="capacity above the length of a plan, got 4"):
        sampler.sample()


def test_plans_without_latents_are_refused(make_spec):
    buffer = ReplayBuffer(4, make_spec(images=False), 3)

    with pytest.raises(ConfigError, match="give the buffers a latent_size"):
        Sampler([buffer], [1.0], 2, 1, 0.9, 0, starts="plans")


def test_actions_are_gathered_only_if_asked(steps_of, filled):
    _, sampler = filled(steps_of([0, 0, 0]), actions=False)

    assert sampler.sample().actions.shape == (64, 0, 3)


@pytest.mark.parametrize("latent", [np.ones(3, "f4"), np.array([0, np.nan], "f4")])
def test_a_latent_of_another_length_or_not_finite_is_refused(steps_of, filled, latent):
    buffer, _ = filled([])
    step = dataclasses.replace(steps_of([0])[0], latent=latent)

    with pytest.raises(ContractError, match="expected 2 finite numbers or none"):
        buffer.add(step)
    assert len(buffer) == 0


def test_an_episode_with_latents_of_another_length_is_refused(filled, make_episode):
    buffer, _ = filled([])
    episode = dataclasses.replace(make_episode(4, images=False), latent=np.ones((4, 3), "f4"))

    with pytest.raises(ContractError, match=r"latent is \[4, 3\], expected 2"):
        buffer.add_episode(episode)
    assert len(buffer) == 0


def test_a_buffer_that_keeps_no_latents_leaves_them_out(steps_of, make_spec):
    buffer = ReplayBuffer(4, make_spec(images=False), 3)
    for step in steps_of([0, 1]):
        buffer.add(step)

    window = buffer.windows(np.arange(2), 2, GAMMA)

    assert window.latent.shape == (2, 0)
    assert window.steps.tolist() == [2, 1]
    np.testing.assert_array_equal(window.actions[1], window.actions[1, :1].repeat(2, axis=0))


def test_another_latent_shows_in_the_state(steps_of, filled):
    one, other = (filled(steps_of(latents))[0] for latents in ([0, 0], [0, 1]))

    assert one.state != other.state
