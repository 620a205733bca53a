from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robot_rl.core.errors import ContractError
from robot_rl.data.replay.replay_buffer import ReplayBuffer

STATE = "observation.state"
CAMERA = "observation.images.wrist"


@pytest.fixture(scope="session")
def make_buffer(make_spec):
    def make(capacity: int = 100, *, images: bool = False, offline: bool = False) -> ReplayBuffer:
        return ReplayBuffer(capacity, make_spec(images=images), 3, offline=offline)

    return make


def all_windows(buffer, n_step=1, gamma=0.9):
    return buffer.windows(np.arange(len(buffer)), n_step, gamma)


def reference_windows(kept, n_step, gamma):
    """The definition, step by step: `kept` are the transitions in the order they were added."""
    rows = []
    for start, first in enumerate(kept):
        total, discount, last = first.reward, gamma, first
        for i in range(1, n_step):
            after = kept[start + i] if start + i < len(kept) else None
            ended = last.terminated or last.truncated
            if after is None or ended or after.episode_id != last.episode_id:
                break
            if after.step != last.step + 1:
                break
            total += gamma**i * after.reward
            discount *= gamma
            last = after
        rows.append((total, 0.0 if last.terminated else discount, last))
    return rows


def test_scattered_intervention_steps_keep_their_own_next_observation(
    make_buffer, make_transitions
):
    buffer = make_buffer(images=True)
    human = (10, 11, 40, 41, 70)
    for transition in make_transitions(100, human=human):
        if transition.step in human:
            buffer.add(transition)

    window = all_windows(buffer)

    # The second element of the state and every pixel are the instant + 1.
    assert window.observation[:, 1].tolist() == [11, 12, 41, 42, 71]
    assert window.next_observation[:, 1].tolist() == [12, 13, 42, 43, 72]
    assert window.images[CAMERA][:, 0, 0, 0].tolist() == [11, 12, 41, 42, 71]
    assert window.next_images[CAMERA][:, 1, 2, 2].tolist() == [12, 13, 42, 43, 72]
    assert window.human.all()
    assert buffer.column("intervention_start").tolist() == [True, False, True, False, True]


def test_n_step_window_stops_before_a_gap(make_buffer, make_transitions):
    buffer = make_buffer()
    for transition in make_transitions(100):
        if transition.step in (10, 11, 40):
            buffer.add(transition)

    window = all_windows(buffer, n_step=3, gamma=0.5)

    # Rewards are step + 1: 11 + 0.5 * 12, then 12 and 41 alone.
    assert window.reward.tolist() == [17.0, 12.0, 41.0]
    assert window.discount.tolist() == [0.25, 0.5, 0.5]
    assert window.next_observation[:, 1].tolist() == [13, 13, 42]


def test_truncated_step_still_bootstraps_from_its_own_last_observation(
    make_buffer, make_transitions
):
    buffer = make_buffer()
    for transition in make_transitions(2, terminated=False, truncated=True):
        buffer.add(transition)
    for transition in make_transitions(2, episode=1):
        buffer.add(transition)

    window = all_windows(buffer, n_step=3, gamma=0.5)

    assert window.reward.tolist() == [2.0, 2.0, 2.0, 2.0]
    assert window.discount.tolist() == [0.25, 0.5, 0.0, 0.0]
    assert window.next_observation[:2].tolist() == [[1, 3, 2.5], [1, 3, 2.5]]
    np.testing.assert_allclose(window.next_base_action[:2, 2], 3 / 1000)


def test_an_interrupted_episode_does_not_flow_into_the_next(make_buffer, make_transitions):
    buffer = make_buffer()
    for episode in (0, 1):
        for transition in make_transitions(1, episode=episode, terminated=False):
            buffer.add(transition)

    window = all_windows(buffer, n_step=2, gamma=0.5)

    assert window.reward.tolist() == [1.0, 1.0]
    assert window.discount.tolist() == [0.5, 0.5]


def test_the_same_episode_added_twice_does_not_flow_into_itself(make_buffer, make_episode):
    buffer = make_buffer()
    episode = make_episode(2, terminated=False)
    buffer.add_episode(episode)
    buffer.add_episode(episode)

    assert buffer.column("continues").tolist() == [False, True, False, True]


def test_consecutive_steps_share_a_frame(make_buffer, make_transitions):
    buffer = make_buffer()
    for transition in make_transitions(3):
        buffer.add(transition)

    assert buffer.column("frame").tolist() == [0, 1, 2]
    assert buffer.column("next_frame").tolist() == [1, 2, 3]


