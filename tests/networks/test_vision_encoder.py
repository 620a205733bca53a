"""The encoder that sees: what it takes, what it trains, and that a backbone works once."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from robot_rl.core.errors import ConfigError, ContractError, FingerprintError
from robot_rl.core.spec import ImageSpec, ObservationSpec, VectorSpec
from robot_rl.core.types import Observation
from robot_rl.data.normaliser import Normaliser
from robot_rl.data.replay.feature_cache import FrameEncoder
from robot_rl.networks.encoder import build_encoder
from robot_rl.networks.vision.backbone import TorchvisionBackboneConfig, to_pixels
from robot_rl.networks.vision.conv_backbone import ConvBackboneConfig
from robot_rl.networks.vision.encoder import VisionConfig, VisionEncoder
from robot_rl.networks.vision.head import KeypointsConfig, SpatialEmbeddingConfig

WRIST, FRONT = "observation.images.wrist", "observation.images.front"
SPEC = ObservationSpec(
    vectors={"observation.wrench": VectorSpec(names=("fx", "fy", "fz"), unit="N")},
    images={WRIST: ImageSpec(height=32, width=32), FRONT: ImageSpec(height=32, width=32)},
)
FROZEN = VisionConfig(
    backbone=TorchvisionBackboneConfig(stride=8, weights="random"),
    head=SpatialEmbeddingConfig(embeddings=2, size=6),
    state_size=5,
)
TRAINED = VisionConfig(
    backbone=ConvBackboneConfig(channels=(4, 4)), head=KeypointsConfig(points=3, size=6)
)


def encoder(config: VisionConfig = FROZEN, seed: int = 0) -> VisionEncoder:
    normaliser = Normaliser(offset=np.zeros(3, np.float32), scale=np.ones(3, np.float32))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        built = build_encoder(SPEC, normaliser, (), config)
    assert isinstance(built, VisionEncoder)
    return built


def images(batch: int, seed: int = 0) -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(seed)
    return {
        key: torch.from_numpy(rng.integers(0, 256, (batch, 32, 32, 3), np.uint8))
        for key in SPEC.images
    }


def observation(seed: int = 0) -> Observation:
    return Observation(
        stamp_ns=0,
        vectors={"observation.wrench": np.array([1.0, 2.0, -3.0], np.float32)},
        images={key: image[0].numpy() for key, image in images(1, seed).items()},
    )


def test_size_is_that_of_state_and_all_cameras() -> None:
    assert encoder().size == 5 + 6 + 6
    assert encoder(FROZEN.model_copy(update={"state_size": 0})).size == 3 + 6 + 6
    assert encoder(FROZEN.model_copy(update={"cameras": ("front",)})).size == 5 + 6
    assert encoder()(torch.zeros(2, 3), images(2)).shape == (2, 17)


def test_images_pixels_and_kept_features_are_the_same_to_it() -> None:
    seeing, packed, seen = encoder().eval(), torch.randn(3, 3), images(3)
    frames = FROZEN.frame_encoder(SPEC.images)
    pixels = {key: to_pixels(image) for key, image in seen.items()}
    kept = {
        key: torch.from_numpy(frames.encode(key, image.numpy())) for key, image in seen.items()
    }
    expected = seeing(packed, seen)
    assert torch.equal(seeing(packed, pixels), expected)
    assert torch.equal(seeing(packed, kept), expected)


def test_cameras_are_told_apart() -> None:
    seeing, seen = encoder().eval(), images(2)
    swapped = {WRIST: seen[FRONT], FRONT: seen[WRIST]}
    packed = torch.zeros(2, 3)
    assert not torch.equal(seeing(packed, seen), seeing(packed, swapped))


@pytest.mark.parametrize(
    "wrong",
    [
        torch.zeros(2, 32, 31, 3, dtype=torch.uint8),
        torch.zeros(2, 32, 32, 3),
        torch.zeros(2, 40, 4, 5, dtype=torch.float16),
        torch.zeros(2, 3, 32, 32, dtype=torch.float16),
    ],
)
def test_anything_else_is_refused_with_what_is_expected(wrong: torch.Tensor) -> None:
    with pytest.raises(ContractError, match=r"expected uint8 \[b, 32, 32, 3\].*\[b, 40, 4, 4\]"):
        encoder()(torch.zeros(2, 3), {**images(2), WRIST: wrong})


def test_a_missing_camera_is_named() -> None:
    with pytest.raises(ContractError, match=r"missing image 'observation\.images\.front'"):
        encoder()(torch.zeros(2, 3), {WRIST: images(2)[WRIST]})


def test_kept_features_are_refused_where_the_backbone_is_trained() -> None:
    features = torch.zeros(2, 4, 8, 8, dtype=torch.float16)
    with pytest.raises(ContractError, match="trained; give it images"):
        encoder(TRAINED)(torch.zeros(2, 3), {WRIST: features, FRONT: features})
    with pytest.raises(ConfigError, match="ConvBackboneConfig is trained"):
        TRAINED.frame_encoder(SPEC.images)


def test_an_unknown_camera_is_refused_with_the_nearest() -> None:
    config = FROZEN.model_copy(update={"cameras": ("wirst",)})
    with pytest.raises(ConfigError, match="did you mean 'wrist'"):
        encoder(config)
    with pytest.raises(ConfigError, match=r"task\.cameras"):
        FROZEN.frame_encoder({})


def test_the_backbone_is_no_part_of_weights_and_copies() -> None:
    seeing = encoder()
    names = {name.split(".")[0] for name in seeing.state_dict()}
    assert names == {"state", "proprioception", "eyes", "seen_by"}
    assert not any("backbone" in name for name in seeing.state_dict())
    copied = copy.deepcopy(seeing)
    assert copied.eyes[0].backbone is seeing.eyes[1].backbone
    assert copied.eyes[0].head.kernel is not seeing.eyes[0].head.kernel


def test_a_trained_backbone_is_part_of_weights_copies_and_training() -> None:
    seeing = encoder(TRAINED)
    assert "eyes.0.backbone.layers.0.weight" in seeing.state_dict()
    assert copy.deepcopy(seeing).eyes[0].backbone is not seeing.eyes[0].backbone
    seeing(torch.randn(2, 3), images(2)).square().sum().backward()
    assert all(p.grad is not None for p in seeing.parameters())


def test_only_heads_are_trained_on_a_frozen_backbone() -> None:
    seeing = encoder()
    pixels = {k: to_pixels(v).requires_grad_() for k, v in images(2).items()}
    seeing(torch.randn(2, 3), pixels).square().sum().backward()
    assert all(p.grad is not None for p in seeing.parameters())
    assert all(p.grad is None for p in pixels.values())


def test_weights_of_another_backbone_are_refused() -> None:
    other = TorchvisionBackboneConfig(stride=8, weights="random", seed=1)
    theirs = encoder(FROZEN.model_copy(update={"backbone": other})).state_dict()
    with pytest.raises(FingerprintError, match="another backbone"):
        encoder().load_state_dict(theirs)
    with pytest.raises(FingerprintError, match="another backbone"):
        torch.nn.ModuleList([encoder()]).load_state_dict({f"0.{k}": v for k, v in theirs.items()})
    encoder(seed=1).load_state_dict(encoder().state_dict())


def test_acting_sees_what_the_forward_pass_sees_with_the_weights_of_then() -> None:
    seeing, seen = encoder(), observation()
    look = seeing.look(SPEC)
    packed = torch.from_numpy(SPEC.pack(seen.vectors))[None]
    batch = {key: torch.from_numpy(image)[None] for key, image in seen.images.items()}
    with torch.no_grad():
        expected = seeing(packed, batch)[0].numpy()
        for parameter in seeing.parameters():
            parameter.zero_()
    np.testing.assert_array_equal(look(seen), expected)


@pytest.mark.parametrize("config", [FROZEN, TRAINED])
def test_images_that_cannot_be_written_to_are_seen_too(config: VisionConfig) -> None:
    seen = observation()
    for image in seen.images.values():
        image.setflags(write=False)
    assert encoder(config).look(SPEC)(seen).shape == (encoder(config).size,)
    if config is FROZEN:
        image = seen.images[WRIST][None]
        assert FROZEN.frame_encoder(SPEC.images).encode(WRIST, image).shape == (1, 40, 4, 4)


def test_two_encoders_that_share_a_backbone_put_an_image_through_it_once() -> None:
    seen = observation(seed=5)
    first, second = encoder(seed=1), encoder(seed=2)
    backbone = first.eyes[0].backbone
    first.look(SPEC)(seen)
    kept = {key: backbone.glance(image) for key, image in seen.images.items()}
    second.look(SPEC)(seen)
    assert all(backbone.glance(image) is kept[key] for key, image in seen.images.items())


def test_features_looked_up_in_inference_mode_can_be_trained_on() -> None:
    seeing, seen = encoder(), observation(seed=6)
    seeing.look(SPEC)(seen)
    packed = torch.from_numpy(SPEC.pack(seen.vectors))[None]
    batch = {key: torch.from_numpy(image)[None] for key, image in seen.images.items()}
    seeing(packed, batch).sum().backward()


def test_resumed_training_draws_the_same_masks() -> None:
    seeing, packed, seen = encoder(), torch.randn(2, 3), images(2)
    seeing(packed, seen)
    resumed = encoder(seed=9)
    resumed.load_state_dict(seeing.state_dict())
    assert torch.equal(seeing(packed, seen), resumed(packed, seen))


def test_frame_encoder_fits_a_cache_of_features() -> None:
    frames: FrameEncoder = FROZEN.frame_encoder(SPEC.images)
    assert dict(frames.shapes) == {WRIST: (40, 4, 4), FRONT: (40, 4, 4)}
    features = frames.encode(WRIST, images(3)[WRIST].numpy())
    assert features.shape == (3, 40, 4, 4)
    assert features.dtype == np.float16
    with pytest.raises(ContractError, match="did you mean"):
        frames.encode("observation.images.wirst", images(3)[WRIST].numpy())
