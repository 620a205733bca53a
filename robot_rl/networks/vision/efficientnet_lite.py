"""EfficientNet-Lite0, as its published weights want it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

BATCH_NORM_EPS = 1e-3

STAGES = (
    # expansion, channels, blocks, stride, kernel
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
"""Of Tan and Le 2019 (arXiv 1905.11946), table 1; Lite0 has width and depth 1."""


class EfficientNetLite0(nn.Module):
    """EfficientNet-B0 (arXiv 1905.11946) without squeeze-and-excitation and with ReLU6.

    The order of its parameters is that of the published file; its names are its own.

    Args:
        classes: size of the classifier.
    """

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        blocks: list[nn.Module] = [_conv(3, 32, kernel=3, stride=2)]
        channels = 32
        for expansion, out, count, stride, kernel in STAGES:
            for i in range(count):
                step = stride if i == 0 else 1
                blocks.append(_InvertedResidual(channels, out, expansion, step, kernel))
                channels = out
        self.features = nn.Sequential(*blocks)
        self.head = _conv(channels, 1280, kernel=1)
        self.classifier = nn.Linear(1280, classes)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map normalised pixels float32[b, 3, h, w] to logits float32[b, classes]."""
        return self.classifier(self.head(self.features(pixels)).mean((-2, -1)))


class _InvertedResidual(nn.Module):
    """Widen, look at each channel by itself, narrow without an activation; add the input."""

    def __init__(
        self, inputs: int, outputs: int, expansion: int, stride: int, kernel: int
    ) -> None:
        super().__init__()
        wide = inputs * expansion
        layers = [_conv(inputs, wide, kernel=1)] if expansion > 1 else []
        layers.append(_conv(wide, wide, kernel=kernel, stride=stride, groups=wide))
        layers.append(_conv(wide, outputs, kernel=1, activation=False))
        self.layers = nn.Sequential(*layers)
        self._adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.layers(x)
        return x + y if self._adds else y


class _SamePadding(nn.Conv2d):
    """Pads to ceil(size / stride) outputs, an odd pixel below and right, as TensorFlow does."""

    def forward(self, input: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        rows, columns = (
            max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in input.shape[-2:]
        )
        left, top = columns // 2, rows // 2
        return super().forward(functional.pad(input, (left, columns - left, top, rows - top)))


def _conv(
    inputs: int,
    outputs: int,
    *,
    kernel: int,
    stride: int = 1,
    groups: int = 1,
    activation: bool = True,
) -> nn.Sequential:
    layers: list[nn.Module] = [
        _SamePadding(inputs, outputs, kernel, stride, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=BATCH_NORM_EPS),
    ]
    return nn.Sequential(*layers, *([nn.ReLU6()] if activation else []))


def from_published(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give the tensors of the published file the names of `EfficientNetLite0`.

    Raises:
        ValueError: if number or shape of the tensors is another.
    """
    with torch.device("meta"):
        own = EfficientNetLite0().state_dict()
    shapes = [tuple(t.shape) for t in own.values()]
    if shapes != [tuple(t.shape) for t in weights.values()]:
        raise ValueError(f"expected {len(own)} tensors in the order of EfficientNet-Lite0")
    return dict(zip(own, weights.values(), strict=True))
