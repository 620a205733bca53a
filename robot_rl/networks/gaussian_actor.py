"""The stochastic actor of soft actor-critic."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from robot_rl.networks.encoder import Encoder
from robot_rl.networks.grasp_q import GraspQ
from robot_rl.networks.mlp import Mlp
from robot_rl.networks.tanh_gaussian import TanhGaussian


class GaussianActor(nn.Module):
    """`features -> hidden (ReLU) -> TanhGaussian`.

    The encoder's buffers are part of the weights, so they carry everything that acting needs.

    Args:
        encoder: turns observations into features; it has a `size`. The critics train it.
        action_size: number of action elements that are Gaussian.
        hidden: sizes of the hidden layers.
        grasp: decides the gripper, the last element of the action, where it is not Gaussian.
    """

    def __init__(
        self,
        encoder: Encoder,
        action_size: int,
        hidden: Sequence[int],
        grasp: GraspQ | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.grasp = grasp
        *before, last = hidden
        self.trunk = Mlp(encoder.size, before, last)
        self.head = TanhGaussian(last, action_size)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation float32[b, d] before the tanh."""
        return self.head(functional.relu(self.trunk(features)))

    def activations(self, features: Tensor) -> list[Tensor]:
        """Return what each hidden layer hands on, float32[b, units], in order."""
        seen = self.trunk.activations(features)
        *_, h = features, *seen
        return [*seen, functional.relu(self.trunk.layers[-1](h))]

    def sample(self, features: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return reparametrised actions float32[b, d] and their log-density float32[b]."""
        return self.sample_at(features, self.head.draw(len(features), generator))

    def sample_at(self, features: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Return what `sample` returns, given standard normal noise float32[b, d]."""
        return self.head.sample_at(functional.relu(self.trunk(features)), noise)
