"""The stochastic actor of soft actor-critic."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from robot_rl.networks.encoder import Encoder
from robot_rl.networks.mlp import Mlp
from robot_rl.networks.tanh_gaussian import TanhGaussian


class GaussianActor(nn.Module):
    """`features -> hidden (ReLU) -> TanhGaussian`.

    The encoder's buffers are part of the weights, so they carry everything that acting needs.

    Args:
        encoder: turns observations into features; it has a `size`. The critics train it.
        action_size: number of action elements.
        hidden: sizes of the hidden layers.
    """

    def __init__(self, encoder: Encoder, action_size: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.encoder = encoder
        *before, last = hidden
        self.trunk = Mlp(encoder.size, before, last)
        self.head = TanhGaussian(last, action_size)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation float32[b, d] before the tanh."""
        return self.head(functional.relu(self.trunk(features)))

    def sample(self, features: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return reparametrised actions float32[b, d] and their log-density float32[b]."""
        return self.head.sample(functional.relu(self.trunk(features)), generator)
