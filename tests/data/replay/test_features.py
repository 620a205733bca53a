"""Features in the place of images. The encoder of these tests hands on the pixels themselves."""

from __future__ import annotations

import dataclasses
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robot_rl.core.errors import ConfigError, ContractError, StorageError
from robot_rl.core.spec import ImageSpec, ObservationSpec, VectorSpec
from robot_rl.core.types import Source
from robot_rl.data.replay.array_pool import ArrayPool
from robot_rl.data.replay.augmentation import AugmentationConfig
from robot_rl.data.replay.feature_cache import FeatureCache, FeatureCacheConfig
from robot_rl.data.replay.gathering import FIELDS, FeatureGather
from robot_rl.data.replay.replay_buffer import ReplayBuffer
from robot_rl.data.replay.sampling import Sampler
from robot_rl.data.replay.window import WindowRule

STATE = "observation.state"
CAMERA = "observation.images.wrist"
SECOND = "observation.images.front"
H, W = 5, 6
SPEC = ObservationSpec(
    vectors={STATE: VectorSpec(names=("episode", "instant"), unit="rad")},
    images={key: ImageSpec(height=H, width=W) for key in (CAMERA, SECOND)},
)
SHAPE = (1, H, W)


class PixelEncoder:
    """Features are the red channel; it counts what it was given."""

    fingerprint = "pixels"

    def __init__(self, keys=(CAMERA, SECOND)):
        self.shapes = dict.fromkeys(keys, SHAPE)
        self.calls: list[int] = []

    def encode(self, key, images):
        self.calls.append(len(images))
        return images[:, None, :, :, 0].astype(np.float16)


def build_cache(**changes) -> FeatureCache:
    settings = {"variants": 3, "pad": 2, "seed": 5, "keep_images": False}
    return FeatureCache(**{"encoder": PixelEncoder(), **settings, **changes})


def build_buffer(lengths=(), *, capacity=40, backing=None, offline=False, **changes):
    cache = build_cache(**changes)
    buffer = ReplayBuffer(capacity, SPEC, 3, features=cache, backing=backing, offline=offline)
    for number, length in enumerate(lengths):
        buffer.add_episode(noisy(length, number))
    return buffer


@pytest.fixture(autouse=True)
def _episodes(make_episode):
    noisy.made = make_episode


def noisy(length, episode=0, **options):
    """An episode whose images are noise, never the same."""
    rng = np.random.default_rng(episode)
    images = {k: rng.integers(0, 256, (length + 1, H, W, 3), np.uint8) for k in SPEC.images}
    return dataclasses.replace(
        noisy.made(length, episode=episode, images=False, **options), images=images
    )


def features_of(buffer, variant=0):
    """The features of all steps and of what follows them, of one variant."""
    count = len(buffer)
    gather = FeatureGather(
        dict.fromkeys(FIELDS, np.full(count, variant)), buffer.features.encoder.shapes, ArrayPool()
    )
    steps = np.arange(*buffer.span)
    buffer.read(steps, WindowRule(n_step=1, gamma=0.9), gather, slice(0, count))
    return gather.arrays


def by_hand(image, down, right):
    """The definition, pixel by pixel."""
    out = np.empty(SHAPE, np.float16)
    for y in range(H):
        for x in range(W):
            out[0, y, x] = image[min(max(y + down, 0), H - 1), min(max(x + right, 0), W - 1), 0]
    return out


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=3),
    st.integers(1, 3),
    st.integers(0, 4),
    st.booleans(),
)
def test_features_are_those_of_the_image_shifted_by_hand(lengths, variants, pad, bulk):
    buffer = build_buffer(variants=variants, pad=pad)
    frame, expected = 0, []
    for number, length in enumerate(lengths):
        episode = noisy(length, number)
        if bulk:
            buffer.add_episode(episode)
        else:
            for step in episode.transitions():
                buffer.add(step)
        expected += [(episode.images, t, frame + t) for t in range(length)]
        frame += length + 1

    for variant in range(variants):
        found = features_of(buffer, variant)
        for key in SPEC.images:
            for i, (images, t, number) in enumerate(expected):
                for field, later in zip(FIELDS, (0, 1), strict=True):
                    shift = buffer.features.shifts(number + later, 0)[key][variant]
                    hand = by_hand(images[key][t + later], *shift)
                    np.testing.assert_array_equal(found[field][key][i], hand)


