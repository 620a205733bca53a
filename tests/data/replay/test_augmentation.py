from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robot_rl.core.errors import ConfigError
from robot_rl.core.spec import ImageSpec, ObservationSpec, VectorSpec
from robot_rl.data.replay.array_pool import ArrayPool
from robot_rl.data.replay.augmentation import AugmentationConfig
from robot_rl.data.replay.replay_buffer import ReplayBuffer
from robot_rl.data.replay.sampling import Sampler
from robot_rl.data.replay.shifting import Draws, Shifter, shift_tensor

STATE = "observation.state"
CAMERA = "observation.images.wrist"
SECOND = "observation.images.front"


def frames(count, h, w, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, h, w, 3), np.uint8)


def reference(image, down, right, gain, bias):
    """The definition, pixel by pixel."""
    h, w, _ = image.shape
    out = np.empty(image.shape, np.float32)
    for y in range(h):
        for x in range(w):
            pixel = image[min(max(y + down, 0), h - 1), min(max(x + right, 0), w - 1)]
            out[y, x] = pixel.astype(np.float32) * gain
            if bias is not None:
                out[y, x] = np.clip(out[y, x] + bias, 0, 1)
    return out


def shift(images, slots, draws, threads=1):
    out = np.full((len(slots), *images.shape[1:]), np.nan, np.float32)
    Shifter().shift(images, np.asarray(slots), draws, out, threads)
    return out


def assert_batches_equal(one, other):
    for field in dataclasses.fields(one):
        left, right = getattr(one, field.name), getattr(other, field.name)
        if isinstance(left, dict):
            assert all(torch.equal(left[key], right[key]) for key in left), field.name
        else:
            assert torch.equal(left, right), field.name


@pytest.fixture
def make_sampler(make_episode):
    """Two cameras of 6 x 7 pixels of noise in two buffers, shared out unevenly."""
    spec = ObservationSpec(
        vectors={STATE: VectorSpec(names=("episode", "instant"), unit="rad")},
        images={key: ImageSpec(height=6, width=7) for key in (CAMERA, SECOND)},
    )

    def make(seed=0, augmentation=None, **options) -> Sampler:
        noise = {key: frames(10, 6, 7, seed=i) for i, key in enumerate((CAMERA, SECOND))}
        episode = dataclasses.replace(make_episode(9), images=noise)
        buffers = [ReplayBuffer(20, spec, 3, offline=offline) for offline in (False, True)]
        for buffer in buffers:
            buffer.add_episode(episode)
        return Sampler(buffers, [0.6, 0.4], 16, 2, 0.9, seed, augmentation=augmentation, **options)

    return make


@settings(max_examples=60, deadline=None)
@given(
    st.integers(5, 9),
    st.integers(5, 9),
    st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=1, max_size=12),
    st.booleans(),
    st.integers(1, 3),
)
def test_shift_equals_the_definition_on_every_path(h, w, shifts, coloured, threads):
    images, count = frames(4, h, w), len(shifts)
    rng = np.random.default_rng(count)
    slots = rng.integers(0, 4, count)
    draws = Draws(
        down=np.array([s[0] for s in shifts]),
        right=np.array([s[1] for s in shifts]),
        gain=rng.uniform(0.002, 0.006, count).astype(np.float32)
        if coloured
        else np.full(count, 1 / 255, np.float32),
        bias=rng.uniform(-0.3, 0.3, count).astype(np.float32) if coloured else None,
    )
    expected = np.stack(
        [
            reference(
                images[slot],
                *shifts[i],
                draws.gain[i],
                None if draws.bias is None else draws.bias[i],
            )
            for i, slot in enumerate(slots)
        ]
    )

    np.testing.assert_array_equal(shift(images, slots, draws, threads), expected)
    on_device = shift_tensor(torch.from_numpy(images[slots]), draws)
    np.testing.assert_array_equal(on_device.numpy(), expected)


def test_many_images_take_several_chunks_and_none_is_left_out():
    # 128 x 128 x 3 bytes are 48 KiB: ten fit into one chunk.
    images = frames(3, 128, 128)
    slots = np.arange(23) % 3
    down, right = np.arange(23) % 9 - 4, np.arange(23) // 3 - 4
    gain = np.full(23, 1 / 255, np.float32)
    draws = Draws(down=down, right=right, gain=gain, bias=None)

    one, two = shift(images, slots, draws), shift(images, slots, draws, threads=2)

    expected = shift_tensor(torch.from_numpy(images[slots]), draws).numpy()
    np.testing.assert_array_equal(one, expected)
    np.testing.assert_array_equal(two, expected)


def test_a_shift_by_hand():
    image = np.arange(9, dtype=np.uint8).reshape(1, 3, 3, 1).repeat(3, axis=3)
    one = np.ones(1, np.float32)
    draws = Draws(down=np.array([1]), right=np.array([-2]), gain=one, bias=None)

    out = shift(image, [0], draws)[0, :, :, 0]

    # Rows 1, 2, 2 of the image; columns -2, -1, 0, which are all column 0.
    assert out.tolist() == [[3, 3, 3], [6, 6, 6], [6, 6, 6]]


