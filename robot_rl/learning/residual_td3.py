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
from robot_rl.data.replay.feature_cache import FrameEncoder
from robot_rl.learning.acceleration import Acceleration, AccelerationConfig, on_cpu, restore
from robot_rl.learning.contract import Foundation, SamplingNeeds, frozen_part
from robot_rl.learning.critic_step import CriticStep
from robot_rl.learning.optimiser import GuardedAdam, copies, finite, prefixed, skips, under
from robot_rl.networks.critic import CriticEnsemble
from robot_rl.networks.dormancy import DormancyMonitor
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
        ramp_updates: see `ResidualPolicy`.
        acceleration: where and how it computes, see `AccelerationConfig`.
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
    ramp_updates: int = Field(default=0, ge=0)
    acceleration: AccelerationConfig = AccelerationConfig()

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

    Metrics: `critic_loss`; `q_mean`, `q_max` over heads and rows, of the actions in the data;
    `q_policy` mean of what the actor maximises, of its own actions; `td_error_online`,
    `td_error_offline` mean absolute; `grad_norm_critic`, `grad_norm_actor` before clipping;
    `actor_loss`; `residual_norm` mean Euclidean; `human_loss`; `dormant_ratio_actor`,
    `dormant_ratio_critic` every hundredth cycle; `skipped_updates` since the start;
    `skipped_in_a_row` of the network that has skipped most.

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
        self._acceleration = Acceleration(config.acceleration)
        self.needs = SamplingNeeds(
            images=config.vision is not None, device=str(self._acceleration.device)
        )
        self._observation = base.observation
        size = base.action.size
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            encoder = build_encoder(base.observation, base.normaliser, config.keys, config.vision)
            self.actor = ResidualActor(encoder, config.scales(size), config.hidden)
            critic = CriticEnsemble(
                config.heads, encoder.size + size, config.hidden, config.acceleration.critics
            )
        for network in (self.actor, critic):
            network.to(self._acceleration.device)
        self._generator = self._acceleration.generator(seed)
        self.actor_target = deepcopy(self.actor).requires_grad_(False)
        self._actor_polyak = Polyak(self.actor_target.mlp, self.actor.mlp, config.tau)
        self._actor_adam = GuardedAdam(
            self.actor.mlp.parameters(), config.actor_lr, config.max_grad_norm
        )
        self.critics = CriticStep(encoder, critic, config, self._acceleration)
        self._dormancy = DormancyMonitor(("actor", "critic"))
        self._compiled_loss = self._acceleration.compiled(self._loss)

    @property
    def frame_encoder(self) -> FrameEncoder | None:
        """See `Learner.frame_encoder`."""
        return frozen_part(self._config.vision, self._observation.images)

    def update(self, batches: Sequence[Batch], *, train_actor: bool = True) -> dict[str, float]:
        """Do one cycle, see `Learner.update`."""
        batches = [batch.to(self._acceleration.device) for batch in batches]
        metrics, features = [self._critic_step(batch) for batch in batches][-1]
        if train_actor:
            # As the critics saw it before their last step: encoding anew would cost a pass.
            metrics |= self._actor_step(features, batches[-1])
        metrics |= self._dormant(features, batches[-1])
        return {**finite(metrics), **skips(self.critics.adam, self._actor_adam)}

    @torch.no_grad()
    def target_action(self, next_features: Tensor, next_base_action: Tensor) -> Tensor:
        """Return a' float32[b, d]: next base action plus smoothed target residual, clipped."""
        config, scale = self._config, self.actor.scale
        noise = torch.empty_like(next_base_action).normal_(generator=self._generator)
        noise = (noise * config.target_noise_std).clamp_(
            -config.target_noise_clip, config.target_noise_clip
        )
        with self._acceleration.precision():
            target = self.actor_target(next_features, next_base_action)
        residual = target.float() + noise
        return (next_base_action + residual.clamp_(-scale, scale)).clamp_(-1.0, 1.0)

    def policy(self) -> ResidualPolicy:
        """Return a policy of its own that acts with the weights of now."""
        actor = on_cpu(deepcopy(self.actor))
        config = self._config
        return ResidualPolicy(
            actor,
            self._observation,
            exploration_std=config.exploration_std,
            ramp_updates=config.ramp_updates,
        )

    def weights(self) -> dict[str, Tensor]:
        """Return a copy on the CPU of what `ResidualPolicy.load_weights` takes."""
        return copies(self.actor.state_dict())

    def state_dict(self) -> dict[str, Tensor]:
        """Return a flat copy of everything that the next update depends on."""
        return {
            **prefixed("actor", self.actor.state_dict()),
            **prefixed("actor_target", self.actor_target.state_dict()),
            **prefixed("actor_adam", self._actor_adam.state_dict()),
            **prefixed("critics", self.critics.state_dict()),
            **prefixed("dormancy", self._dormancy.state_dict()),
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take up where `state` was taken: the next updates are bit-identical."""
        self.actor.load_state_dict(under("actor", state))
        self.actor_target.load_state_dict(under("actor_target", state))
        self._actor_adam.load_state_dict(under("actor_adam", state))
        self.critics.load_state_dict(under("critics", state))
        self._dormancy.load_state_dict(under("dormancy", state))
        restore(self._generator, state["generator"])

    def _critic_step(self, batch: Batch) -> tuple[dict[str, float], Tensor]:
        """Return metrics, and the features for the actor, detached."""
        seen = self.critics.encode(batch)
        next_action = self.target_action(seen.next_target, batch.next_base_action)
        metrics = self.critics.step(seen, batch, next_action, self._generator)
        self._actor_polyak.update()
        return metrics, seen.now.detach()

    def _actor_step(self, features: Tensor, batch: Batch) -> dict[str, float]:
        heads = self.critics.heads_for(self._config.actor_objective, self._generator)
        with self._acceleration.precision():
            loss, told = self._compiled_loss(
                features, batch.base_action, batch.action, batch.human, heads
            )
        norm = self._actor_adam.step(loss)
        names = ("actor_loss", "q_policy", "residual_norm", "human_loss")
        return {"grad_norm_actor": norm, **dict(zip(names, told.tolist(), strict=True))}

    def _loss(
        self, features: Tensor, base: Tensor, executed: Tensor, human: Tensor, heads: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return the actor's loss, and float32[4]: loss, value, norm of the residual, human loss.

        Args:
            features: float32[b, m].
            base: float32[b, d], the base policy's actions.
            executed: float32[b, d], what was done.
            human: bool[b], rows that a person drove.
            heads: see `CriticStep.value_of`.
        """
        config = self._config
        residual = self.actor(features, base)
        value = self.critics.value_of(features, (base + residual).clamp(-1.0, 1.0), heads).mean()
        shown = _human_loss(residual, executed - base, human, self.actor.scale)
        loss = config.human_weight * shown - value
        if config.residual_penalty > 0.0:
            loss = loss + config.residual_penalty * residual.square().mean()
        norm = residual.norm(dim=-1).mean()
        return loss, torch.stack([loss, value, norm, shown]).detach()

    def _dormant(self, features: Tensor, batch: Batch) -> dict[str, float]:
        probes = {
            "actor": lambda: self.actor.activations(features, batch.base_action),
            "critic": lambda: self.critics.activations(features, batch.action),
        }
        return self._dormancy.metrics(probes)


def _human_loss(residual: Tensor, shown: Tensor, human: Tensor, scale: Tensor) -> Tensor:
    """Return the mean squared distance to the residual, within its bound, that a person showed.

    Rows that nobody drove do not count; 0 where there are none.
    """
    error = residual - shown.clamp(-scale, scale)
    squared = torch.where(human[:, None], error, 0.0).square()
    return squared.mean(-1).sum() / human.sum().clamp(min=1)
