"""What a sampler must be able to do to make chunks. Structural: nothing inherits from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from robot_rl.config.model import Config
from robot_rl.policies.sampler.guidance import Guide

Denoise = Callable[[Tensor, Tensor, Tensor], Tensor]
"""The network: (sample float32[b, h, d], step [b], features float32[b, m]) -> float32[b, h, d].

`step` is an integer or a float, from 0 for a clean sample to about 100 for pure noise.
"""


class Sampler(Protocol):
    """Turns noise into chunks with a network, and says what that network is to be trained on.

    Its config is a component whose `build()` takes nothing.
    """

    steerable: bool
    """Whether the noise decides which of several possible chunks comes out."""

    def sample(self, denoise: Denoise, features: Tensor, noise: Tensor) -> Tensor:
        """Return chunks float32[b, h, d], deterministic given the noise, not clipped.

        Args:
            denoise: the network.
            features: float32[b, m], of the observations.
            noise: float32[b, h, d], standard normal.
        """
        ...

    def errors(
        self, denoise: Denoise, clean: Tensor, features: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Return the training error float32[b, h] of each action: squared, mean over elements.

        Args:
            denoise: the network, with gradient.
            clean: float32[b, h, d], the demonstrated chunks.
            features: float32[b, m], of the observations.
            generator: of whatever is drawn.

        Raises:
            ConfigError: if demonstrations cannot teach it.
        """
        ...

    def guided(self) -> GuidedSampler:
        """Return itself, if its chunks can be made to fit to the one in play.

        Raises:
            ConfigError: if they cannot.
        """
        ...

    def one_step(self) -> Config:
        """Return the `OneStepConfig` with which a student of this sampler learns best.

        Raises:
            ConfigError: if a plan takes one call already.
        """
        ...


class GuidedSampler(Protocol):
    """A sampler that comes to a chunk in steps, so that it can be drawn aside on the way."""

    def sample_guided(
        self, denoise: Denoise, features: Tensor, noise: Tensor, guide: Guide
    ) -> Tensor:
        """Return chunks as `Sampler.sample` does, drawn towards what is being played.

        With a mask of zeros they are equal to those of `Sampler.sample`.

        Args:
            denoise: the network; it is differentiated, so not in inference mode.
            features: float32[b, m], of the observations.
            noise: float32[b, h, d], standard normal.
            guide: what is being played.
        """
        ...
