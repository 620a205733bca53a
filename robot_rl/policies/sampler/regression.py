"""Plain behaviour cloning: the network says the chunk."""

from __future__ import annotations

import torch
from torch import Tensor

from robot_rl.config.model import Config
from robot_rl.core.errors import ConfigError
from robot_rl.policies.sampler.contract import Denoise, GuidedSampler
from robot_rl.policies.sampler.one_step import OneStepConfig


class RegressionConfig(Config):
    """Settings of `Regression`: none."""

    def build(self) -> Regression:
        """Return the sampler."""
        return Regression()


class Regression:
    """The mean of the chunks that were demonstrated here, whatever the noise; a `Sampler`.

    One call and no randomness, but where demonstrations differ (left or right around something)
    the mean is what nobody showed. For comparison, and where they do not differ.
    """

    steerable = False

    def sample(self, denoise: Denoise, features: Tensor, noise: Tensor) -> Tensor:
        """See `Sampler.sample`; the noise gives nothing but the shape."""
        return _predict(denoise, features, noise)

    def errors(
        self, denoise: Denoise, clean: Tensor, features: Tensor, generator: torch.Generator
    ) -> Tensor:
        """See `Sampler.errors`; nothing is drawn."""
        return (_predict(denoise, features, clean) - clean).square().mean(-1)

    def guided(self) -> GuidedSampler:
        """See `Sampler.guided`.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            "sampler regression: it plans with one call, on which nothing can be guided; set "
            "chunking.mode to trim or ensemble, or train with the ddim or the flow sampler"
        )

    def one_step(self) -> OneStepConfig:
        """See `Sampler.one_step`.

        Raises:
            ConfigError: always.
        """
        raise ConfigError("sampler regression: it plans with one call already; nothing to distil")


def _predict(denoise: Denoise, features: Tensor, like: Tensor) -> Tensor:
    return denoise(torch.zeros_like(like), torch.zeros(len(like)), features)
