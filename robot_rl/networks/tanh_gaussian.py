"""A Gaussian squashed by tanh: the stochastic head of soft actor-critic."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

STD_MIN = 1e-5
STD_MAX = 5.0


class TanhGaussian(nn.Module):
    """Maps features to a distribution over actions in (-1, 1).

    Args:
        inputs: length of the features.
        action_size: number of action elements.
    """

    def __init__(self, inputs: int, action_size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, 2 * action_size)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation float32[b, d] before the tanh."""
        # A density of half precision would be too coarse to learn from.
        mean, log_std = self.linear(features).float().chunk(2, dim=-1)
        return mean, log_std.clamp(math.log(STD_MIN), math.log(STD_MAX)).exp()

    def sample(self, features: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return reparametrised actions float32[b, d] and their log-density float32[b]."""
        return self.sample_at(features, self.draw(len(features), generator))

    def draw(self, rows: int, generator: torch.Generator) -> Tensor:
        """Return standard normal noise float32[rows, d], on the generator's device."""
        size = self.linear.out_features // 2
        return torch.empty(rows, size, device=generator.device).normal_(generator=generator)

    def sample_at(self, features: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Return what `sample` returns, given the noise float32[b, d]."""
        mean, std = self(features)
        raw = mean + std * noise
        return torch.tanh(raw), log_density(raw, noise, std)


def log_density(raw: Tensor, noise: Tensor, std: Tensor) -> Tensor:
    """Return the log-density float32[b] of `tanh(raw)` where `raw = mean + std * noise`.

    `log(1 - tanh(u)^2) = 2 (log 2 - u - softplus(-2 u))` keeps it finite however large u is
    (Haarnoja et al. 2018, arXiv 1812.05905, appendix C, in a stable form).
    """
    gaussian = -0.5 * noise.square() - std.log() - 0.5 * math.log(2 * math.pi)
    squash = 2.0 * (math.log(2.0) - raw - functional.softplus(-2.0 * raw))
    return (gaussian - squash).sum(-1)
