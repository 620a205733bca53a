"""What critics of both actor-critic learners do: target, regression, Polyak, metrics."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from robot_rl.data.replay.batch import Batch
from robot_rl.learning.acceleration import Acceleration
from robot_rl.learning.optimiser import GuardedAdam, prefixed, under
from robot_rl.networks.critic import CriticEnsemble
from robot_rl.networks.ema import Polyak
from robot_rl.networks.encoder import Encoder


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """Features float32[b, m] of a batch.

    Args:
        now: of its observations, by the live encoder; the critics' loss goes back through them
            into it.
        next_target: of its next observations, by the target encoder, without gradient.
    """

    now: Tensor
    next_target: Tensor


class CriticSettings(Protocol):
    """What the config of an algorithm with such critics says of them."""

    @property
    def target_heads(self) -> int:
        """The target is the minimum over this many random target heads."""
        ...

    @property
    def critic_lr(self) -> float:
        """Step size of Adam."""
        ...

    @property
    def max_grad_norm(self) -> float:
        """Gradients are clipped to this norm."""
        ...

    @property
    def tau(self) -> float:
        """Polyak rate of the targets, after each step."""
        ...

    @property
    def target_range(self) -> tuple[float, float] | None:
        """Interval that targets are clipped to, if known."""
        ...


class CriticStep:
    """An encoder and an ensemble of critics, with their target copies.

    RLPD, Ball et al. 2023, arXiv 2302.02948. The critics' loss alone trains the encoder. A cycle
    goes through an encoder once for each observation: an actor learns from the features that the
    critics' step was made with, detached, as in DrQ-v2 (Yarats et al. 2021, arXiv 2107.09645),
    and chooses the next action from those that the target critics judge it by. That these are
    the target encoder's, a little behind the ones it learned from, spares a third pass.

    Args:
        encoder: `(packed, images) -> features`; it may have nothing to train.
        critic: the live ensemble, on the same device.
        settings: of the critics' steps and targets.
        acceleration: how losses and targets are computed.
    """

    def __init__(
        self,
        encoder: Encoder,
        critic: CriticEnsemble,
        settings: CriticSettings,
        acceleration: Acceleration,
    ) -> None:
        self.encoder = encoder
        self.critic = critic
        self.target_encoder = deepcopy(encoder).requires_grad_(False)
        self.target = deepcopy(critic).requires_grad_(False)
        learned = [p for p in encoder.parameters() if p.requires_grad]
        self.adam = GuardedAdam(
            [*learned, *critic.parameters()], settings.critic_lr, settings.max_grad_norm
        )
        self._polyaks = (
            Polyak(self.target_encoder, encoder, settings.tau),
            Polyak(self.target, critic, settings.tau),
        )
        self._target_heads = settings.target_heads
        self._target_range = settings.target_range
        self._precision = acceleration.precision
        self._compiled_loss = acceleration.compiled(self._loss)
        self._compiled_lowest = acceleration.compiled(self._lowest)

    def encode(self, batch: Batch) -> Encoded:
        """Return the features of a batch."""
        with self._precision():
            now = self.encoder(batch.observation, batch.images)
            with torch.no_grad():
                after = self.target_encoder(batch.next_observation, batch.next_images)
        return Encoded(now=now.float(), next_target=after.float())

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
        with self._precision():
            value = self._compiled_lowest(torch.cat([next_features, next_action], dim=-1), heads)
        y = batch.reward + batch.discount * (value + bonus)
        return y if self._target_range is None else y.clamp(*self._target_range)

    def step(
        self,
        seen: Encoded,
        batch: Batch,
        next_action: Tensor,
        generator: torch.Generator,
        bonus: Tensor | float = 0.0,
        counts: Tensor | None = None,
    ) -> dict[str, float]:
        """Regress all heads on the target and move the target copies; return metrics.

        A step that is not finite changes neither what is live nor the target copies.

        Args:
            seen: features of the batch.
            batch: what was done and what came of it.
            next_action: float32[b, d], at the next observation.
            generator: of the choice of target heads.
            bonus: see `td_target`.
            counts: bool[b], the rows that are regressed and whose error is told; None for all.
        """
        y = self.td_target(seen.next_target, next_action, batch, generator, bonus)
        with self._precision():
            x = torch.cat([seen.now, batch.action], dim=-1)
            loss, q = self._compiled_loss(x, y, counts)
        skipped = self.adam.skipped
        grad_norm = self.adam.step(loss)
        if self.adam.skipped == skipped:
            for polyak in self._polyaks:
                polyak.update()
        return {"grad_norm_critic": grad_norm, **_metrics(loss, q, y, batch.offline, counts)}

    def value(
        self,
        features: Tensor,
        action: Tensor,
        objective: Literal["mean", "min"],
        generator: torch.Generator,
    ) -> Tensor:
        """Return what an actor maximises, float32[b]: mean over heads, or minimum of two."""
        return self.value_of(features, action, self.heads_for(objective, generator))

    def heads_for(
        self, objective: Literal["mean", "min"], generator: torch.Generator
    ) -> Tensor | None:
        """Return the heads int64[2] that an actor's objective looks at; None for all."""
        return None if objective == "mean" else self._draw(2, generator)

    def value_of(self, features: Tensor, action: Tensor, heads: Tensor | None) -> Tensor:
        """Return the mean over all heads, or the minimum over `heads`, float32[b]."""
        x = torch.cat([features, action], dim=-1)
        q = self.critic(x, heads).float()
        return q.mean(0) if heads is None else q.amin(0)

    def activations(self, features: Tensor, action: Tensor) -> list[Tensor]:
        """Return what the hidden layers of all live heads hand on, float32[heads, b, units]."""
        return self.critic.activations(torch.cat([features, action], dim=-1))

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
        heads, device = self.critic.heads, generator.device
        return torch.randperm(heads, generator=generator, device=device)[:count]

    def _loss(self, x: Tensor, y: Tensor, counts: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the loss, and Q float32[heads, b] detached."""
        q = self.critic(x).float()
        return _mean((q - y).square(), counts), q.detach()

    def _lowest(self, x: Tensor, heads: Tensor) -> Tensor:
        return self.target(x, heads).float().amin(0)


def _mean(squared: Tensor, counts: Tensor | None) -> Tensor:
    """Return the mean of float32[heads, b] over heads and the rows that count; 0 without any."""
    if counts is None:
        return squared.mean()
    return torch.where(counts, squared.mean(0), 0.0).sum() / counts.sum().clamp(min=1)


@torch.no_grad()
def _metrics(
    loss: Tensor, q: Tensor, y: Tensor, offline: Tensor, counts: Tensor | None
) -> dict[str, float]:
    """Return loss, Q, and the mean error of online and offline rows apart: NaN without rows."""
    error = (q - y).abs().mean(0)
    counts = torch.ones_like(offline) if counts is None else counts
    tensors = {
        "critic_loss": loss.detach(),
        "q_mean": q.mean(),
        "q_max": q.max(),
        "td_error_offline": _mean_where(error, offline & counts),
        "td_error_online": _mean_where(error, ~offline & counts),
    }
    # Read together: each reading waits for a GPU.
    return dict(zip(tensors, torch.stack([*tensors.values()]).tolist(), strict=True))


def _mean_where(error: Tensor, rows: Tensor) -> Tensor:
    return torch.where(rows, error, 0.0).sum() / rows.sum()
