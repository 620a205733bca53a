"""The networks a frozen backbone may be, cut off where their feature map has the wanted stride."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from robot_rl.core.errors import DependencyError
from robot_rl.networks.vision.efficientnet_lite import EfficientNetLite0

Architecture = Literal["efficientnet_lite0", "mobilenet_v2", "resnet10", "resnet18"]
Stride = Literal[4, 8, 16, 32]
Rgb = tuple[float, float, float]

_IMAGENET_MEAN: Rgb = (0.485, 0.456, 0.406)
_IMAGENET_STD: Rgb = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True, kw_only=True)
class Blueprint:
    """How a network is made and cut.

    Args:
        network: makes the whole network, so that weights have their usual names.
        blocks: returns its blocks in their order.
        lengths: stride to the number of blocks up to the last one with that stride.
        mean, std: what pixels in [0, 1] are normalised with, as its weights were trained.
    """

    network: Callable[[], nn.Module]
    blocks: Callable[[Any], Iterable[nn.Module]]
    lengths: dict[Stride, int]
    mean: Rgb = _IMAGENET_MEAN
    std: Rgb = _IMAGENET_STD


def _mobilenet_v2() -> nn.Module:
    return _torchvision("mobilenetv2").MobileNetV2()


def _resnet10() -> nn.Module:
    # One block a stage, as HIL-SERL (arXiv 2410.21845) uses it; torchvision names none that small.
    resnet = _torchvision("resnet")
    return resnet.ResNet(resnet.BasicBlock, [1, 1, 1, 1])


def _resnet18() -> nn.Module:
    resnet = _torchvision("resnet")
    return resnet.ResNet(resnet.BasicBlock, [2, 2, 2, 2])


def _resnet_blocks(network: Any) -> list[nn.Module]:
    stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
    return [stem, network.layer1, network.layer2, network.layer3, network.layer4]


def _features(network: Any) -> Iterable[nn.Module]:
    return network.features


def _torchvision(module: str) -> Any:
    if importlib.util.find_spec("torchvision") is None:
        raise DependencyError(
            "this backbone needs torchvision, which is not installed: "
            "pip install -c constraints.txt -e '.[vision]'"
        )
    return importlib.import_module(f"torchvision.models.{module}")


_RESNET_LENGTHS: dict[Stride, int] = {4: 2, 8: 3, 16: 4, 32: 5}

BLUEPRINTS: dict[Architecture, Blueprint] = {
    "efficientnet_lite0": Blueprint(
        network=EfficientNetLite0,
        blocks=_features,
        lengths={4: 4, 8: 6, 16: 12, 32: 17},
        mean=(127 / 255, 127 / 255, 127 / 255),
        std=(128 / 255, 128 / 255, 128 / 255),
    ),
    "mobilenet_v2": Blueprint(
        network=_mobilenet_v2,
        blocks=_features,
        lengths={4: 4, 8: 7, 16: 14, 32: 18},
    ),
    "resnet10": Blueprint(network=_resnet10, blocks=_resnet_blocks, lengths=_RESNET_LENGTHS),
    "resnet18": Blueprint(network=_resnet18, blocks=_resnet_blocks, lengths=_RESNET_LENGTHS),
}
