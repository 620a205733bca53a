"""Residual off-policy RL on top of a frozen base policy. Acting: `robot_rl.policies.residual`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from robot_rl.config.model import Component, Config
from robot_rl.core.errors import ConfigError
from robot_rl.data.replay.batch import Batch
from robot_rl.learning.contract import Foundation
from robot_rl.learning.critic_step import CriticStep
from robot_rl.learning.optimiser import GuardedAdam, finite, prefixed, under
from robot_rl.networks.critic import CriticEnsemble
from robot_rl.networks.ema import Polyak
from robot_rl.networks.encoder import build_encoder
from robot_rl.networks.residual_actor import ResidualActor
from robot_rl.policies.residual import ResidualPolicy


class ResidualTd3Config(Config):
    """Settings of `ResidualTd3`.

    Args:
        keys: observation vectors that actor and critics see; empty for all.
        vision: how they see the cameras, see `build_encoder`; without it they see none.
        residual_scale: bound of the residual in the normalised action, for all elements or each.
        hidden: sizes of the hidden layers of actor and critics.
        heads, target_heads: critics, and how many random ones the target takes the minimum of.
        critic_lr, actor_lr: step sizes of Adam.
        max_grad_norm: gradients are clipped to this norm.
        tau: Polyak rate of the targets, after each critic step.
        target_noise_std, target_noise_clip: smoothing noise on the target's residual.
        target_range: interval of reachable returns that targets are clipped to, if known.
        actor_objective: the mean over all heads, or the minimum of two random ones.
        residual_penalty: weight of the mean squared residual.
        human_weight: weight of the regression towards a person's actions.
        exploration_std: noise of the acting policy, normalised.
    """

    keys: tuple[str, ...] = ()
    vision: Component | None = None
    residual_scale: float | tuple[float, ...] = 0.2
    hidden: tuple[int, ...] = (256, 256)
    heads: int = Field(default=10, ge=2)
    target_heads: int = Field(default=2, ge=1)
    critic_lr: float = Field(default=3e-4, gt=0)
    actor_lr: float = Field(default=1e-4, gt=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    tau: float = Field(default=0.005, gt=0, le=1)
    target_noise_std: float = Field(default=0.05, ge=0)
    target_noise_clip: float = Field(default=0.3, ge=0)
    target_range: tuple[float, float] | None = None
    actor_objective: Literal["mean", "min"] = "mean"
    residual_penalty: float = Field(default=0.0, ge=0)
    human_weight: float = Field(default=1.0, ge=0)
    exploration_std: float = Field(default=0.05, ge=0)

    def build(self, base: Foundation, seed: int) -> ResidualTd3:
        """Return a fresh learner."""
        return ResidualTd3(self, base, seed)

    def scales(self, action_size: int) -> tuple[float, ...]:
        """Return the bound of the residual per action element.

        Raises:
            ConfigError: if there is not one for each, or one is not in (0, 2].
        """
        given = self.residual_scale
        scales = given if isinstance(given, tuple) else (given,) * action_size
        if len(scales) != action_size or not all(0.0 < s <= 2.0 for s in scales):
            raise ConfigError(
                f"residual_scale: got {given}, expected one number or {action_size} numbers "
                "in (0, 2]"
            )
        return scales


class ResidualTd3:
    """TD3 on a residual (ResFiT, Ankile et al. 2025, arXiv 2509.19301).

    Critics see the combined executed action, never the residual alone. The target is
    `reward + discount * min Q(o', clip(next_base + clip(residual'(o') + noise)))`; reward and
    discount come n-step from the batch.

    Metrics: `critic_loss`; `q_mean`, `q_max` over heads and rows; `td_error_online`,
    `td_error_offline` mean absolute; `grad_norm_critic`, `grad_norm_actor` before clipping;
    `actor_loss`; `residual_norm` mean Euclidean; `human_loss`; `skipped_updates` since the start.

    Args:
        config: settings.
        base: whose specs the batches travel under, and whose normaliser they need.
        seed: of the initial weights and of all noise.
    """

    def __init__(
        self,
        config: ResidualTd3Config,
        base: Foundation,
        seed: int,
    ) -> None:
        self._config = config
        self._observation = base.observation
        size = base.action.size
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            encoder = build_encoder(base.observation, base.normaliser, config.keys, config.vision)
            self.actor = ResidualActor(encoder, config.scales(size), config.hidden)
            critic = CriticEnsemble(config.heads, encoder.size + size, config.hidden)
        self._generator = torch.Generator().manual_seed(seed)
        self.actor_target = deepcopy(self.actor).requires_grad_(False)
        self._actor_polyak = Polyak(self.actor_target.mlp, self.actor.mlp, config.tau)
        self._actor_adam = GuardedAdam(
            self.actor.mlp.parameters(), config.actor_lr, config.max_grad_norm
        )
        self.critics = CriticStep(
            encoder,
            critic,
            target_heads=config.target_heads,
            learning_rate=config.critic_lr,
            max_grad_norm=config.max_grad_norm,
            tau=config.tau,
            target_range=config.target_range,
        )

    def update(self, batches: Sequence[Batch], *, train_actor: bool = True) -> dict[str, float]:
        """Do one cycle, see `Learner.update`."""
        metrics, features = [self._critic_step(batch) for batch in batches][-1]
        if train_actor:
            # As the critics saw it before their last step: encoding anew would cost a pass.
            metrics |= self._actor_step(features, batches[-1])
        skipped = self.critics.adam.skipped + self._actor_adam.skipped
        return {**finite(metrics), "skipped_updates": float(skipped)}

    @torch.no_grad()
    def target_action(self, next_features: Tensor, next_base_action: Tensor) -> Tensor:
        """Return a' float32[b, d]: next base action plus smoothed target residual, clipped."""
        config, scale = self._config, self.actor.scale
        noise = torch.empty_like(next_base_action).normal_(generator=self._generator)
        noise = (noise * config.target_noise_std).clamp_(
            -config.target_noise_clip, config.target_noise_clip
        )
        residual = self.actor_target(next_features, next_base_action) + noise
        return (next_base_action + residual.clamp_(-scale, scale)).clamp_(-1.0, 1.0)

    def policy(self) -> ResidualPolicy:
        """Return a policy of its own that acts with the weights of now."""
        return ResidualPolicy(
            deepcopy(self.actor), self._observation, exploration_std=self._config.exploration_std
        )

    def weights(self) -> dict[str, Tensor]:
        """Return a copy of what `ResidualPolicy.load_weights` takes."""
        return {name: tensor.clone() for name, tensor in self.actor.state_dict().items()}

    def state_dict(self) -> dict[str, Tensor]:
        """Return a flat copy of everything that the next update depends on."""
        return {
            **prefixed("actor", self.actor.state_dict()),
            **prefixed("actor_target", self.actor_target.state_dict()),
            **prefixed("actor_adam", self._actor_adam.state_dict()),
            **prefixed("critics", self.critics.state_dict()),
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take up where `state` was taken: the next updates are bit-identical."""
        self.actor.load_state_dict(under("actor", state))
        self.actor_target.load_state_dict(under("actor_target", state))
        self._actor_adam.load_state_dict(under("actor_adam", state))
        self.critics.load_state_dict(under("critics", state))
        self._generator.set_state(state["generator"].clone())

    def _critic_step(self, batch: Batch) -> tuple[dict[str, float], Tensor]:
        """Return metrics, and the features for the actor, detached."""
        seen = self.critics.encode(batch)
        next_action = self.target_action(seen.next_target, batch.next_base_action)
        metrics = self.critics.step(seen, batch, next_action, self._generator)
        self._actor_polyak.update()
        return metrics, seen.now.detach()

    def _actor_step(self, features: Tensor, batch: Batch) -> dict[str, float]:
        config = self._config
        residual = self.actor(features, batch.base_action)
        action = (batch.base_action + residual).clamp(-1.0, 1.0)
        value = self.critics.value(features, action, config.actor_objective, self._generator)
        human = _human_loss(residual, batch, self.actor.scale)
        loss = config.human_weight * human - value.mean()
        if config.residual_penalty > 0.0:
            loss = loss + config.residual_penalty * residual.square().mean()
        return {
            "grad_norm_actor": self._actor_adam.step(loss),
            "actor_loss": loss.item(),
            "residual_norm": residual.detach().norm(dim=-1).mean().item(),
            "human_loss": human.item(),
        }


def _human_loss(residual: Tensor, batch: Batch, scale: Tensor) -> Tensor:
    """Return the mean squared distance to the residual, within its bound, that a person showed.

    Rows that nobody drove do not count; 0 where there are none.
    """
    shown = (batch.action - batch.base_action).clamp(-scale, scale)
    squared = torch.where(batch.human[:, None], residual - shown, 0.0).square()
    return squared.mean(-1).sum() / batch.human.sum().clamp(min=1)
