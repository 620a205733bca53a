"""The bounded correction on top of a base action. Combining and clipping are its callers' part."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from robot_rl.networks.encoder import Encoder
from robot_rl.networks.mlp import Mlp


class ResidualActor(nn.Module):
    """`scale * tanh(mlp(features, base_action))`, exactly 0 at the start.

    Encoder and scale are buffers, so weights carry everything that acting needs.

    Args:
        encoder: turns observations into features; it has a `size`. The critics train it.
        scale: bound of the residual per action element, normalised.
        hidden: sizes of the hidden layers.
    """

    scale: Tensor

    def __init__(self, encoder: Encoder, scale: Sequence[float], hidden: Sequence[int]) -> None:
        super().__init__()
        self.encoder = encoder
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32))
        self.mlp = Mlp(
            encoder.size + len(scale), hidden, len(scale), layer_norm=True, zero_output=True
        )

    def forward(self, features: Tensor, base_action: Tensor) -> Tensor:
        """Return the residual float32[b, d] within +-scale.

        Args:
            features: float32[b, m], from `encoder`.
            base_action: float32[b, d], normalised.
        """
        return self.scale * torch.tanh(self.mlp(torch.cat([features, base_action], dim=-1)))

    def activations(self, features: Tensor, base_action: Tensor) -> list[Tensor]:
        """Return what each hidden layer hands on, float32[b, units], in order."""
        return self.mlp.activations(torch.cat([features, base_action], dim=-1))
