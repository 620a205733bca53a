"""A diffusion transformer over the actions of a chunk, a denoiser (see `networks.denoiser`)."""

from __future__ import annotations

from typing import Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from robot_rl.config.model import Config
from robot_rl.core.errors import ConfigError
from robot_rl.networks.denoiser import StepEmbedding
from robot_rl.networks.mlp import Mlp


class DitConfig(Config):
    """Settings of `Dit`.

    Args:
        width: length of a token; even, and a multiple of `heads`.
        depth: number of blocks.
        heads: of the attention.
        mlp_ratio: hidden size of a block's MLP, in widths.
        embedding: length of the step embedding, even.
    """

    width: int = Field(default=64, ge=2, multiple_of=2)
    depth: int = Field(default=3, ge=1)
    heads: int = Field(default=4, ge=1)
    mlp_ratio: int = Field(default=2, ge=1)
    embedding: int = Field(default=32, ge=2, multiple_of=2)

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        if self.width % self.heads:
            raise ConfigError(
                f"width: got {self.width}, expected a multiple of heads ({self.heads})"
            )
        return self

    def build(self, horizon: int, action_size: int, features: int) -> Dit:
        """Return the network with fresh weights."""
        return Dit(self, horizon, action_size, features)


class Dit(nn.Module):
    """DiT (Peebles & Xie 2022, arXiv 2212.09748) with adaLN-zero blocks; a token is an action.

    Features and step condition each block. All gates and the last layer begin at 0, so that a
    fresh network predicts exactly 0 and each block begins as the identity.

    Args:
        config: settings.
        horizon: chunk length.
        action_size: number of action elements.
        features: length of the observation features.
    """

    place: Tensor

    def __init__(self, config: DitConfig, horizon: int, action_size: int, features: int) -> None:
        super().__init__()
        width = config.width
        self.step = StepEmbedding(config.embedding)
        self.condition = Mlp(config.embedding + features, [2 * width], width, activation="silu")
        self.first = nn.Linear(action_size, width)
        self.register_buffer("place", StepEmbedding(width)(torch.arange(horizon)))
        self.blocks = nn.ModuleList(
            _Block(width, config.heads, config.mlp_ratio * width) for _ in range(config.depth)
        )
        self.modulation = _zeroed(nn.Linear(width, 2 * width))
        self.last = _zeroed(nn.Linear(width, action_size))

    def forward(self, sample: Tensor, step: Tensor, features: Tensor) -> Tensor:
        """Return the prediction float32[b, h, d]."""
        condition = self.condition(torch.cat([self.step(step), features], dim=-1))
        condition = functional.silu(condition)
        x = self.first(sample) + self.place
        for block in self.blocks:
            x = block(x, condition)
        return self.last(_modulated(x, *self.modulation(condition)[:, None].chunk(2, dim=-1)))


class _Block(nn.Module):
    """Attention and MLP over tokens float32[b, h, w], scaled, shifted and gated by a condition."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self._heads = heads
        self.modulation = _zeroed(nn.Linear(width, 6 * width))
        self.attention = nn.Linear(width, 3 * width)
        self.join = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(approximate="tanh"), nn.Linear(hidden, width)
        )

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        shift, scale, gate, shift_2, scale_2, gate_2 = self.modulation(condition)[:, None].chunk(
            6, dim=-1
        )
        x = torch.addcmul(x, gate, self._attend(_modulated(x, shift, scale)))
        return torch.addcmul(x, gate_2, self.mlp(_modulated(x, shift_2, scale_2)))

    def _attend(self, x: Tensor) -> Tensor:
        b, h, width = x.shape
        heads = self.attention(x).view(b, h, 3, self._heads, width // self._heads)
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return self.join(mixed.transpose(1, 2).reshape(b, h, width))


def _modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return torch.addcmul(shift, functional.layer_norm(x, x.shape[-1:]), 1.0 + scale)


def _zeroed(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
