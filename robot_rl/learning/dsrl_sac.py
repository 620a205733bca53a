"""Latent steering by soft actor-critic on the noise. Acting: `robot_rl.policies.steered`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace

import torch
from pydantic import Field
from torch import Tensor

from robot_rl.config.model import Component, Config
from robot_rl.data.replay.batch import Batch
from robot_rl.data.replay.feature_cache import FrameEncoder
from robot_rl.learning.acceleration import Acceleration, AccelerationConfig, on_cpu, restore
from robot_rl.learning.contract import SamplingNeeds, frozen_part
from robot_rl.learning.critic_step import CriticStep
from robot_rl.learning.latent_actor import LatentActor
from robot_rl.learning.optimiser import copies, finite, prefixed, skips, under
from robot_rl.networks.critic import CriticEnsemble
from robot_rl.networks.dormancy import DormancyMonitor
from robot_rl.networks.encoder import build_encoder
from robot_rl.networks.gaussian_actor import GaussianActor
from robot_rl.policies.steered import LatentSpace, SteerableBase, SteeredPolicy


class DsrlSacConfig(Config):
    """Settings of `DsrlSac`.

    Args:
        keys: observation vectors that actor and critics see; empty for all.
        vision: how they see the cameras, see `build_encoder`; without it they see none.
        noise_bound: bound of each element of the noise; the paper's b, 1.5.
        noise_rows: rows of noise that are chosen, each for an equal part of the chunk, see
            `LatentSpace`; null for one a planned action. Fewer are learned faster, but steer
            less, and repeated noise is not what the base was trained from.
        hidden: sizes of the hidden layers of actor and critics.
        heads, target_heads: critics, and how many random ones the target takes the minimum of.
        critic_lr, actor_lr, temperature_lr: step sizes of Adam.
        max_grad_norm: gradients are clipped to this norm.
        tau: Polyak rate of the target, after each critic step.
        initial_temperature: the weight of the entropy at the start.
        target_entropy: per element of the noise, of noise / bound [nat]; log 2 is uniform.
        entropy_backup: whether the target counts the entropy; off for sparse 0/1 rewards.
        target_range: interval of reachable returns that targets are clipped to, if known.
        acceleration: where and how it computes, see `AccelerationConfig`.
    """

    keys: tuple[str, ...] = ()
    vision: Component | None = None
    noise_bound: float = Field(default=1.5, gt=0)
    noise_rows: int | None = Field(default=None, ge=1)
    hidden: tuple[int, ...] = Field(default=(256, 256), min_length=1)
    heads: int = Field(default=10, ge=2)
    target_heads: int = Field(default=2, ge=1)
    critic_lr: float = Field(default=3e-4, gt=0)
    actor_lr: float = Field(default=3e-4, gt=0)
    temperature_lr: float = Field(default=3e-4, gt=0)
    max_grad_norm: float = Field(default=10.0, gt=0)
    tau: float = Field(default=0.005, gt=0, le=1)
    initial_temperature: float = Field(default=1e-2, gt=0)
    target_entropy: float = Field(default=-0.5, lt=0.6931)
    entropy_backup: bool = False
    target_range: tuple[float, float] | None = None
    acceleration: AccelerationConfig = AccelerationConfig()

    def build(self, base: SteerableBase, seed: int) -> DsrlSac:
        """Return a fresh learner.

        Raises:
            ConfigError: if the base policy cannot be steered, or `noise_rows` does not fit it.
        """
        return DsrlSac(self, base, seed)


class DsrlSac:
    """DSRL-SAC (Wagenmaker et al. 2025, arXiv 2506.15799, section 4): the noise is the action.

    The base policy is a part of the world: a decision is the noise w of a chunk, and a window is
    what of the chunk was played, k <= `execute` steps. The target is
    `sum_{i<k} gamma^i r_{t+i} + gamma^k min Q(o_{t+k}, w')` with w' from the actor. The paper
    sums the rewards of a chunk and discounts once a chunk; discounting by the step, as here, is
    the same return whatever the length of a chunk, also of one that success, a time-out or a
    person cut short. A discount of g a chunk is g^(1 / execute) a step.

    Where a person takes over, the window ends with the last step that the chunk decided, and
    bootstraps from there. Steps that a person drove were no noise's doing: they have no weight.
    Demonstrations have no noise; `needs` says so. w' is drawn from the target encoder's features,
    see `CriticStep`.

    Metrics: `critic_loss`; `q_mean`, `q_max` over heads and rows, of the noise in the data;
    `q_policy` mean over heads and rows, of the actor's noise; `td_error_online` mean absolute;
    `grad_norm_critic`, `grad_norm_actor` before clipping; `actor_loss`; `latent_norm` mean
    Euclidean norm of the actor's noise; `temperature`; `entropy` of noise / bound;
    `dormant_ratio_actor`, `dormant_ratio_critic` every hundredth cycle; `skipped_updates` since
    the start; `skipped_in_a_row` of the network that has skipped most.

    Args:
        config: settings.
        base: the policy that is steered.
        seed: of the initial weights and of all noise.
    """

    def __init__(self, config: DsrlSacConfig, base: SteerableBase, seed: int) -> None:
        self._config = config
        self._base = base
        self._space = LatentSpace.of(base, config.noise_rows, config.noise_bound)
        self.needs = SamplingNeeds(
            starts="plans",
            n_step=base.execute,
            latent_size=self._space.size,
            images=config.vision is not None,
            demonstrations=False,
            device=config.acceleration.device,
        )
        self._acceleration = Acceleration(config.acceleration)
        self._dormancy = DormancyMonitor(("actor", "critic"))
        size = self._space.size
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            encoder = build_encoder(base.observation, base.normaliser, config.keys, config.vision)
            self.actor = GaussianActor(encoder, size, config.hidden)
            critic = CriticEnsemble(
                config.heads, encoder.size + size, config.hidden, config.acceleration.critics
            )
        for network in (self.actor, critic):
            network.to(self._acceleration.device)
        self._generator = self._acceleration.generator(seed)
        self._latents = LatentActor(
            self.actor,
            lambda features, latent: self.critics.value_of(features, latent, None),
            bound=config.noise_bound,
            actor_lr=config.actor_lr,
            temperature_lr=config.temperature_lr,
            max_grad_norm=config.max_grad_norm,
            initial_temperature=config.initial_temperature,
            target_entropy=config.target_entropy * size,
            acceleration=self._acceleration,
        )
        self.critics = CriticStep(encoder, critic, config, self._acceleration)

    @property
    def frame_encoder(self) -> FrameEncoder | None:
        """See `Learner.frame_encoder`."""
        return frozen_part(self._config.vision, self._base.observation.images)

    def update(self, batches: Sequence[Batch], *, train_actor: bool = True) -> dict[str, float]:
        """Do one cycle, see `Learner.update`."""
        batches = [batch.to(self._acceleration.device) for batch in batches]
        metrics, features = [self._critic_step(batch) for batch in batches][-1]
        if train_actor:
            metrics |= self._latents.step(features, self._generator)
        probes = {
            "actor": lambda: self.actor.activations(features),
            "critic": lambda: self.critics.activations(features, batches[-1].latent),
        }
        metrics |= self._dormancy.metrics(probes)
        return {**finite(metrics), **skips(self.critics.adam, *self._latents.adams)}

    def policy(self) -> SteeredPolicy:
        """Return a policy of its own that acts with the weights of now."""
        return SteeredPolicy(on_cpu(deepcopy(self.actor)), self._base, self._space)

    def weights(self) -> dict[str, Tensor]:
        """Return a copy on the CPU of what `SteeredPolicy.load_weights` takes."""
        return copies(self.actor.state_dict())

    def state_dict(self) -> dict[str, Tensor]:
        """Return a flat copy of everything that the next update depends on."""
        return {
            **self._latents.state_dict(),
            **prefixed("critics", self.critics.state_dict()),
            **prefixed("dormancy", self._dormancy.state_dict()),
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take up where `state` was taken: the next updates are bit-identical."""
        self._latents.load_state_dict(state)
        self.critics.load_state_dict(under("critics", state))
        self._dormancy.load_state_dict(under("dormancy", state))
        restore(self._generator, state["generator"])

    def _critic_step(self, batch: Batch) -> tuple[dict[str, float], Tensor]:
        """Return metrics, and the features for the actor, detached."""
        seen = self.critics.encode(batch)
        next_latent, log_prob = self._latents.sample(seen.next_target, self._generator)
        temperature = self._latents.temperature.detach()
        bonus = -temperature * log_prob if self._config.entropy_backup else 0.0
        metrics = self.critics.step(
            seen,
            replace(batch, action=batch.latent),
            next_latent,
            self._generator,
            bonus,
            counts=~batch.human,
        )
        return metrics, seen.now.detach()
