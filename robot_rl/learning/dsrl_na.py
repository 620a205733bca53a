"""Latent steering with a critic of executed chunks. Acting: `robot_rl.policies.steered`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

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
from robot_rl.learning.optimiser import GuardedAdam, copies, finite, prefixed, skips, under
from robot_rl.networks.critic import CriticEnsemble
from robot_rl.networks.dormancy import DormancyMonitor
from robot_rl.networks.encoder import build_encoder
from robot_rl.networks.gaussian_actor import GaussianActor
from robot_rl.policies.steered import LatentSpace, SteerableBase, SteeredPolicy


class DsrlNaConfig(Config):
    """Settings of `DsrlNa`.

    Args:
        keys: observation vectors that actor and critics see; empty for all.
        vision: how they see the cameras, see `build_encoder`; without it they see none.
        noise_bound: bound of each element of the noise; the paper's b, 1.5.
        noise_rows: rows of noise that are chosen, each for an equal part of the chunk, see
            `LatentSpace`; null for one a planned action.
        hidden: sizes of the hidden layers of actor and critics.
        heads, target_heads: critics of chunks, and how many random ones the target takes the
            minimum of.
        noise_heads: critics of noises.
        distill_steps: steps of the noise critics a cycle, each from noise of its own.
        actor_share: part of that noise that is the actor's and not standard normal; 0 in the
            paper. With many elements the actor goes where standard normal noise never is.
        critic_lr, actor_lr, temperature_lr: step sizes of Adam; both critics have one.
        max_grad_norm: gradients are clipped to this norm.
        tau: Polyak rate of the target, after each critic step.
        initial_temperature: the weight of the entropy at the start.
        target_entropy: per element of the noise, of noise / bound [nat]; log 2 is uniform.
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
    noise_heads: int = Field(default=2, ge=1)
    distill_steps: int = Field(default=10, ge=1)
    actor_share: float = Field(default=0.0, ge=0, lt=1)
    critic_lr: float = Field(default=3e-4, gt=0)
    actor_lr: float = Field(default=3e-4, gt=0)
    temperature_lr: float = Field(default=3e-4, gt=0)
    max_grad_norm: float = Field(default=10.0, gt=0)
    tau: float = Field(default=0.005, gt=0, le=1)
    initial_temperature: float = Field(default=1e-2, gt=0)
    target_entropy: float = Field(default=-0.5, lt=0.6931)
    target_range: tuple[float, float] | None = None
    acceleration: AccelerationConfig = AccelerationConfig()

    def build(self, base: SteerableBase, seed: int) -> DsrlNa:
        """Return a fresh learner.

        Raises:
            ConfigError: if the base policy cannot be steered, or `noise_rows` does not fit it.
        """
        return DsrlNa(self, base, seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lesson:
    """What the noise critics learn from: a batch and its features, detached."""

    batch: Batch
    features: Tensor


class DsrlNa:
    """DSRL-NA (Wagenmaker et al. 2025, arXiv 2506.15799, section 4.2 and algorithm 1).

    Many noises lead to one chunk (noise aliasing). So one critic is of what was executed, the
    `k <= execute` actions of a window from any step, whoever drove, with the target
    `sum_{i<k} gamma^i r_{t+i} + gamma^k min Q_A(o_{t+k}, base(o_{t+k}, w'))`, w' from the actor.
    It needs no noise in the data, so demonstrations and corrections are learned from too. A
    window that was cut short without termination has fewer actions than a chunk: it has no
    weight. A second critic is regressed on `Q_W(o, w) <- Q_A(o, base(o, w))`, w ~ N(0, I), and
    the actor maximises that one. Q_A and Q_W share an encoder, which the loss of Q_A trains; w' is
    drawn from the target encoder's features, see `CriticStep`.

    A cycle plans `b (batches + distill_steps)` chunks, so its cost is that of the base: one with
    a one-step sampler is as many times cheaper as it saves network calls. The base plans on the
    CPU, wherever the rest computes.

    Metrics: `critic_loss`; `q_mean`, `q_max` of Q_A over heads and rows, of the chunks in the
    data; `q_policy` of Q_W, of the actor's noise; `td_error_online`, `td_error_offline` mean
    absolute, of Q_A; `distill_loss` of Q_W; `grad_norm_critic`, `grad_norm_noise_critic`,
    `grad_norm_actor` before clipping; `actor_loss`; `latent_norm` mean Euclidean norm of the
    actor's noise; `temperature`; `entropy` of noise / bound; `dormant_ratio_actor`,
    `dormant_ratio_critic`, `dormant_ratio_noise_critic` every hundredth cycle;
    `skipped_updates` since the start; `skipped_in_a_row` of the network that has skipped most.

    Args:
        config: settings.
        base: the policy that is steered.
        seed: of the initial weights and of all noise.
    """

    def __init__(self, config: DsrlNaConfig, base: SteerableBase, seed: int) -> None:
        self._config = config
        self._base = base
        self._space = LatentSpace.of(base, config.noise_rows, config.noise_bound)
        self._execute = base.execute
        self.needs = SamplingNeeds(
            n_step=self._execute,
            latent_size=self._space.size,
            actions=True,
            images=config.vision is not None or base.sees_images,
            device=config.acceleration.device,
        )
        self._acceleration = Acceleration(config.acceleration)
        self._dormancy = DormancyMonitor(("actor", "critic", "noise_critic"))
        size = self._space.size
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            encoder = build_encoder(base.observation, base.normaliser, config.keys, config.vision)
            self.actor = GaussianActor(encoder, size, config.hidden)
            chunk = self._execute * base.action.size
            form = config.acceleration.critics
            critic = CriticEnsemble(config.heads, encoder.size + chunk, config.hidden, form)
            self.noise_critic = CriticEnsemble(
                config.noise_heads, encoder.size + size, config.hidden, form
            )
        for network in (self.actor, critic, self.noise_critic):
            network.to(self._acceleration.device)
        self._generator = self._acceleration.generator(seed)
        self._latents = LatentActor(
            self.actor,
            self._noise_value,
            bound=config.noise_bound,
            actor_lr=config.actor_lr,
            temperature_lr=config.temperature_lr,
            max_grad_norm=config.max_grad_norm,
            initial_temperature=config.initial_temperature,
            target_entropy=config.target_entropy * size,
            acceleration=self._acceleration,
        )
        self._noise_adam = GuardedAdam(
            self.noise_critic.parameters(), config.critic_lr, config.max_grad_norm
        )
        self._compiled_loss = self._acceleration.compiled(self._noise_loss)
        self.critics = CriticStep(encoder, critic, config, self._acceleration)

    @property
    def frame_encoder(self) -> FrameEncoder | None:
        """See `Learner.frame_encoder`; None too where the base plans from the images itself."""
        if self._base.sees_images:
            return None
        return frozen_part(self._config.vision, self._base.observation.images)

    def update(self, batches: Sequence[Batch], *, train_actor: bool = True) -> dict[str, float]:
        """Do one cycle, see `Learner.update`; the noise critics learn in warm-up too."""
        batches = [batch.to(self._acceleration.device) for batch in batches]
        lessons: list[_Lesson] = []
        metrics: dict[str, float] = {}
        features = torch.empty(0)
        for batch in batches:
            skipped = self.critics.adam.skipped
            metrics, features = self._critic_step(batch)
            # A batch that the critics refused has nothing to teach the noise critics.
            if self.critics.adam.skipped == skipped:
                lessons.append(_Lesson(batch=batch, features=features))
        if lessons:
            metrics |= self._distil(lessons)
        if train_actor:
            metrics |= self._latents.step(features, self._generator)
        metrics |= self._dormant(features, batches[-1])
        adams = (self.critics.adam, self._noise_adam, *self._latents.adams)
        return {**finite(metrics), **skips(*adams)}

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
            **prefixed("noise_critic", self.noise_critic.state_dict()),
            **prefixed("noise_adam", self._noise_adam.state_dict()),
            **prefixed("dormancy", self._dormancy.state_dict()),
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take up where `state` was taken: the next updates are bit-identical."""
        self._latents.load_state_dict(state)
        self.critics.load_state_dict(under("critics", state))
        self.noise_critic.load_state_dict(under("noise_critic", state))
        self._noise_adam.load_state_dict(under("noise_adam", state))
        self._dormancy.load_state_dict(under("dormancy", state))
        restore(self._generator, state["generator"])

    @torch.no_grad()
    def chunk(self, observation: Tensor, images: Mapping[str, Tensor], latent: Tensor) -> Tensor:
        """Return what the base would play from latents float32[b, k], float32[b, execute * d]."""
        noise = self._space.noise(latent).cpu()
        seen = {key: image.cpu() for key, image in images.items()}
        plan = self._base.plan(observation.cpu(), seen, noise)
        return plan[:, : self._execute].flatten(1).to(latent.device)

    def _critic_step(self, batch: Batch) -> tuple[dict[str, float], Tensor]:
        """Return metrics of Q_A, and the features for the others, detached."""
        seen = self.critics.encode(batch)
        latent, _ = self._latents.sample(seen.next_target, self._generator)
        metrics = self.critics.step(
            seen,
            replace(batch, action=batch.actions.flatten(1)),
            self.chunk(batch.next_observation, batch.next_images, latent),
            self._generator,
            counts=(batch.steps == self._execute) | (batch.discount == 0.0),
        )
        return metrics, seen.now.detach()

    def _distil(self, lessons: Sequence[_Lesson]) -> dict[str, float]:
        """Regress Q_W on Q_A, `distill_steps` times over the batches in turn."""
        metrics: dict[str, float] = {}
        for step in range(self._config.distill_steps):
            lesson = lessons[step % len(lessons)]
            batch, features = lesson.batch, lesson.features
            latent = self._distilled_noise(features)
            chunk = self.chunk(batch.observation, batch.images, latent)
            with self._acceleration.precision():
                loss = self._compiled_loss(features, latent, chunk)
            metrics = {
                "grad_norm_noise_critic": self._noise_adam.step(loss),
                "distill_loss": loss.item(),
            }
        return metrics

    def _distilled_noise(self, features: Tensor) -> Tensor:
        """Return latents float32[b, k]: standard normal, in a share of all rows the actor's."""
        latent, share = self._space.draw(len(features), self._generator), self._config.actor_share
        if share == 0.0:
            return latent
        chosen, _ = self._latents.sample(features, self._generator)
        # Drawn by row: a batch has its online rows first and its offline rows last.
        odds = torch.rand(len(features), 1, generator=self._generator, device=latent.device)
        return torch.where(odds < share, chosen, latent)

    def _noise_loss(self, features: Tensor, latent: Tensor, chunk: Tensor) -> Tensor:
        with torch.no_grad():
            y = self.critics.value_of(features, chunk, None)
        q = self.noise_critic(torch.cat([features, latent], dim=-1)).float()
        return (q - y).square().mean()

    def _noise_value(self, features: Tensor, latent: Tensor) -> Tensor:
        return self.noise_critic(torch.cat([features, latent], dim=-1)).float().mean(0)

    def _dormant(self, features: Tensor, batch: Batch) -> dict[str, float]:
        def noise_critic() -> list[Tensor]:
            latent = self._space.draw(len(features), torch.Generator().manual_seed(0))
            x = torch.cat([features, latent.to(features.device)], dim=-1)
            return self.noise_critic.activations(x)

        probes = {
            "actor": lambda: self.actor.activations(features),
            "critic": lambda: self.critics.activations(features, batch.actions.flatten(1)),
            "noise_critic": noise_critic,
        }
        return self._dormancy.metrics(probes)