def test_shifts_cover_the_range_and_depend_on_all_that_names_them():
    cache = build_cache(variants=4)
    drawn = np.stack([cache.shifts(frame, 0)[CAMERA] for frame in range(500)])

    for part in (drawn[..., 0], drawn[..., 1]):
        counts = np.bincount(part.ravel() + 2, minlength=5)
        # 2,000 draws, 400 expected of each; 5 standard deviations of a binomial are 90.
        assert len(counts) == 5
        assert np.abs(counts - 400).max() < 90
    others = [
        np.stack([changed.shifts(frame, round_)[key] for frame in range(500)])
        for changed, key, round_ in (
            (cache, SECOND, 0),
            (cache, CAMERA, 1),
            (build_cache(variants=4, seed=6), CAMERA, 0),
        )
    ]
    # Independent: of 4,000 numbers a fifth agree, give or take 5 standard deviations of 25.
    for other in (*others, np.roll(drawn, 1, axis=0), np.roll(drawn, 1, axis=1)):
        assert abs((other == drawn).sum() - 800) < 127
    np.testing.assert_array_equal(cache.shifts(7, 0)[CAMERA], drawn[7])


def test_each_frame_is_encoded_once_for_each_variant():
    buffer = build_buffer(variants=3)
    encoder = buffer.features.encoder

    for step in noisy(4).transitions():
        buffer.add(step)
    # Two cameras; the first step brings two frames, those after it share one with the step before.
    assert encoder.calls == [6, 6] + [3, 3] * 3
    encoder.calls.clear()
    buffer.add_episode(noisy(3, 1))
    assert encoder.calls == [12, 12]


def test_long_episodes_are_encoded_in_pieces():
    buffer = build_buffer([200], capacity=1_000, variants=4)

    # 16 frames are 64 images; the first piece has one frame more than steps.
    calls = buffer.features.encoder.calls
    assert sum(calls) == 2 * 201 * 4
    assert max(calls) == 17 * 4
    assert len(buffer) == 200


def test_non_contiguous_corrections_keep_their_own_next_features():
    buffer = build_buffer(variants=1, pad=0)
    episode = noisy(80, human=(10, 11, 40, 41, 70))
    for step in episode.transitions():
        if step.source == Source.HUMAN:
            buffer.add(step)

    window = buffer.windows(np.arange(5), n_step=1, gamma=0.9)

    # Instants are counted from one.
    assert window.observation[:, 1].tolist() == [11, 12, 41, 42, 71]
    assert window.next_observation[:, 1].tolist() == [12, 13, 42, 43, 72]
    for key in SPEC.images:
        red = episode.images[key][..., 0].astype(np.float16)[:, None]
        np.testing.assert_array_equal(window.images[key], red[[10, 11, 40, 41, 70]])
        np.testing.assert_array_equal(window.next_images[key], red[[11, 12, 41, 42, 71]])


def build_sampler(buffers, *, batch_size=8, seed=0, **options):
    shares = [1 / len(buffers)] * len(buffers)
    return Sampler(buffers, shares, batch_size, 2, 0.9, seed, **options)


def test_a_batch_has_float16_features_in_the_order_of_the_encoder():
    batch = build_sampler([build_buffer([4]), build_buffer([3], offline=True)]).sample()

    for images in (batch.images, batch.next_images):
        assert list(images) == [CAMERA, SECOND]
        for features in images.values():
            assert (tuple(features.shape), features.dtype) == ((8, *SHAPE), torch.float16)
            assert features.is_contiguous()


def test_each_row_draws_its_variant_of_now_and_next_independently():
    buffer = build_buffer([1], variants=3)
    known = [features_of(buffer, variant) for variant in range(3)]

    batch = build_sampler([buffer], batch_size=900).sample()

    drawn = []
    for field in FIELDS:
        candidates = torch.tensor(np.stack([one[field][CAMERA][0] for one in known]))
        same = (getattr(batch, field)[CAMERA][:, None] == candidates).flatten(2).all(2)
        assert (same.sum(1) == 1).all()
        drawn.append(same.int().argmax(1))
        # A row takes the same variant of all cameras.
        front = torch.tensor(np.stack([one[field][SECOND][0] for one in known]))
        assert torch.equal(getattr(batch, field)[SECOND], front[drawn[-1]])
    pairs = torch.bincount(3 * drawn[0] + drawn[1], minlength=9)
    # 100 expected of each of nine pairs; 5 standard deviations of a binomial are 47.
    assert (pairs - 100).abs().max() < 47


