"""Soft actor-critic with prior data, from scratch. Acting: `robot_rl.policies.gaussian`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import deepcopy

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from robot_rl.config.model import Component, Config
from robot_rl.data.replay.batch import Batch
from robot_rl.learning.contract import Foundation
from robot_rl.learning.critic_step import CriticStep
from robot_rl.learning.optimiser import GuardedAdam, finite, prefixed, under
from robot_rl.networks.critic import CriticEnsemble
from robot_rl.networks.encoder import build_encoder
from robot_rl.networks.gaussian_actor import GaussianActor
from robot_rl.policies.gaussian import GaussianPolicy


class RlpdConfig(Config):
    """Settings of `Rlpd`.

    Args:
        keys: observation vectors that actor and critics see; empty for all.
        vision: how they see the cameras, see `build_encoder`; without it they see none.
        hidden: sizes of the hidden layers of actor and critics.
        heads, target_heads: critics, and how many random ones the target takes the minimum of.
        critic_lr, actor_lr, temperature_lr: step sizes of Adam.
        max_grad_norm: gradients are clipped to this norm.
        tau: Polyak rate of the target, after each critic step.
        initial_temperature: the weight of the entropy at the start.
        entropy_backup: whether the target counts the entropy; off for sparse 0/1 rewards.
        target_range: interval of reachable returns that targets are clipped to, if known.
    """

    keys: tuple[str, ...] = ()
    vision: Component | None = None
    hidden: tuple[int, ...] = Field(default=(256, 256), min_length=1)
    heads: int = Field(default=10, ge=2)
    target_heads: int = Field(default=2, ge=1)
    critic_lr: float = Field(default=3e-4, gt=0)
    actor_lr: float = Field(default=3e-4, gt=0)
    temperature_lr: float = Field(default=3e-4, gt=0)
    max_grad_norm: float = Field(default=10.0, gt=0)
    tau: float = Field(default=0.005, gt=0, le=1)
    initial_temperature: float = Field(default=1e-2, gt=0)
    entropy_backup: bool = False
    target_range: tuple[float, float] | None = None

    def build(self, base: Foundation, seed: int) -> Rlpd:
        """Return a fresh learner."""
        return Rlpd(self, base, seed)


class Rlpd:
    """RLPD (Ball et al. 2023, arXiv 2302.02948) in the form of HIL-SERL (arXiv 2410.21845).

    Temperature is `softplus(w)`, steered towards an entropy of -d / 2.

    Metrics: `critic_loss`; `q_mean`, `q_max` over heads and rows; `td_error_online`,
    `td_error_offline` mean absolute; `grad_norm_critic`, `grad_norm_actor` before clipping;
    `actor_loss`; `temperature`; `entropy`; `skipped_updates` since the start.

    Args:
        config: settings.
        base: whose specs the batches travel under, and whose normaliser they need.
        seed: of the initial weights and of all noise.
    """

    def __init__(
        self,
        config: RlpdConfig,
        base: Foundation,
        seed: int,
    ) -> None:
        self._config = config
        self._observation = base.observation
        size = base.action.size
        self._target_entropy = -base.action.size / 2
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            encoder = build_encoder(base.observation, base.normaliser, config.keys, config.vision)
            self.actor = GaussianActor(encoder, size, config.hidden)
            critic = CriticEnsemble(config.heads, encoder.size + size, config.hidden)
        self._generator = torch.Generator().manual_seed(seed)
        self.temperature_weight = nn.Parameter(
            torch.tensor(math.log(math.expm1(config.initial_temperature)))
        )
        self._actor_adam = GuardedAdam(
            [*self.actor.trunk.parameters(), *self.actor.head.parameters()],
            config.actor_lr,
            config.max_grad_norm,
        )
        self._temperature_adam = GuardedAdam(
            [self.temperature_weight], config.temperature_lr, config.max_grad_norm
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
            metrics |= self._actor_step(features)
        adams = (self.critics.adam, self._actor_adam, self._temperature_adam)
        return {**finite(metrics), "skipped_updates": float(sum(adam.skipped for adam in adams))}

    def policy(self) -> GaussianPolicy:
        """Return a policy of its own that acts with the weights of now."""
        return GaussianPolicy(deepcopy(self.actor), self._observation)

    def weights(self) -> dict[str, Tensor]:
        """Return a copy of what `GaussianPolicy.load_weights` takes."""
        return {name: tensor.clone() for name, tensor in self.actor.state_dict().items()}

    def state_dict(self) -> dict[str, Tensor]:
        """Return a flat copy of everything that the next update depends on."""
        return {
            **prefixed("actor", self.actor.state_dict()),
            **prefixed("actor_adam", self._actor_adam.state_dict()),
            **prefixed("temperature_adam", self._temperature_adam.state_dict()),
            **prefixed("critics", self.critics.state_dict()),
            "temperature_weight": self.temperature_weight.detach().clone(),
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take up where `state` was taken: the next updates are bit-identical."""
        self.actor.load_state_dict(under("actor", state))
        self._actor_adam.load_state_dict(under("actor_adam", state))
        self._temperature_adam.load_state_dict(under("temperature_adam", state))
        self.critics.load_state_dict(under("critics", state))
        self.temperature_weight.data.copy_(state["temperature_weight"])
        self._generator.set_state(state["generator"].clone())

    def _temperature(self) -> Tensor:
        return functional.softplus(self.temperature_weight)

    def _critic_step(self, batch: Batch) -> tuple[dict[str, float], Tensor]:
        """Return metrics, and the features for the actor, detached."""
        seen = self.critics.encode(batch)
        with torch.no_grad():
            next_action, log_prob = self.actor.sample(seen.next, self._generator)
            bonus = -self._temperature() * log_prob if self._config.entropy_backup else 0.0
        metrics = self.critics.step(seen, batch, next_action, self._generator, bonus)
        return metrics, seen.now.detach()

    def _actor_step(self, features: Tensor) -> dict[str, float]:
        action, log_prob = self.actor.sample(features, self._generator)
        value = self.critics.value(features, action, "mean", self._generator)
        temperature = self._temperature()
        loss = (temperature.detach() * log_prob - value).mean()
        entropy = -log_prob.detach().mean()
        metrics = {
            "grad_norm_actor": self._actor_adam.step(loss),
            "actor_loss": loss.item(),
            "temperature": temperature.item(),
            "entropy": entropy.item(),
        }
        self._temperature_adam.step(temperature * (entropy - self._target_entropy))
        return metrics