def test_episode_and_its_transitions_fill_a_buffer_alike(
    make_buffer, make_episode, make_transitions
):
    options = {"human": (1, 2), "terminated": False, "truncated": True}
    one, other = make_buffer(images=True), make_buffer(images=True)
    one.add_episode(make_episode(5, **options))
    for transition in make_transitions(5, **options):
        other.add(transition)

    assert one.state == other.state
    for name in one._steps.columns:
        np.testing.assert_array_equal(one.column(name), other.column(name), err_msg=name)


@pytest.mark.parametrize(
    "change",
    [
        {"reward": 2.5},
        {"action": np.zeros(3, np.float32)},
        {"truncated": True},
    ],
)
def test_state_differs_when_a_step_differs(make_buffer, make_transitions, change):
    states = []
    for changed in (False, True):
        buffer = make_buffer()
        first, second = make_transitions(2, terminated=False)
        buffer.add(first)
        buffer.add(dataclasses.replace(second, **change) if changed else second)
        states.append(buffer.state)

    assert states[0]["steps"] == states[1]["steps"]
    assert states[0]["episodes"] == states[1]["episodes"] == ["episode-0"]
    assert states[0]["sha256"] != states[1]["sha256"]


def test_a_full_buffer_keeps_the_newest_steps(make_buffer, make_episode):
    buffer = make_buffer(capacity=10)
    for episode in range(4):
        buffer.add_episode(make_episode(6, episode=episode))

    # Room for 10 + 10 // 32 + 1 = 11 frames: seven of the last episode, four of the one before.
    assert len(buffer) == 9
    assert buffer.column("step").tolist() == [3, 4, 5, 0, 1, 2, 3, 4, 5]
    assert buffer.state["episodes"] == ["episode-2", "episode-3"]


EPISODES = st.lists(
    st.tuples(
        st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=1, max_size=8),
        st.sampled_from(["terminated", "truncated", "interrupted"]),
        st.booleans(),
    ),
    min_size=1,
    max_size=5,
)


def added_transitions(make_transitions, episodes):
    """Episodes with steps left out; every second kind loses the identity of shared frames."""
    for number, (steps, end, copied) in enumerate(episodes):
        transitions = make_transitions(
            len(steps),
            episode=number,
            images=False,
            rewards=[float(reward) for _, reward in steps],
            terminated=end == "terminated",
            truncated=end == "truncated",
        )
        for transition, (kept, _) in zip(transitions, steps, strict=True):
            if kept and copied:
                observation = dataclasses.replace(transition.observation)
                yield dataclasses.replace(transition, observation=observation)
            elif kept:
                yield transition


@settings(max_examples=60, deadline=None)
@given(EPISODES, st.integers(1, 5), st.sampled_from([1.0, 0.9, 0.5]))
def test_windows_equal_the_definition(make_buffer, make_transitions, episodes, n_step, gamma):
    buffer = make_buffer()
    kept = list(added_transitions(make_transitions, episodes))
    for transition in kept:
        buffer.add(transition)

    window = all_windows(buffer, n_step, gamma)

    expected = reference_windows(kept, n_step, gamma)
    for i, (total, discount, last) in enumerate(expected):
        assert window.reward[i] == pytest.approx(total, abs=1e-5)
        assert window.discount[i] == pytest.approx(discount, abs=1e-6)
        np.testing.assert_array_equal(
            window.next_observation[i, :2], last.next_observation.vectors[STATE]
        )
        np.testing.assert_array_equal(window.next_base_action[i], last.next_base_action)
        np.testing.assert_array_equal(window.base_action[i], kept[i].base_action)
        np.testing.assert_array_equal(
            window.observation[i, :2], kept[i].observation.vectors[STATE]
        )


@settings(max_examples=60, deadline=None)
@given(EPISODES, st.integers(1, 9), st.integers(1, 4))
def test_eviction_never_leaves_a_step_without_its_frames(
    make_buffer, make_transitions, episodes, capacity, n_step
):
    buffer = make_buffer(capacity=capacity)
    kept = []
    for transition in added_transitions(make_transitions, episodes):
        buffer.add(transition)
        kept.append(transition)

        assert 1 <= len(buffer) <= capacity
        window = all_windows(buffer, n_step)
        live = kept[-len(buffer) :]
        expected = reference_windows(live, n_step, 0.9)
        for i, (total, _, last) in enumerate(expected):
            assert window.reward[i] == pytest.approx(total, abs=1e-5)
            np.testing.assert_array_equal(
                window.observation[i, :2], live[i].observation.vectors[STATE]
            )
            np.testing.assert_array_equal(
                window.next_observation[i, :2], last.next_observation.vectors[STATE]
            )


