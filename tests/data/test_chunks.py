from __future__ import annotations

import numpy as np
import pytest

from robot_rl.core.errors import ContractError
from robot_rl.core.spec import ObservationSpec
from robot_rl.core.types import Source
from robot_rl.data.chunks import chunk_windows, split_episodes


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


def test_a_windows_image_is_that_of_its_first_step_and_is_not_copied_before(
    make_episode, make_spec
):
    (camera,) = make_spec().images
    # Every pixel of an image says which instant it is, from 1.
    episodes = [make_episode(3), make_episode(2, episode=1)]
    frames = chunk_windows(episodes, 2, make_spec(), (camera,)).images[camera]

    assert len(frames) == 5
    assert frames.size == (2, 3, 3)
    assert frames[np.arange(5)][:, 0, 0, 0].tolist() == [1, 2, 3, 1, 2]
    assert frames[np.array([4, 0, 4])][:, 1, 2, 2].tolist() == [2, 1, 2]
    episodes[1].images[camera][1] = 77
    assert frames[np.array([4])].min() == 77


def test_windows_have_no_images_unless_cameras_are_named(make_episode, make_spec):
    assert not chunk_windows([make_episode(1)], 1, make_spec()).images
    with pytest.raises(ContractError, match=r"no camera 'observation\.images\.top'; it has"):
        chunk_windows([make_episode(1)], 1, make_spec(), ("observation.images.top",))


def test_steps_in_which_nobody_drove_are_left_out(make_episode, make_spec):
    (camera,) = make_spec().images
    episode, other = make_episode(6), make_episode(2, episode=1)
    episode.source[[0, 2, 3]] = Source.HOLD
    episode.source[4] = Source.DEMO
    chunks = chunk_windows([episode, other], 2, make_spec(), (camera,))

    steps = np.rint(chunks.action[:, :, 2] * 1000 - 1)
    assert steps.tolist() == [[1, 4], [4, 5], [5, 5], [0, 1], [1, 1]]
    assert chunks.valid.sum(axis=1).tolist() == [2, 2, 1, 2, 1]
    assert chunks.episode.tolist() == [0, 0, 0, 1, 1]
    assert chunks.observation[:, 1].tolist() == [2, 5, 6, 1, 2]
    assert chunks.images[camera][np.arange(5)][:, 0, 0, 0].tolist() == [2, 5, 6, 1, 2]

    episode.source[:] = Source.HOLD
    with pytest.raises(ContractError, match="nobody drives in any of the 1 episodes"):
        chunk_windows([episode], 2, make_spec())


def test_an_episode_is_either_trained_on_or_held_out(make_episode, make_spec):
    lengths = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3]
    episodes = [make_episode(length, episode=i) for i, length in enumerate(lengths)]
    data = chunk_windows(episodes, 2, make_spec())

    splits = [split_episodes(data, 0.3, seed) for seed in range(20)]

    for train, held_out in splits:
        assert sorted([*train, *held_out]) == list(range(39))
        trained, apart = set(data.episode[train]), set(data.episode[held_out])
        assert not trained & apart
        assert len(apart) == 3
    # Which ones is up to the seed, and to nothing else.
    assert len({tuple(held_out) for _, held_out in splits}) > 10
    assert split_episodes(data, 0.3, 7)[1].tolist() == splits[7][1].tolist()


@pytest.mark.parametrize(("share", "held_out"), [(0.0, 0), (0.1, 0), (0.2, 1), (0.99, 2)])
def test_whole_episodes_are_held_out_and_one_is_always_left(
    make_episode, make_spec, share, held_out
):
    data = chunk_windows([make_episode(2, episode=i) for i in range(3)], 1, make_spec())
    train, apart = split_episodes(data, share, 0)
    assert (len(train), len(apart)) == (6 - 2 * held_out, 2 * held_out)
