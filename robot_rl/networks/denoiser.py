"""What all denoisers of action chunks share, and the smallest of them.

A denoiser maps (sample float32[b, h, d], step [b], features float32[b, m]) to float32[b, h, d];
`step` says how noisy the sample is. Its config is a component whose
`build(horizon, action_size, features)` returns it. The samplers that call it live in
`robot_rl.policies.sampler`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor, nn

from robot_rl.config.model import Config
from robot_rl.networks.mlp import Mlp


class StepEmbedding(nn.Module):
    """Sines and cosines of the step at geometric frequencies."""

    frequencies: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        exponents = torch.arange(size // 2) / max(size // 2 - 1, 1)
        self.register_buffer("frequencies", torch.exp(-math.log(10_000.0) * exponents))

    def forward(self, step: Tensor) -> Tensor:
        """Map numbers [b], whole or not, to float32[b, size]."""
        phase = step[:, None] * self.frequencies
        return torch.cat([phase.sin(), phase.cos()], dim=-1)


class MlpDenoiserConfig(Config):
    """Settings of `MlpDenoiser`.

    Args:
        hidden: sizes of the hidden layers.
        embedding: length of the step embedding, even.
    """

    hidden: tuple[int, ...] = Field(default=(256, 256), min_length=1)
    embedding: int = Field(default=32, ge=2, multiple_of=2)

    def build(self, horizon: int, action_size: int, features: int) -> MlpDenoiser:
        """Return the network with fresh weights."""
        return MlpDenoiser(horizon, action_size, features, self.hidden, self.embedding)


class MlpDenoiser(nn.Module):
    """The whole chunk, the features and the step through one MLP: for short chunks on a CPU."""

    def __init__(
        self,
        horizon: int,
        action_size: int,
        features: int,
        hidden: Sequence[int],
        embedding: int = 32,
    ) -> None:
        super().__init__()
        flat = horizon * action_size
        self.step = StepEmbedding(embedding)
        self.mlp = Mlp(
            flat + features + embedding, hidden, flat, layer_norm=True, activation="silu"
        )

    def forward(self, sample: Tensor, step: Tensor, features: Tensor) -> Tensor:
        """Return the prediction float32[b, h, d]."""
        x = torch.cat([sample.flatten(1), features, self.step(step)], dim=-1)
        return self.mlp(x).view_as(sample)