def test_variants_do_not_change_which_steps_are_drawn(make_spec):
    plain = ReplayBuffer(40, make_spec(images=False), 3)
    plain.add_episode(noisy.made(9, images=False))
    samplers = [build_sampler([plain]), build_sampler([build_buffer([9])])]

    for _ in range(3):
        one, other = (sampler.sample() for sampler in samplers)
        assert torch.equal(one.action, other.action)


def test_resume_draws_the_same_variants():
    sampler = build_sampler([build_buffer([9])])
    sampler.sample()
    state = json.loads(json.dumps(sampler.state_dict()))
    resumed = build_sampler([build_buffer([9])], seed=9)
    resumed.load_state_dict(state)

    for _ in range(5):
        one, other = sampler.sample(), resumed.sample()
        assert torch.equal(one.images[CAMERA], other.images[CAMERA])
        assert torch.equal(one.next_images[SECOND], other.next_images[SECOND])


def test_a_state_with_variants_does_not_load_without_features(make_spec):
    plain = ReplayBuffer(40, make_spec(images=False), 3)
    samplers = build_sampler([plain]), build_sampler([build_buffer()])

    with pytest.raises(ConfigError, match="of a run with features, this one is without"):
        samplers[0].load_state_dict(samplers[1].state_dict())
    with pytest.raises(ConfigError, match="of a run without features, this one is with"):
        samplers[1].load_state_dict(samplers[0].state_dict())


def test_frames_are_refreshed_in_turn_from_the_oldest():
    buffer = build_buffer([3], keep_images=True, variants=1)
    images = noisy(3).images[CAMERA]

    def rounds():
        """Of each of the four frames, the round whose shift it shows."""
        found = features_of(buffer)
        shown = [*found["images"][CAMERA], found["next_images"][CAMERA][-1]]
        return [
            next(r for r in range(6) if np.array_equal(shifted(image, i, r), now))
            for i, (image, now) in enumerate(zip(images, shown, strict=True))
        ]

    def shifted(image, frame, round_):
        return by_hand(image, *buffer.features.shifts(frame, round_)[CAMERA][0])

    assert rounds() == [0, 0, 0, 0]
    buffer.refresh(3)
    assert rounds() == [1, 1, 1, 0]
    buffer.refresh(2)
    assert rounds() == [2, 1, 1, 1]
    buffer.refresh(8)
    # 13 turns of four frames.
    assert rounds() == [4, 3, 3, 3]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 12)), min_size=1, max_size=6),
    st.integers(2, 12),
    st.integers(0, 6),
)
def test_a_refilled_buffer_is_the_same_bit_by_bit(script, capacity, later):
    options = {"capacity": capacity, "keep_images": True, "variants": 2}
    buffer, refilled = build_buffer(**options), build_buffer(**options)
    for number, (length, count) in enumerate(script):
        for step in noisy(length, number).transitions():
            buffer.add(step)
        buffer.refresh(count)
    for number, (length, _) in enumerate(script):
        for step in noisy(length, number).transitions():
            refilled.add(step)

    refilled.restore(json.loads(json.dumps(buffer.refreshed)))

    for _ in range(2):
        assert refilled.state == buffer.state
        for variant in range(2):
            one, other = features_of(buffer, variant), features_of(refilled, variant)
            for field in FIELDS:
                for key in SPEC.images:
                    np.testing.assert_array_equal(one[field][key], other[field][key])
        for one in (buffer, refilled):
            one.refresh(later)


def test_an_empty_buffer_has_nothing_to_refresh():
    buffer = build_buffer(keep_images=True)
    buffer.refresh(3)
    buffer.restore(buffer.refreshed)

    assert buffer.features.encoder.calls == []


def test_refreshing_needs_images():
    with pytest.raises(ConfigError, match="keep_images"):
        build_buffer([3]).refresh(1)
    with pytest.raises(ConfigError, match="set keep_images to true"):
        FeatureCacheConfig(refresh_per_cycle=1)


