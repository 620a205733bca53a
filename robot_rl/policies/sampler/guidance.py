"""Drawing a sample towards what is being played. Which sampler can: see `contract`.

Real-time chunking, Black et al. 2025, arXiv 2506.07339; equations are numbered as there. It speaks
of a flow: a sample at time tau in [0, 1] is tau * clean + (1 - tau) * noise, and a network's
velocity v at it says that the clean chunk is

    A_hat = A + (1 - tau) v                                                          (3)

Guidance adds to the velocity

    min(beta, (1 - tau) / (tau r^2)) (Y - A_hat)^T diag(W) dA_hat/dA                 (2)
    r^2 = (1 - tau)^2 / (tau^2 + (1 - tau)^2)                                        (4)

where Y is what is being played. The derivative is the network's own: were it left out, each action
would be drawn by itself, and those behind the frozen ones would not know of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Estimate = Callable[[Tensor], tuple[Tensor, Tensor]]
"""From a sample float32[b, h, d] to the clean chunk that it is taken for, and to whatever else
came out of the same call of the network."""


def soft_mask(overlap: int, frozen: int) -> Tensor:
    """Return how much each action of the overlap is to stay as it is, float32[p], equation 5.

    1 for the frozen ones, then c (e^c - 1) / (e - 1) with c falling evenly towards 0, which it
    would reach at the first action behind the overlap.

    Args:
        overlap: p, actions that are left of the plan in play: the paper's H - s.
        frozen: how many of them will have been played: the paper's d.
    """
    c = (overlap - torch.arange(overlap)) / (overlap - frozen + 1)
    return torch.where(c < 1.0, c * torch.expm1(c) / torch.expm1(torch.ones(())), 1.0)


def guidance_weight(time: float, most: float) -> float:
    """Return the first factor of equation 2, with r^2 from equation 4.

    Args:
        time: tau in [0, 1].
        most: beta. It also stands in at 0 and 1, where the factor is without bound.
    """
    noise = 1.0 - time
    if time * noise <= 0.0:
        return most
    return min(most, (time**2 + noise**2) / (time * noise))


@dataclass(frozen=True, slots=True, kw_only=True)
class Guide:
    """What a sample is drawn towards, and how much.

    There is nothing behind the overlap: no padding that a sample could be drawn towards.

    Args:
        ahead: float32[p, d], the Y of equation 2: what is left of the plan in play.
        mask: float32[p], its W.
        most: its beta.
    """

    ahead: Tensor
    mask: Tensor
    most: float

    def error(self, clean: Tensor) -> Tensor:
        """Return diag(W) (Y - A_hat) float32[b, h, d] for clean chunks of that shape.

        A chunk is clipped to [-1, 1] before it is played, and so it is compared.
        """
        overlap = len(self.ahead)
        error = torch.zeros_like(clean)
        gap = self.ahead - clean[:, :overlap].clamp(-1.0, 1.0)
        error[:, :overlap] = self.mask[:, None] * gap
        return error

    def pull(self, estimate: Estimate, sample: Tensor, time: float) -> tuple[Tensor, Tensor]:
        """Return what guidance adds to the velocity, equation 2, and what `estimate` said besides.

        Args:
            estimate: the network, as a function of the sample.
            sample: float32[b, h, d].
            time: of the sample, tau.
        """
        with torch.enable_grad():
            sample = sample.detach().requires_grad_()
            clean, other = estimate(sample)
            (product,) = torch.autograd.grad(clean, sample, self.error(clean.detach()))
        return guidance_weight(time, self.most) * product, other.detach()
