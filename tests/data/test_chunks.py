from __future__ import annotations

import numpy as np
import pytest

from robot_rl.core.errors import ContractError
from robot_rl.core.spec import ObservationSpec
from robot_rl.data.chunks import chunk_windows


def test_windows_repeat_the_last_action_past_the_end_and_say_so(make_episode, make_spec):
    # The last element of an action is (step + 1) / 1000.
    chunks = chunk_windows([make_episode(3), make_episode(1, episode=1)], 2, make_spec())

    steps = np.rint(chunks.action[:, :, 2] * 1000 - 1)
    assert steps.tolist() == [[0, 1], [1, 2], [2, 2], [0, 0]]
    assert chunks.valid.tolist() == [[True, True], [True, True], [True, False], [True, False]]
    assert chunks.observation[:, :2].tolist() == [[1, 1], [1, 2], [1, 3], [2, 1]]
    assert len(chunks) == 4


def test_an_episode_shorter_than_the_horizon_gives_full_windows(make_episode, make_spec):
    chunks = chunk_windows([make_episode(2)], 5, make_spec())

    assert chunks.action.shape == (2, 5, 3)
    assert chunks.action.dtype == chunks.observation.dtype == np.float32
    assert chunks.valid.sum(axis=1).tolist() == [2, 1]


def test_vectors_are_packed_in_the_order_of_the_spec(make_episode, make_spec):
    spec = make_spec()
    turned = ObservationSpec(vectors=dict(reversed(spec.vectors.items())))

    packed = chunk_windows([make_episode(1)], 1, spec).observation
    turned_packed = chunk_windows([make_episode(1)], 1, turned).observation

    assert packed.tolist() == [[1, 1, 0.5]]
    assert turned_packed.tolist() == [[0.5, 1, 1]]


def test_missing_vector_is_named(make_episode, make_spec):
    with pytest.raises(ContractError, match=r"observation\.wrench"):
        chunk_windows(
            [make_episode(1, vectors={"observation.state": np.zeros((2, 2), np.float32)})],
            1,
            make_spec(),
        )


def test_no_episodes_or_no_horizon_is_refused(make_episode, make_spec):
    for episodes, horizon in (([], 2), ([make_episode(1)], 0)):
        with pytest.raises(ContractError):
            chunk_windows(episodes, horizon, make_spec())