def test_unbroken_episodes_of_32_steps_use_the_whole_capacity(make_buffer, make_episode):
    buffer = make_buffer(capacity=96)
    for episode in range(7):
        buffer.add_episode(make_episode(32, episode=episode))
        assert len(buffer) == min(96, 32 * (episode + 1))


def test_memory_of_a_transition_is_one_frame_and_five_percent(make_buffer):
    # One frame: 2 x 3 pixels of 3 bytes and 3 floats; 96 + 3 + 1 frames for 96 steps.
    buffer = make_buffer(capacity=96, images=True)
    steps = sum(column.nbytes for column in buffer._steps.columns.values())

    assert buffer.nbytes - steps == 100 * (18 + 12)
    assert (96 + 96 // 32 + 1) / 96 < 1.05


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 30), st.booleans()), min_size=1, max_size=6),
    st.integers(1, 20),
)
def test_bulk_insertion_equals_insertion_step_by_step(
    make_buffer, make_episode, episodes, capacity
):
    bulk, single = (make_buffer(capacity=capacity, images=True) for _ in range(2))
    for number, (steps, terminated) in enumerate(episodes):
        episode = make_episode(steps, episode=number, terminated=terminated)
        bulk.add_episode(episode)
        for transition in episode.transitions():
            single.add(transition)

    assert bulk.state == single.state
    for name in bulk._steps.columns:
        # The oldest step's own link leads to a step that is gone.
        start = 1 if name == "continues" else 0
        np.testing.assert_array_equal(
            bulk.column(name)[start:], single.column(name)[start:], err_msg=name
        )
    mine, theirs = all_windows(bulk, 3), all_windows(single, 3)
    np.testing.assert_array_equal(mine.images[CAMERA], theirs.images[CAMERA])
    np.testing.assert_array_equal(mine.next_images[CAMERA], theirs.next_images[CAMERA])


def test_not_a_number_is_refused_and_nothing_is_added(make_buffer, make_transitions):
    buffer = make_buffer()
    (transition,) = make_transitions(1)
    sick = {**transition.next_observation.vectors, STATE: np.array([1, np.nan], np.float32)}
    sick_observation = dataclasses.replace(transition.next_observation, vectors=sick)

    for change in (
        {"next_observation": sick_observation},
        {"action": np.array([0, np.inf, 0], np.float32)},
        {"reward": float("nan")},
        {"proposed_action": np.zeros(2, np.float32)},
    ):
        with pytest.raises(ContractError):
            buffer.add(dataclasses.replace(transition, **change))

    assert len(buffer) == 0
    buffer.add(transition)
    assert buffer.column("frame").tolist() == [0]


def test_sick_episode_is_refused_as_a_whole(make_buffer, make_episode):
    buffer = make_buffer()
    reward = np.array([1, 2, np.nan, 4], np.float32)

    with pytest.raises(ContractError, match="step 2: reward"):
        buffer.add_episode(make_episode(4, reward=reward))

    assert len(buffer) == 0


def test_keys_outside_the_spec_are_left_out_and_missing_ones_refused(
    make_buffer, make_transitions
):
    (with_images,) = make_transitions(1, images=True)
    (without_images,) = make_transitions(1, images=False)

    buffer = make_buffer(images=False)
    buffer.add(with_images)

    assert all_windows(buffer).images == {}
    with pytest.raises(ContractError, match=CAMERA):
        make_buffer(images=True).add(without_images)


def test_unknown_column_names_the_nearest(make_buffer):
    with pytest.raises(ContractError, match="did you mean 'reward'"):
        make_buffer().column("rewards")


@pytest.mark.parametrize(("end", "discount"), [("terminated", 0.0), ("truncated", 0.5)])
def test_window_stops_at_an_end_even_if_the_episode_seems_to_go_on(
    make_buffer, make_transitions, end, discount
):
    buffer = make_buffer()
    first, second = make_transitions(2)
    buffer.add(dataclasses.replace(first, **{end: True}))
    buffer.add(second)

    window = all_windows(buffer, n_step=2, gamma=0.5)

    assert window.reward[0] == 1
    assert window.discount[0] == discount
