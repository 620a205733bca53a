"""One RLPD update written out by hand for a fixed shape: what the operations themselves cost.

The mathematics of `robot_rl.learning.rlpd` with two target heads, on one optimiser each, without
guards, metrics, configuration or restorable randomness.
"""

from __future__ import annotations

import math

import torch
from sac_peers import Sizes
from torch import Tensor, nn
from torch.nn import functional

from robot_rl.data.replay.batch import Batch


class HandFused:
    """Soft actor-critic on state.

    Args:
        sizes: of networks; two hidden layers.
        tau: Polyak rate.
    """

    def __init__(self, sizes: Sizes, tau: float = 0.005) -> None:
        n, d, (h, k) = sizes.state, sizes.action, sizes.hidden
        self._tau = tau
        self._heads = sizes.heads
        self._actor = _parameters((n, h), (h,), (h, k), (k,), (k, 2 * d), (2 * d,))
        self._critic = _parameters(
            *(
                (sizes.heads, *shape)
                for shape in ((n + d, h), (1, h), (h, k), (1, k), (k, 1), (1, 1))
            )
        )
        self._target = [p.detach().clone() for p in self._critic]
        self._log_alpha = nn.Parameter(torch.tensor(math.log(0.01)))
        self._goal = -d / 2
        self._adams = [
            torch.optim.Adam(p, lr=sizes.lr, fused=True)
            for p in (self._critic, self._actor, [self._log_alpha])
        ]

    def update(self, batch: Batch) -> None:
        """Make one full update."""
        alpha = self._log_alpha.exp()
        with torch.no_grad():
            action, _ = self._sample(batch.next_observation)
            chosen = torch.randperm(self._heads)[:2]
            q = _q([p[chosen] for p in self._target], batch.next_observation, action).amin(0)
            y = batch.reward + batch.discount * q
        self._step(0, (_q(self._critic, batch.observation, batch.action) - y).square().mean())
        torch._foreach_lerp_(self._target, [p.detach() for p in self._critic], self._tau)
        action, log_prob = self._sample(batch.observation)
        value = _q(self._critic, batch.observation, action).mean(0)
        self._step(1, (alpha.detach() * log_prob - value).mean())
        self._step(2, self._log_alpha.exp() * (-log_prob.detach().mean() - self._goal))

    def _sample(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        w1, b1, w2, b2, w3, b3 = self._actor
        x = torch.relu(torch.addmm(b2, torch.relu(torch.addmm(b1, observation, w1)), w2))
        mean, log_std = torch.addmm(b3, x, w3).chunk(2, dim=-1)
        log_std = log_std.clamp(-11.5, 1.6)
        noise = torch.randn_like(mean)
        raw = mean + log_std.exp() * noise
        gaussian = -0.5 * noise.square() - log_std - 0.5 * math.log(2 * math.pi)
        squash = 2.0 * (math.log(2.0) - raw - functional.softplus(-2.0 * raw))
        return torch.tanh(raw), (gaussian - squash).sum(-1)

    def _step(self, which: int, loss: Tensor) -> None:
        parameters = (self._critic, self._actor, [self._log_alpha])[which]
        for parameter, gradient in zip(
            parameters, torch.autograd.grad(loss, parameters), strict=True
        ):
            parameter.grad = gradient
        nn.utils.clip_grad_norm_(parameters, 10.0, foreach=True)
        self._adams[which].step()


def _q(parameters: list[Tensor], observation: Tensor, action: Tensor) -> Tensor:
    """Return Q float32[heads, b]; LayerNorm without gain after each hidden layer."""
    w1, b1, w2, b2, w3, b3 = parameters
    x = torch.cat([observation, action], dim=-1).expand(len(w1), -1, -1)
    for weight, bias in ((w1, b1), (w2, b2)):
        x = torch.baddbmm(bias, x, weight)
        x = torch.relu(functional.layer_norm(x, x.shape[-1:]))
    return torch.baddbmm(b3, x, w3).squeeze(-1)


def _parameters(*shapes: tuple[int, ...]) -> list[nn.Parameter]:
    return [nn.Parameter(torch.randn(shape) * 0.05) for shape in shapes]
