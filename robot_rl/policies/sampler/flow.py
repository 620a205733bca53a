"""Flow matching: straight paths from noise to chunks, followed by an ODE solver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from robot_rl.config.model import Config
from robot_rl.policies.sampler.contract import Denoise
from robot_rl.policies.sampler.guidance import Guide
from robot_rl.policies.sampler.one_step import OneStepConfig

NOISE_STEP = 100.0
"""What the network is told of pure noise; it falls to 0 along the path."""


class FlowConfig(Config):
    """Settings of `Flow`.

    Args:
        inference_steps: steps of the solver per plan.
        method: `euler` calls the network once a step, `midpoint` twice.
    """

    inference_steps: int = Field(default=8, ge=1)
    method: Literal["euler", "midpoint"] = "euler"

    def build(self) -> Flow:
        """Return the sampler."""
        return Flow(self)


class Flow:
    """Conditional flow matching on linear paths (rectified flow), a `Sampler`.

    Lipman et al. 2022, arXiv 2210.02747: `errors` is equation 23 with sigma_min = 0, that is
    x_t = (1 - t) noise + t clean and the velocity clean - noise; `sample` solves equation 1
    from t = 0 to 1.

    Args:
        config: settings.
    """

    steerable = True

    def __init__(self, config: FlowConfig) -> None:
        self.config = config

    def sample(self, denoise: Denoise, features: Tensor, noise: Tensor) -> Tensor:
        """See `Sampler.sample`."""

        def velocity(x: Tensor, t: float) -> Tensor:
            return _slope(denoise, x, t, features)

        return self._follow(velocity, noise)

    def guided(self) -> Flow:
        """See `Sampler.guided`."""
        return self

    def sample_guided(
        self, denoise: Denoise, features: Tensor, noise: Tensor, guide: Guide
    ) -> Tensor:
        """See `GuidedSampler.sample_guided`: the velocity of equation 2 takes the place of its."""

        def velocity(x: Tensor, t: float) -> Tensor:
            def estimate(x: Tensor) -> tuple[Tensor, Tensor]:
                slope = _slope(denoise, x, t, features)
                return x + (1.0 - t) * slope, slope

            pull, slope = guide.pull(estimate, x, t)
            return slope + pull

        return self._follow(velocity, noise)

    def errors(
        self, denoise: Denoise, clean: Tensor, features: Tensor, generator: torch.Generator
    ) -> Tensor:
        """See `Sampler.errors`: the time on the path is drawn uniformly."""
        t = torch.rand(len(clean), generator=generator)
        noise = torch.empty_like(clean).normal_(generator=generator)
        x = torch.lerp(noise, clean, t[:, None, None])
        output = denoise(x, NOISE_STEP * (1.0 - t), features)
        return (output - (clean - noise)).square().mean(-1)

    def one_step(self) -> OneStepConfig:
        """See `Sampler.one_step`: a single Euler step."""
        return OneStepConfig(step=NOISE_STEP, noise_gain=1.0)

    def _follow(self, velocity: Callable[[Tensor, float], Tensor], x: Tensor) -> Tensor:
        """Solve dx/dt = velocity(x, t) from t = 0 to 1."""
        dt = 1.0 / self.config.inference_steps
        for step in range(self.config.inference_steps):
            t = step * dt
            slope = velocity(x, t)
            if self.config.method == "midpoint":
                slope = velocity(x + 0.5 * dt * slope, t + 0.5 * dt)
            x = x + dt * slope
        return x


def _slope(denoise: Denoise, x: Tensor, t: float, features: Tensor) -> Tensor:
    return denoise(x, torch.full((len(x),), NOISE_STEP * (1.0 - t)), features)
