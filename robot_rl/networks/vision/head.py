"""What is learned on a feature map, per camera: from [c, h, w] to a vector."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from robot_rl.config.model import Config
from robot_rl.networks.vision.backbone import Shape
from robot_rl.networks.vision.dropout import CountedDropout


class SpatialEmbeddingConfig(Config):
    """Settings of `SpatialEmbedding`.

    Args:
        embeddings: weighted sums of each channel over the map.
        dropout: share of these that is dropped while training.
        size: length of the result.
    """

    embeddings: int = Field(default=8, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    size: int = Field(default=256, ge=1)

    def build(self, shape: Shape) -> SpatialEmbedding:
        """Return the head for features of this shape."""
        return SpatialEmbedding(shape, self)


class SpatialEmbedding(nn.Module):
    """Learned spatial embeddings -> dropout -> linear -> LayerNorm -> tanh.

    The head of HIL-SERL (Luo et al. 2024, arXiv 2410.21845): where a channel is active is summed
    up with learned weights over the map, several times per channel.

    Args:
        shape: (c, h, w) of the features.
        config: settings.
    """

    def __init__(self, shape: Shape, config: SpatialEmbeddingConfig) -> None:
        super().__init__()
        channels, height, width = shape
        cells = height * width
        self.kernel = nn.Parameter(
            torch.randn(channels, config.embeddings, cells) * (channels * cells) ** -0.5
        )
        self.dropout = CountedDropout(config.dropout)
        self.out = Projection(channels * config.embeddings, config.size)
        self.size = config.size

    def forward(self, features: Tensor) -> Tensor:
        """Map features float16 or float32[b, c, h, w] to float32[b, size] in [-1, 1]."""
        # With the rows last the products are several times as fast on a CPU; as strides alone, for
        # to turn the features in memory takes longer than it saves.
        cells = features.to(torch.float32).flatten(2).permute(1, 2, 0)
        sums = torch.bmm(self.kernel, cells).flatten(0, 1)
        return self.out(self.dropout(sums).T)


class KeypointsConfig(Config):
    """Settings of `Keypoints`.

    Args:
        points: positions that are looked for.
        size: length of the result.
    """

    points: int = Field(default=32, ge=1)
    size: int = Field(default=64, ge=1)

    def build(self, shape: Shape) -> Keypoints:
        """Return the head for features of this shape."""
        return Keypoints(shape, self)


class Keypoints(nn.Module):
    """Learned maps -> where each is active on average -> linear -> LayerNorm -> tanh.

    The spatial soft-argmax of Levine et al. 2016 (arXiv 1504.00702, section 5.2) on a learned
    mixture of the channels. Positions are finer than a cell, and weights are few.

    Args:
        shape: (c, h, w) of the features.
        config: settings.
    """

    grid: Tensor
    """float32[h * w, 2]: row and column of each cell, from -1 to 1."""

    def __init__(self, shape: Shape, config: KeypointsConfig) -> None:
        super().__init__()
        channels, height, width = shape
        self.mix = nn.Conv2d(channels, config.points, 1)
        axes = (torch.linspace(-1, 1, height), torch.linspace(-1, 1, width))
        grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, 1)
        self.register_buffer("grid", grid, persistent=False)
        self.out = Projection(2 * config.points, config.size)
        self.size = config.size

    def forward(self, features: Tensor) -> Tensor:
        """Map features float16 or float32[b, c, h, w] to float32[b, size] in [-1, 1]."""
        return self.out(self.positions(features).flatten(1))

    def positions(self, features: Tensor) -> Tensor:
        """Return row and column of each point, float32[b, points, 2] from -1 to 1."""
        return self.mix(features.to(torch.float32)).flatten(2).softmax(-1) @ self.grid


class Projection(nn.Module):
    """Linear -> LayerNorm -> tanh: no input, however large, makes a large feature."""

    def __init__(self, inputs: int, size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, size)
        self.norm = nn.LayerNorm(size)
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """Map float32[b, inputs] to float32[b, size] in [-1, 1]."""
        return torch.tanh(self.norm(self.linear(x)))
