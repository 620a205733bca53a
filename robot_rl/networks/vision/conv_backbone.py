"""A small backbone that is trained with what looks through it."""

from __future__ import annotations

import itertools

import torch
from pydantic import Field
from torch import Tensor, nn

from robot_rl.config.model import Config
from robot_rl.core.spec import ImageSpec
from robot_rl.networks.vision.backbone import Shape


class ConvBackboneConfig(Config):
    """Settings of `ConvBackbone`.

    Args:
        channels: of each layer; each halves the image.
    """

    channels: tuple[int, ...] = Field(default=(32, 32, 32), min_length=1)

    def build(self) -> ConvBackbone:
        """Return a backbone with fresh weights."""
        return ConvBackbone(self.channels)


class ConvBackbone(nn.Module):
    """Convolutions of 3 x 3 with ReLU, orthogonal at the start (DrQ, arXiv 2107.09645).

    Unlike DrQ's, every layer has stride 2, which is several times cheaper on a processor. The loss
    that trains it is that of whoever looks through it: the critics' or imitation's.

    Args:
        channels: of each layer.
    """

    frozen = False

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise((3, *channels)):
            layer = nn.Conv2d(before, after, 3, stride=2, padding=1)
            nn.init.orthogonal_(layer.weight, nn.init.calculate_gain("relu"))
            layers += [layer, nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    def shape(self, image: ImageSpec) -> Shape:
        """See `Backbone.shape`."""
        with torch.no_grad():
            _, c, h, w = self(torch.zeros(1, 3, image.height, image.width)).shape
        return c, h, w

    def forward(self, pixels: Tensor) -> Tensor:
        """Map pixels float32[b, 3, h, w] in [0, 1] to features float32[b, c, h', w']."""
        return self.layers(pixels - 0.5)
