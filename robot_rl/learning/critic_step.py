"""What critics of both actor-critic learners do: target, regression, Polyak, metrics."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from robot_rl.data.replay.batch import Batch
from robot_rl.learning.optimiser import GuardedAdam, prefixed, under
from robot_rl.networks.critic import CriticEnsemble
from robot_rl.networks.ema import Polyak
from robot_rl.networks.encoder import Encoder


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """Features float32[b, m] of a batch.

    Args:
        now: of its observations; the critics' loss goes back through them into the encoder.
        next: of its next observations, by the live encoder, without gradient.
        next_target: likewise, by the target encoder.
    """

    now: Tensor
    next: Tensor
    next_target: Tensor


class CriticStep:
    """An encoder and an ensemble of critics, with their target copies.

    RLPD, Ball et al. 2023, arXiv 2302.02948. The critics' loss alone trains the encoder; an
    actor gets its features detached.

    Args:
        encoder: `(packed, images) -> features`; it may have nothing to train.
        critic: the live ensemble.
        target_heads: the target is the minimum over this many random target heads.
        learning_rate, max_grad_norm: see `GuardedAdam`.
        tau: Polyak rate, after each step.
        target_range: interval that targets are clipped to, if known.
    """

    def __init__(
        self,
        encoder: Encoder,
        critic: CriticEnsemble,
        *,
        target_heads: int,
        learning_rate: float,
        max_grad_norm: float,
        tau: float,
        target_range: tuple[float, float] | None,
    ) -> None:
        self.encoder = encoder
        self.critic = critic
        self.target_encoder = deepcopy(encoder).requires_grad_(False)
        self.target = deepcopy(critic).requires_grad_(False)
        learned = [p for p in encoder.parameters() if p.requires_grad]
        self._learns_features = bool(learned)
        self.adam = GuardedAdam([*learned, *critic.parameters()], learning_rate, max_grad_norm)
        self._polyaks = (
            Polyak(self.target_encoder, encoder, tau),
            Polyak(self.target, critic, tau),
        )
        self._target_heads = target_heads
        self._target_range = target_range

    def encode(self, batch: Batch) -> Encoded:
        """Return the features of a batch; encoders without parameters run once on each side."""
        now = self.encoder(batch.observation, batch.images)
        with torch.no_grad():
            target = self.target_encoder(batch.next_observation, batch.next_images)
            live = target
            if self._learns_features:
                live = self.encoder(batch.next_observation, batch.next_images)
        return Encoded(now=now, next=live, next_target=target)

    @torch.no_grad()
    def td_target(
        self,
        next_features: Tensor,
        next_action: Tensor,
        batch: Batch,
        generator: torch.Generator,
        bonus: Tensor | float = 0.0,
    ) -> Tensor:
        """Return y = reward + discount (min Q'(o', a') + bonus), float32[b]."""
        heads = self._draw(self._target_heads, generator)
        value = self.target(torch.cat([next_features, next_action], dim=-1), heads).amin(0)
        y = batch.reward + batch.discount * (value + bonus)
        return y if self._target_range is None else y.clamp(*self._target_range)

    def step(
        self,
        seen: Encoded,
        batch: Batch,
        next_action: Tensor,
        generator: torch.Generator,
        bonus: Tensor | float = 0.0,
    ) -> dict[str, float]:
        """Regress all heads on the target and move the target copies; return metrics.

        A step that is not finite changes neither what is live nor the target copies.
        """
        y = self.td_target(seen.next_target, next_action, batch, generator, bonus)
        q = self.critic(torch.cat([seen.now, batch.action], dim=-1))
        error = q - y
        loss = error.square().mean()
        skipped = self.adam.skipped
        grad_norm = self.adam.step(loss)
        if self.adam.skipped == skipped:
            for polyak in self._polyaks:
                polyak.update()
        q = q.detach()
        return {
            "critic_loss": loss.item(),
            "grad_norm_critic": grad_norm,
            "q_mean": q.mean().item(),
            "q_max": q.max().item(),
            **_td_errors(error.detach().abs().mean(0), batch.offline),
        }

    def value(
        self,
        features: Tensor,
        action: Tensor,
        objective: Literal["mean", "min"],
        generator: torch.Generator,
    ) -> Tensor:
        """Return what an actor maximises, float32[b]: mean over heads, or minimum of two."""
        x = torch.cat([features, action], dim=-1)
        if objective == "mean":
            return self.critic(x).mean(0)
        return self.critic(x, self._draw(2, generator)).amin(0)

    def state_dict(self) -> dict[str, Tensor]:
        """Return a flat copy of encoders, ensembles and the optimiser."""
        return {
            **prefixed("encoder", self.encoder.state_dict()),
            **prefixed("target_encoder", self.target_encoder.state_dict()),
            **prefixed("live", self.critic.state_dict()),
            **prefixed("target", self.target.state_dict()),
            **prefixed("adam", self.adam.state_dict()),
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take up where `state` was taken."""
        self.encoder.load_state_dict(under("encoder", state))
        self.target_encoder.load_state_dict(under("target_encoder", state))
        self.critic.load_state_dict(under("live", state))
        self.target.load_state_dict(under("target", state))
        self.adam.load_state_dict(under("adam", state))

    def _draw(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.randperm(self.critic.heads, generator=generator)[:count]


def _td_errors(error: Tensor, offline: Tensor) -> dict[str, float]:
    """Return the mean error of online and offline rows apart; what has no rows is absent."""
    rows = {"td_error_offline": error[offline], "td_error_online": error[~offline]}
    return {name: part.mean().item() for name, part in rows.items() if len(part)}
