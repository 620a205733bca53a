"""The actor of latent steering with its temperature: what both variants of DSRL have in common."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from robot_rl.learning.acceleration import Acceleration
from robot_rl.learning.optimiser import GuardedAdam, copies, prefixed, under
from robot_rl.networks.gaussian_actor import GaussianActor

Value = Callable[[Tensor, Tensor], Tensor]
"""(features float32[b, m], latents float32[b, k]) -> what they are worth float32[b]."""


class LatentActor:
    """A tanh-Gaussian over latents within `+-bound`, trained as in soft actor-critic.

    Haarnoja et al. 2018, arXiv 1812.05905. The temperature is `softplus(w)`, steered towards
    `target_entropy`. Densities and entropy are those of `latent / bound`, which differ from the
    latent's own by a constant.

    Args:
        actor: the network; its encoder is trained by the critics alone.
        value: what the actor maximises, differentiable.
        bound: of each element of a latent.
        actor_lr, temperature_lr, max_grad_norm: see `GuardedAdam`.
        initial_temperature: the weight of the entropy at the start.
        target_entropy: of `latent / bound` [nat].
        acceleration: how the loss is computed, and where.
    """

    def __init__(
        self,
        actor: GaussianActor,
        value: Value,
        *,
        bound: float,
        actor_lr: float,
        temperature_lr: float,
        max_grad_norm: float,
        initial_temperature: float,
        target_entropy: float,
        acceleration: Acceleration,
    ) -> None:
        self.network = actor
        self._value = value
        self._bound = bound
        self._target_entropy = target_entropy
        weight = math.log(math.expm1(initial_temperature))
        self._weight = nn.Parameter(torch.tensor(weight, device=acceleration.device))
        parameters = [*actor.trunk.parameters(), *actor.head.parameters()]
        self._adam = GuardedAdam(parameters, actor_lr, max_grad_norm)
        self._temperature_adam = GuardedAdam([self._weight], temperature_lr, max_grad_norm)
        self._precision = acceleration.precision
        self._compiled_loss = acceleration.compiled(self._loss)

    @property
    def adams(self) -> tuple[GuardedAdam, GuardedAdam]:
        """Of the actor and of the temperature."""
        return self._adam, self._temperature_adam

    @property
    def temperature(self) -> Tensor:
        """The weight of the entropy, a scalar that depends on what is learned."""
        return functional.softplus(self._weight)

    @torch.no_grad()
    def sample(self, features: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return latents float32[b, k] and their log-density float32[b], without gradient."""
        with self._precision():
            action, log_prob = self.network.sample(features, generator)
        return self._bound * action, log_prob

    def step(self, features: Tensor, generator: torch.Generator) -> dict[str, float]:
        """Maximise value plus weighted entropy by one step; move the temperature.

        Args:
            features: float32[b, m], detached.
            generator: of the samples.

        Returns:
            metrics: `actor_loss`, `q_policy`, `entropy`, `temperature`, `latent_norm`,
            `grad_norm_actor`.
        """
        noise = self.network.head.draw(len(features), generator)
        temperature = self.temperature
        with self._precision():
            loss, told = self._compiled_loss(features, noise, temperature.detach())
        norm = self._adam.step(loss)
        self._temperature_adam.step(temperature * (told[2] - self._target_entropy))
        names = ("actor_loss", "q_policy", "entropy", "temperature", "latent_norm")
        return {"grad_norm_actor": norm, **dict(zip(names, told.tolist(), strict=True))}

    def state_dict(self) -> dict[str, Tensor]:
        """Return a flat copy of everything that the next step depends on."""
        return {
            **prefixed("actor", self.network.state_dict()),
            **prefixed("actor_adam", self._adam.state_dict()),
            **prefixed("temperature_adam", self._temperature_adam.state_dict()),
            **copies({"temperature_weight": self._weight}),
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take up where `state` was taken; what else is in it is left alone."""
        self.network.load_state_dict(under("actor", state))
        self._adam.load_state_dict(under("actor_adam", state))
        self._temperature_adam.load_state_dict(under("temperature_adam", state))
        self._weight.data.copy_(state["temperature_weight"])

    def _loss(self, features: Tensor, noise: Tensor, temperature: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss, and float32[5]: loss, value, entropy, temperature, norm of latents.

        Args:
            features: float32[b, m].
            noise: float32[b, k], standard normal.
            temperature: the weight of the entropy, detached.
        """
        action, log_prob = self.network.sample_at(features, noise)
        latent = self._bound * action
        value = self._value(features, latent)
        loss = (temperature * log_prob - value).mean()
        norm = latent.norm(dim=-1).mean()
        told = torch.stack([loss, value.mean(), -log_prob.mean(), temperature, norm])
        return loss, told.detach()