@pytest.mark.parametrize("keep_images", [False, True])
def test_memory_is_that_of_the_features_and_of_images_if_kept(keep_images):
    buffer = build_buffer(capacity=96, keep_images=keep_images, variants=3)
    frames = 96 + 96 // 32 + 1
    steps = sum(column.nbytes for column in buffer._steps.columns.values())

    # Two cameras, three variants of 5 x 6 numbers of two bytes, beside 5 x 6 pixels of three; two
    # floats of state; eight bytes that count refreshments.
    one = 2 * (3 * 60 + 90 * keep_images) + 8 + 8
    assert buffer.nbytes - steps == frames * one


def test_features_on_disk_are_those_in_memory(tmp_path, monkeypatch):
    one, other = (build_buffer([7, 5], capacity=8, backing=path) for path in (None, tmp_path))

    for field in FIELDS:
        left, right = features_of(one)[field][CAMERA], features_of(other)[field][CAMERA]
        np.testing.assert_array_equal(left, right)
    assert list(tmp_path.iterdir()) == []
    # 41 + 1 frames of 360 bytes are 15,120.
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=15_119))
    with pytest.raises(StorageError, match="lower the capacity"):
        build_buffer(backing=tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=15_120))
    build_buffer(backing=tmp_path)


def test_an_augmentation_of_features_is_refused_with_the_reason():
    with pytest.raises(ConfigError, match="shifted before they were encoded"):
        build_sampler([build_buffer()], augmentation=AugmentationConfig().build(0))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"encoder": PixelEncoder(("observation.images.back",))},
            "looks at observation.images.ba",
        ),
        ({"pad": 5}, "pad is 5, but .* has 5 x 6"),
        ({"variants": 0}, "variants 0"),
    ],
)
def test_a_cache_that_does_not_fit_is_refused(changes, said):
    with pytest.raises(ConfigError, match=said):
        build_buffer(**changes)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda features: features * np.float16(np.nan), "not finite"),
        (lambda features: features.astype(np.float32), "got float32"),
        (lambda features: features[:, :, 1:], r"expected float16\[6, 1, 5, 6\]"),
    ],
)
def test_features_that_are_wrong_are_refused_and_nothing_is_added(spoil, said):
    class Spoilt(PixelEncoder):
        def encode(self, key, images):
            return spoil(super().encode(key, images))

    buffer = build_buffer(encoder=Spoilt())

    with pytest.raises(ContractError, match=said):
        buffer.add(next(noisy(2).transitions()))
    assert len(buffer) == 0
    with pytest.raises(ContractError):
        buffer.add_episode(noisy(2))
    assert len(buffer) == 0


def test_buffers_with_other_features_do_not_mix():
    for changes in ({"variants": 2}, {"encoder": PixelEncoder((CAMERA,))}):
        with pytest.raises(ContractError, match="features"):
            build_sampler([build_buffer(), build_buffer(**changes)])


def test_a_camera_that_the_encoder_does_not_know_is_left_out():
    buffer = build_buffer([4], encoder=PixelEncoder((SECOND,)))

    assert set(build_sampler([buffer]).sample().images) == {SECOND}


def test_rows_that_are_refreshed_while_they_are_read_are_read_again():
    buffer = build_buffer([6], keep_images=True)
    gather = FeatureGather(
        dict.fromkeys(FIELDS, np.zeros(6, np.int64)), buffer.features.encoder.shapes, ArrayPool()
    )
    fill, reads = gather.fill, []

    def interrupted(field, key, frames, slots, rows):
        fill(field, key, frames, slots, rows)
        reads.append(len(slots))
        if len(reads) == 1:
            buffer.refresh(2)

    gather.fill = interrupted
    buffer.read(np.arange(6), WindowRule(n_step=1, gamma=0.9), gather, slice(0, 6))

    # Frames 0 and 1 were drawn anew between the cameras: both cameras of both are read again.
    assert reads == [6, 6, 2, 2, 6, 6]
    for field in FIELDS:
        for key in SPEC.images:
            np.testing.assert_array_equal(
                gather.arrays[field][key], features_of(buffer)[field][key]
            )


def test_the_config_builds_the_cache():
    encoder = PixelEncoder()

    cache = FeatureCacheConfig(variants=2, pad=1, keep_images=True, refresh_per_cycle=5).build(
        encoder, 7
    )

    assert cache == build_cache(encoder=encoder, variants=2, pad=1, keep_images=True, seed=7)
