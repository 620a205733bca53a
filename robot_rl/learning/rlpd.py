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
from robot_rl.core.spec import GRIPPER
from robot_rl.data.replay.batch import Batch
from robot_rl.data.replay.feature_cache import FrameEncoder
from robot_rl.learning.acceleration import Acceleration, AccelerationConfig, on_cpu, restore
from robot_rl.learning.contract import Foundation, SamplingNeeds, frozen_part
from robot_rl.learning.critic_step import CriticStep
from robot_rl.learning.grasp_critic import GraspCritic, GraspCriticConfig, without_gripper
from robot_rl.learning.optimiser import GuardedAdam, copies, finite, prefixed, skips, under
from robot_rl.networks.critic import CriticEnsemble
from robot_rl.networks.dormancy import DormancyMonitor
from robot_rl.networks.encoder import build_encoder
from robot_rl.networks.gaussian_actor import GaussianActor
from robot_rl.networks.grasp_q import GraspQ
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
        grasp: lets a critic of its own decide the gripper, the last action element; windows are
            then of one step.
        acceleration: where and how it computes, see `AccelerationConfig`.
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
    grasp: GraspCriticConfig | None = None
    acceleration: AccelerationConfig = AccelerationConfig()

    def build(self, base: Foundation, seed: int) -> Rlpd:
        """Return a fresh learner."""
        return Rlpd(self, base, seed)


