"""The sampler of a distilled student: the whole plan in one call of the network."""

from __future__ import annotations

import torch
from torch import Tensor

from robot_rl.config.model import Config
from robot_rl.core.errors import ConfigError
from robot_rl.policies.sampler.contract import Denoise, GuidedSampler


class OneStepConfig(Config):
    """Settings of `OneStep`; `learning.distillation` makes them from those of the teacher.

    Args:
        step: what the network is told of pure noise.
        noise_gain: a chunk is `noise_gain * noise + network(noise)`.
        teacher: fingerprint of the policy that this one was distilled from.
    """

    step: float = 0.0
    noise_gain: float = 0.0
    teacher: str = ""

    def build(self) -> OneStep:
        """Return the sampler."""
        return OneStep(self)


class OneStep:
    """One call of the network, a `Sampler`.

    With `noise_gain` 1 the network says how far it is from the noise to the chunk, as that of a
    flow does, with 0 it says the chunk.

    Args:
        config: settings.
    """

    steerable = True

    def __init__(self, config: OneStepConfig) -> None:
        self.config = config

    def sample(self, denoise: Denoise, features: Tensor, noise: Tensor) -> Tensor:
        """See `Sampler.sample`."""
        output = denoise(noise, torch.full((len(noise),), self.config.step), features)
        return self.config.noise_gain * noise + output

    def errors(
        self, denoise: Denoise, clean: Tensor, features: Tensor, generator: torch.Generator
    ) -> Tensor:
        """See `Sampler.errors`.

        Raises:
            ConfigError: always: no noise belongs to a demonstrated chunk, so it cannot be learned
                which of several chunks a noise is to become. Only a teacher can tell.
        """
        raise ConfigError(
            "sampler one_step: it learns from a teacher's plans, not from demonstrations; train "
            "with another sampler and set imitate.student"
        )

    def guided(self) -> GuidedSampler:
        """See `Sampler.guided`.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            "sampler one_step: it plans with one call, on which nothing can be guided; set "
            "chunking.mode to trim or ensemble, or play the teacher"
        )

    def one_step(self) -> OneStepConfig:
        """See `Sampler.one_step`.

        Raises:
            ConfigError: always.
        """
        raise ConfigError("sampler one_step: it plans with one call already; nothing to distil")
