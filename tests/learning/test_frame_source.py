"""Learning from images, with a vision component of a few lines."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from robot_rl.config.model import Config
from robot_rl.core.errors import ConfigError, ContractError
from robot_rl.core.spec import ImageSpec, ObservationSpec
from robot_rl.core.types import Observation
from robot_rl.data.chunks import ChunkData, Frames
from robot_rl.data.replay.augmentation import AugmentationConfig
from robot_rl.learning.distillation import DistillationConfig, distil
from robot_rl.learning.frame_source import FrameFeatures, Pixels
from robot_rl.learning.imitation import ImitationConfig, train_policy
from robot_rl.networks.denoiser import MlpDenoiserConfig
from robot_rl.networks.encoder import Encoder
from robot_rl.policies.chunk_policy import ChunkPolicy, ChunkPolicyConfig
from robot_rl.policies.sampler.flow import FlowConfig
from robot_rl.policies.sampler.regression import RegressionConfig

CAMERA = "observation.images.wrist"
SIZE = (6, 8, 3)
SHIFT = AugmentationConfig(shift_pixels=1)


class Brightness:
    """A frozen backbone: the mean of an image in [0, 1]. It remembers how much it was given."""

    fingerprint = "brightness"

    def __init__(self) -> None:
        self.shapes = {CAMERA: (1,)}
        self.encoded = []

    def encode(self, key, images):
        self.encoded.append(images)
        return (images.mean((1, 2, 3)) / 255).astype(np.float16)[:, None]


BACKBONE = Brightness()


class TinyVision(Config):
    """Sees the brightness; the backbone, a factor, may be trained."""

    trained: bool = False

    def build(self, state, images):
        return TinyEncoder(state, self.trained)

    def frame_encoder(self, images):
        if self.trained:
            raise ConfigError("this backbone is trained")
        return BACKBONE


class TinyEncoder(Encoder):
    def __init__(self, state, trained: bool) -> None:
        super().__init__()
        self.state = state
        self.factor = torch.nn.Parameter(torch.ones(1), requires_grad=trained)
        self.head = torch.nn.Linear(1, 1)
        self.saw = set()

    @property
    def size(self) -> int:
        return self.state.size + 1

    def forward(self, packed, images):
        seen = images[CAMERA]
        self.saw.add((seen.dtype, tuple(seen.shape[1:])))
        if seen.ndim > 2:
            seen = seen.float().mean((1, 2, 3))[:, None] / (
                255 if seen.dtype == torch.uint8 else 1
            )
            seen = self.factor * seen
        return torch.cat([self.state(packed), self.head(seen.float())], dim=-1)


@pytest.fixture
def make_policy(observation_spec, action_spec, normaliser):
    def make_policy(sampler=None, **vision) -> ChunkPolicy:
        spec = ObservationSpec(
            vectors=observation_spec.vectors, images={CAMERA: ImageSpec(height=6, width=8)}
        )
        config = ChunkPolicyConfig(
            horizon=2,
            execute=1,
            vision=TinyVision(**vision),
            network=MlpDenoiserConfig(hidden=(32,)),
            sampler=sampler or RegressionConfig(),
        )
        BACKBONE.encoded.clear()
        return config.build(spec, action_spec, normaliser)

    return make_policy


@pytest.fixture
def data() -> ChunkData:
    """Ten episodes of eight steps; the brighter the image, the greater the action."""
    rng = np.random.default_rng(0)
    level = rng.integers(0, 256, (10, 9))
    images = [np.full((9, *SIZE), row[:, None, None, None], np.uint8) for row in level]
    action = (level[:, :8].reshape(80, 1, 1) / 255 - 0.5) * np.ones((80, 2, 2))
    return ChunkData(
        observation=np.zeros((80, 3), np.float32),
        action=action.astype(np.float32),
        valid=np.ones((80, 2), np.bool_),
        episode=np.repeat(np.arange(10), 8),
        images={CAMERA: Frames(images)},
    )


def planned(policy: ChunkPolicy, level: int) -> float:
    image = np.full(SIZE, level, np.uint8)
    vectors = {key: np.zeros(v.size, "f4") for key, v in policy.observation.vectors.items()}
    return float(
        policy.act(Observation(stamp_ns=0, vectors=vectors, images={CAMERA: image})).values.mean()
    )


def config(**changes) -> ImitationConfig:
    settings = {"steps": 300, "batch_size": 32, "lr": 1e-2, "warmup_steps": 20}
    return ImitationConfig(**settings, augmentation=SHIFT, **changes)


def test_a_head_on_a_frozen_backbone_learns_from_frames_encoded_once(make_policy, data):
    policy = make_policy()
    train_policy(policy, data, config(image_variants=3), seed=0)
    # Three versions of 9 episodes to train on, the held-out one as it is; nothing in the loop.
    assert sum(map(len, BACKBONE.encoded)) == 3 * 72 + 8
    assert [planned(policy, level) for level in (0, 128, 255)] == pytest.approx(
        [-0.5, 0.0, 0.5], abs=0.08
    )
    assert policy.model.encoder.factor.item() == 1.0


def test_a_backbone_that_is_trained_sees_changed_pixels_in_each_batch(make_policy, data):
    policy = make_policy(trained=True)
    models = []
    trainable = policy.trainable_model
    policy.trainable_model = lambda: models.append(trainable()) or models[0]
    train_policy(policy, data, config(image_variants=0), seed=0)
    assert not BACKBONE.encoded
    assert models[0].encoder.saw == {(torch.float32, (3, 6, 8))}
    assert policy.model.encoder.saw == {(torch.uint8, SIZE)}
    assert policy.model.encoder.factor.item() != 1.0
    assert [planned(policy, level) for level in (0, 255)] == pytest.approx([-0.5, 0.5], abs=0.08)


def test_a_student_learns_from_images_too(make_policy, data):
    teacher = make_policy(sampler=FlowConfig(inference_steps=5))
    train_policy(teacher, data, config(image_variants=1), seed=0)
    settings = {"steps": 100, "batch_size": 32, "lr": 1e-3, "warmup_steps": 10}
    student, _ = distil(teacher, data, DistillationConfig(**settings, augmentation=SHIFT), seed=0)
    for level in (0, 128, 255):
        for policy in (student, teacher):
            policy.reset(level)
        assert planned(student, level) == pytest.approx(planned(teacher, level), abs=0.1)


def test_versions_of_a_frame_are_shifts_of_it_and_a_random_one_is_taken():
    # A column of light in the middle: the mean does not tell where, so the backbone looks.
    image = np.zeros(SIZE, np.uint8)
    image[:, 4] = 255
    where = SimpleNamespace(
        shapes={CAMERA: (1,)},
        encode=lambda key, images: images[:, 0, :, 0].argmax(-1).astype("f2")[:, None],
    )
    frames = {CAMERA: Frames([np.stack([image] * 4)])}
    rows = np.array([1, 2])
    features = FrameFeatures(where, frames, rows, augmentation=SHIFT.build(0), variants=20, seed=0)
    taken = features.take(np.array([2] * 100))[CAMERA]
    assert taken.shape == (100, 1)
    assert taken.dtype == torch.float16
    assert set(taken.flatten().tolist()) == {3.0, 4.0, 5.0}
    plain = FrameFeatures(where, frames, rows, augmentation=None, variants=20, seed=0)
    assert set(plain.take(rows)[CAMERA].flatten().tolist()) == {4.0}


def test_pixels_are_as_recorded_unless_they_are_to_be_changed():
    image = np.arange(np.prod(SIZE), dtype=np.uint8).reshape(SIZE)
    frames = {CAMERA: Frames([np.stack([image, image + 1, image])])}
    recorded = Pixels(frames, None).take(np.array([1, 0]))[CAMERA]
    np.testing.assert_array_equal(recorded.numpy(), np.stack([image + 1, image]))
    still = AugmentationConfig(shift_pixels=0).build(0)
    changed = Pixels(frames, still).take(np.array([0]))[CAMERA]
    torch.testing.assert_close(changed[0], torch.from_numpy(image).permute(2, 0, 1) / 255)


def test_features_of_a_trained_backbone_are_refused_with_the_remedy(make_policy, data):
    with pytest.raises(ConfigError, match=r"image_variants: got 8, but this backbone is trained"):
        train_policy(make_policy(trained=True), data, config(), seed=0)


def test_windows_without_the_cameras_images_are_refused(make_policy, data):
    blind = ChunkData(
        observation=data.observation, action=data.action, valid=data.valid, episode=data.episode
    )
    with pytest.raises(ContractError, match=r"images None of camera 'observation\.images\.wrist'"):
        train_policy(make_policy(), blind, config(), seed=0)