class Rlpd:
    """RLPD (Ball et al. 2023, arXiv 2302.02948) in the form of HIL-SERL (arXiv 2410.21845).

    Temperature is `softplus(w)`, steered towards an entropy of -d / 2. Next actions are drawn from
    the target encoder's features, see `CriticStep`. With a grasp critic, actor and critics have
    to do with the other d elements alone, see `GraspCritic`, and the metrics are joined by its
    own.

    Metrics: `critic_loss`; `q_mean`, `q_max` over heads and rows, of the actions in the data;
    `q_policy` mean over heads and rows, of the actor's actions; `td_error_online`,
    `td_error_offline` mean absolute; `grad_norm_critic`, `grad_norm_actor` before clipping;
    `actor_loss`; `temperature`; `entropy`; `dormant_ratio_actor`, `dormant_ratio_critic` every
    hundredth cycle; `skipped_updates` since the start; `skipped_in_a_row` of the network that
    has skipped most.

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
        self._acceleration = Acceleration(config.acceleration)
        self.needs = SamplingNeeds(
            images=config.vision is not None,
            n_step=1 if config.grasp else None,
            device=str(self._acceleration.device),
        )
        self._observation = base.observation
        size = base.action.size - (config.grasp is not None)
        self._target_entropy = -size / 2
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            encoder = build_encoder(base.observation, base.normaliser, config.keys, config.vision)
            grasp = config.grasp and config.grasp.network(base, encoder.size, config.hidden)
            self.actor = GaussianActor(encoder, size, config.hidden, grasp)
            critic = CriticEnsemble(
                config.heads, encoder.size + size, config.hidden, config.acceleration.critics
            )
        for network in (self.actor, critic):
            network.to(self._acceleration.device)
        self._generator = self._acceleration.generator(seed)
        weight = math.log(math.expm1(config.initial_temperature))
        self.temperature_weight = nn.Parameter(
            torch.tensor(weight, device=self._acceleration.device)
        )
        self._actor_adam = GuardedAdam(
            [*self.actor.trunk.parameters(), *self.actor.head.parameters()],
            config.actor_lr,
            config.max_grad_norm,
        )
        self._temperature_adam = GuardedAdam(
            [self.temperature_weight], config.temperature_lr, config.max_grad_norm
        )
        self.critics = CriticStep(encoder, critic, config, self._acceleration)
        self.grasp = _grasp_critic(config, base, grasp)
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
            metrics |= self._actor_step(features)
        metrics |= self._dormant(features, batches[-1])
        adams = [self.critics.adam, self._actor_adam, self._temperature_adam]
        if self.grasp:
            adams.append(self.grasp.adam)
        return {**finite(metrics), **skips(*adams)}

    def policy(self) -> GaussianPolicy:
        """Return a policy of its own that acts with the weights of now."""
        grasp = self._config.grasp
        return GaussianPolicy(
            on_cpu(deepcopy(self.actor)),
            self._observation,
            grasp_epsilon=grasp.epsilon if grasp else 0.0,
        )

    def weights(self) -> dict[str, Tensor]:
        """Return a copy on the CPU of what `GaussianPolicy.load_weights` takes."""
        return copies(self.actor.state_dict())

    def state_dict(self) -> dict[str, Tensor]:
        """Return a flat copy of everything that the next update depends on."""
        return {
            **prefixed("actor", self.actor.state_dict()),
            **prefixed("actor_adam", self._actor_adam.state_dict()),
            **prefixed("temperature_adam", self._temperature_adam.state_dict()),
            **prefixed("critics", self.critics.state_dict()),
            **copies({"temperature_weight": self.temperature_weight}),
            **prefixed("dormancy", self._dormancy.state_dict()),
            **(prefixed("grasp", self.grasp.state_dict()) if self.grasp else {}),
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take up where `state` was taken: the next updates are bit-identical."""
        self.actor.load_state_dict(under("actor", state))
        self._actor_adam.load_state_dict(under("actor_adam", state))
        self._temperature_adam.load_state_dict(under("temperature_adam", state))
        self.critics.load_state_dict(under("critics", state))
        self.temperature_weight.data.copy_(state["temperature_weight"])
        self._dormancy.load_state_dict(under("dormancy", state))
        if self.grasp:
            self.grasp.load_state_dict(under("grasp", state))
        restore(self._generator, state["generator"])

    def _temperature(self) -> Tensor:
        return functional.softplus(self.temperature_weight)

    def _critic_step(self, batch: Batch) -> tuple[dict[str, float], Tensor]:
        """Return metrics, and the features for the actor, detached."""
        seen = self.critics.encode(batch)
        with torch.no_grad(), self._acceleration.precision():
            next_action, log_prob = self.actor.sample(seen.next_target, self._generator)
            bonus = -self._temperature() * log_prob if self._config.entropy_backup else 0.0
        driven = without_gripper(batch) if self.grasp else batch
        metrics = self.critics.step(seen, driven, next_action, self._generator, bonus)
        if self.grasp:
            metrics |= self.grasp.step(seen, batch)
        return metrics, seen.now.detach()

    def _actor_step(self, features: Tensor) -> dict[str, float]:
        noise = self.actor.head.draw(len(features), self._generator)
        temperature = self._temperature()
        with self._acceleration.precision():
            loss, told = self._compiled_loss(features, noise, temperature.detach())
        norm = self._actor_adam.step(loss)
        self._temperature_adam.step(temperature * (told[2] - self._target_entropy))
        names = ("actor_loss", "q_policy", "entropy", "temperature")
        return {"grad_norm_actor": norm, **dict(zip(names, told.tolist(), strict=True))}

    def _loss(self, features: Tensor, noise: Tensor, temperature: Tensor) -> tuple[Tensor, Tensor]:
        """Return the actor's loss, and float32[4]: loss, value, entropy, temperature.

        Args:
            features: float32[b, m].
            noise: float32[b, d], standard normal.
            temperature: the weight of the entropy, detached.
        """
        action, log_prob = self.actor.sample_at(features, noise)
        value = self.critics.value_of(features, action, None)
        loss = (temperature * log_prob - value).mean()
        told = torch.stack([loss, value.mean(), -log_prob.mean(), temperature])
        return loss, told.detach()

    def _dormant(self, features: Tensor, batch: Batch) -> dict[str, float]:
        driven = without_gripper(batch) if self.grasp else batch
        probes = {
            "actor": lambda: self.actor.activations(features),
            "critic": lambda: self.critics.activations(features, driven.action),
        }
        return self._dormancy.metrics(probes)


def _grasp_critic(
    config: RlpdConfig, base: Foundation, network: GraspQ | None
) -> GraspCritic | None:
    if config.grasp is None or network is None:
        return None
    (opening,) = base.observation.columns((GRIPPER,))
    return GraspCritic(
        config.grasp,
        network,
        opening=int(opening),
        max_grad_norm=config.max_grad_norm,
        ceiling=config.target_range[1] if config.target_range else None,
    )
