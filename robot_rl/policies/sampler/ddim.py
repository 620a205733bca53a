"""Denoising diffusion: the schedule it is trained on, and the deterministic sampler."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from robot_rl.config.model import Config
from robot_rl.core.errors import ConfigError
from robot_rl.policies.sampler.contract import Denoise
from robot_rl.policies.sampler.guidance import Guide
from robot_rl.policies.sampler.one_step import OneStepConfig


class DdimConfig(Config):
    """Settings of `Ddim`.

    Args:
        train_steps: length of the diffusion, on a squared-cosine schedule.
        inference_steps: network calls per plan.
        prediction: whether the network predicts the noise, as in the paper, or the clean chunk.
            With 8 calls of a small network the clean chunk comes out sharper: on two modes 99 %
            of the plans lie on one, against 84 %.
        clip_sample: clip the estimate of the clean chunk to [-1, 1] while denoising.
    """

    train_steps: int = Field(default=100, ge=1)
    inference_steps: int = Field(default=8, ge=1)
    prediction: Literal["epsilon", "sample"] = "sample"
    clip_sample: bool = True

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        if self.inference_steps > self.train_steps:
            raise ConfigError(
                f"inference_steps: got {self.inference_steps}, expected at most train_steps "
                f"({self.train_steps})"
            )
        return self

    def build(self) -> Ddim:
        """Return the sampler."""
        return Ddim(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """Coefficients of one DDIM step: square roots of alpha-bar and of its complement."""

    step: int
    signal: float
    noise: float
    next_signal: float
    next_noise: float


class Ddim:
    """DDIM with eta 0 on a squared-cosine schedule, a `Sampler`.

    Song et al. 2020, arXiv 2010.02502, equation 12; trained as Ho et al. 2020, arXiv 2006.11239,
    equation 14. Bit by bit the schedule of diffusers' `DDIMScheduler`, which is not used here: to
    import it takes longer than torch, and one of its steps longer than a small network.

    Args:
        config: settings.
    """

    steerable = True

    def __init__(self, config: DdimConfig) -> None:
        self.config = config
        alpha_bar = squared_cosine(config.train_steps)
        self._signal = alpha_bar.sqrt()
        self._noise = (1.0 - alpha_bar).sqrt()
        self._steps = _coefficients(alpha_bar, config.inference_steps)

    def sample(self, denoise: Denoise, features: Tensor, noise: Tensor) -> Tensor:
        """See `Sampler.sample`."""
        x = noise
        for c in self._steps:
            clean, epsilon = self._estimate(denoise, x, c, features)
            x = self._next(clean, epsilon, c)
        return x

    def guided(self) -> Ddim:
        """See `Sampler.guided`."""
        return self

    def sample_guided(
        self, denoise: Denoise, features: Tensor, noise: Tensor, guide: Guide
    ) -> Tensor:
        """See `GuidedSampler.sample_guided`.

        Divided by signal + noise, a sample lies on a flow's straight path, at the time
        signal / (signal + noise), and a DDIM step is an Euler step there. So the velocity's
        correction counts times the step's length, and both divisions are undone.
        """
        x = noise
        for c in self._steps:

            def step(x: Tensor, c: _Step = c) -> tuple[Tensor, Tensor]:
                clean, epsilon = self._estimate(denoise, x, c, features)
                return clean, self._next(clean, epsilon, c)

            pull, unguided = guide.pull(step, x, c.signal / (c.signal + c.noise))
            x = unguided + (c.next_signal * c.noise - c.signal * c.next_noise) * pull
        return x

    def errors(
        self, denoise: Denoise, clean: Tensor, features: Tensor, generator: torch.Generator
    ) -> Tensor:
        """See `Sampler.errors`: each chunk is diffused to a step drawn uniformly."""
        step = torch.randint(self.config.train_steps, (len(clean),), generator=generator)
        noise = torch.empty_like(clean).normal_(generator=generator)
        output = denoise(self.add_noise(clean, noise, step), step, features)
        target = noise if self.config.prediction == "epsilon" else clean
        return (output - target).square().mean(-1)

    def one_step(self) -> OneStepConfig:
        """See `Sampler.one_step`: the clean chunk, said where the first step is taken.

        Also if this network predicts the noise. To have the chunk from that, its output would be
        scaled by noise / signal, about 4: measured on `peg_insert`, such a student came out at
        nearly twice the distance from its teacher.
        """
        return OneStepConfig(step=self._steps[0].step)

    def add_noise(self, clean: Tensor, noise: Tensor, step: Tensor) -> Tensor:
        """Return float32[b, h, d]: `clean` diffused to `step` int64[b]."""
        signal = self._signal[step][:, None, None]
        return signal * clean + self._noise[step][:, None, None] * noise

    def _estimate(
        self, denoise: Denoise, x: Tensor, c: _Step, features: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the clean chunk that `x` is taken for, not clipped, and the noise in it."""
        output = denoise(x, torch.full((len(x),), c.step, dtype=torch.int64), features)
        if self.config.prediction == "epsilon":
            return (x - c.noise * output) / c.signal, output
        return output, (x - c.signal * output) / c.noise

    def _next(self, clean: Tensor, epsilon: Tensor, c: _Step) -> Tensor:
        if self.config.clip_sample:
            clean = clean.clamp(-1.0, 1.0)
        return c.next_signal * clean + c.next_noise * epsilon


def squared_cosine(steps: int) -> Tensor:
    """Return alpha-bar float32[steps], the share of the clean chunk that is left at each step.

    Nichol and Dhariwal 2021, arXiv 2102.09672, equation 17, no step taking more than 0.999 of it.
    """

    def left(time: float) -> float:
        return math.cos((time + 0.008) / 1.008 * math.pi / 2) ** 2

    betas = [min(1 - left((i + 1) / steps) / left(i / steps), 0.999) for i in range(steps)]
    return torch.cumprod(1.0 - torch.tensor(betas), dim=0)


def _coefficients(alpha_bar: Tensor, inference_steps: int) -> list[_Step]:
    """The coefficients of each step, in the order they are taken: evenly from the noisiest on."""
    stride = len(alpha_bar) // inference_steps

    def left(step: int) -> float:
        return float(alpha_bar[step]) if step >= 0 else 1.0

    return [
        _Step(
            step=step,
            signal=left(step) ** 0.5,
            noise=(1.0 - left(step)) ** 0.5,
            next_signal=left(step - stride) ** 0.5,
            next_noise=(1.0 - left(step - stride)) ** 0.5,
        )
        for step in reversed(range(0, inference_steps * stride, stride))
    ]