def test_shifts_cover_the_range_and_are_independent_of_each_other():
    draws = AugmentationConfig(shift_pixels=2).build(0).draw(2_000)

    for values in (draws.down, draws.right):
        counts = np.bincount(values + 2, minlength=5)
        # 400 expected of each; 5 standard deviations of a binomial are 90.
        assert len(counts) == 5
        assert np.abs(counts - 400).max() < 90
    # Independent: the correlation of 2,000 pairs is within 5 / sqrt(2,000) = 0.11.
    assert abs(np.corrcoef(draws.down, draws.right)[0, 1]) < 0.11


def test_batch_has_floats_in_channels_first_order_between_zero_and_one(make_sampler):
    augmentation = AugmentationConfig(brightness=0.5, contrast=0.5).build(0)

    batch = make_sampler(augmentation=augmentation).sample()

    for images in (batch.images, batch.next_images):
        assert set(images) == {CAMERA, SECOND}
        for image in images.values():
            assert (tuple(image.shape), image.dtype) == ((16, 3, 6, 7), torch.float32)
            assert image.is_contiguous(memory_format=torch.channels_last)
            assert image.min() >= 0
            assert image.max() <= 1


def test_without_a_shift_the_batch_is_the_recorded_one_scaled(make_sampler):
    plain = make_sampler().sample()
    scaled = make_sampler(augmentation=AugmentationConfig(shift_pixels=0).build(7)).sample()

    assert torch.equal(plain.action, scaled.action)
    for key in (CAMERA, SECOND):
        expected = plain.next_images[key].permute(0, 3, 1, 2) * np.float32(1 / 255)
        assert torch.equal(scaled.next_images[key], expected)
    assert plain.images[CAMERA].dtype == torch.uint8


def test_an_augmentation_does_not_change_which_steps_are_drawn(make_sampler):
    plain, changed = make_sampler(), make_sampler(augmentation=AugmentationConfig().build(0))
    for _ in range(3):
        assert torch.equal(plain.sample().observation, changed.sample().observation)


@pytest.mark.parametrize("colour", [0.0, 0.2])
def test_augmenting_on_the_device_gives_the_same_bits(make_sampler, colour):
    config = AugmentationConfig(brightness=colour, contrast=colour)
    here = make_sampler(augmentation=config.build(3)).sample()

    there = make_sampler().sample().augmented(config.build(3))

    assert_batches_equal(here, there)


def test_batches_do_not_depend_on_the_number_of_threads(make_sampler):
    threads = torch.get_num_threads()
    batches = []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            batches.append(make_sampler(augmentation=AugmentationConfig().build(0)).sample())
    finally:
        torch.set_num_threads(threads)
    assert_batches_equal(*batches)


def test_resume_draws_the_same_shifts(make_sampler):
    sampler = make_sampler(augmentation=AugmentationConfig(contrast=0.1).build(1))
    sampler.sample()
    state = json.loads(json.dumps(sampler.state_dict()))
    resumed = make_sampler(seed=5, augmentation=AugmentationConfig(contrast=0.1).build(6))
    resumed.load_state_dict(state)

    for _ in range(3):
        assert_batches_equal(sampler.sample(), resumed.sample())


def test_state_of_a_run_with_augmentation_does_not_load_without(make_sampler):
    plain, changed = make_sampler(), make_sampler(augmentation=AugmentationConfig().build(0))

    with pytest.raises(ConfigError, match="of a run with an augmentation"):
        plain.load_state_dict(changed.state_dict())
    with pytest.raises(ConfigError, match="of a run without an augmentation"):
        changed.load_state_dict(plain.state_dict())


def test_shift_as_large_as_an_image_is_refused(make_sampler):
    with pytest.raises(ConfigError, match=r"shift_pixels is 6.*6 x 7"):
        make_sampler(augmentation=AugmentationConfig(shift_pixels=6).build(0))


def test_batches_that_are_kept_are_never_overwritten(make_sampler):
    sampler = make_sampler(augmentation=AugmentationConfig().build(0))
    kept = [sampler.sample().images[CAMERA] for _ in range(40)]
    copies = [image.clone() for image in kept]
    views = [sampler.sample().images[CAMERA][2:3, :, 1:] for _ in range(3)]
    view_copies = [view.clone() for view in views]
    for _ in range(10):
        sampler.sample()

    for image, copy in zip([*kept, *views], [*copies, *view_copies], strict=True):
        assert torch.equal(image, copy)


def test_pool_hands_out_an_array_again_only_when_it_is_free():
    pool = ArrayPool(keep=2)
    one = pool.take((4,), np.float32)
    tensor = torch.from_numpy(one)
    address = one.__array_interface__["data"][0]
    del one
    assert pool.take((4,), np.float32).__array_interface__["data"][0] != address
    del tensor

    assert pool.take((4,), np.float32).__array_interface__["data"][0] == address
    assert pool.take((4,), np.uint8).dtype == np.uint8


def test_images_from_elsewhere_are_augmented_alike():
    images = frames(5, 6, 7)
    draws = AugmentationConfig().build(2).draw(5)

    changed = AugmentationConfig().build(2).apply(images[:, :, ::-1])

    mirrored = np.ascontiguousarray(images[:, :, ::-1])
    np.testing.assert_array_equal(changed, shift(mirrored, np.arange(5), draws))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_batch_on_cuda_has_the_same_bits(make_sampler):
    config = AugmentationConfig(brightness=0.1, contrast=0.1)
    here = make_sampler(augmentation=config.build(0)).sample()
    there = make_sampler(augmentation=config.build(0), device="cuda").sample()

    assert there.reward.is_cuda
    assert_batches_equal(here, there.to(torch.device("cpu")))
