"""The diffusion schedule and the deterministic sampler. The network is handed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from torch import Tensor

Prediction = Literal["epsilon", "sample"]
Denoise = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(noisy sample [b, h, d], diffusion step int64[b], features [b, m]) -> prediction [b, h, d]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """Coefficients of one DDIM step: square roots of alpha-bar and of its complement."""

    step: int
    signal: float
    noise: float
    next_signal: float
    next_noise: float


class Ddim:
    """DDIM with eta 0 on a squared-cosine schedule.

    Song et al. 2020, arXiv 2010.02502, equation 12. The schedule is diffusers' `DDIMScheduler`;
    its coefficients are read once, because its `step` costs more than a small network on a CPU.

    Args:
        train_steps: length of the diffusion the network is trained on.
        inference_steps: number of network calls per sample.
        prediction: whether the network predicts the noise or the clean sample.
        clip_sample: clip the estimate of the clean sample to [-1, 1] in each step.
    """

    def __init__(
        self,
        *,
        train_steps: int,
        inference_steps: int,
        prediction: Prediction,
        clip_sample: bool,
    ) -> None:
        self.prediction = prediction
        self.clip_sample = clip_sample
        self.scheduler = DDIMScheduler(
            num_train_timesteps=train_steps,
            beta_schedule="squaredcos_cap_v2",
            clip_sample=clip_sample,
            prediction_type=prediction,
        )
        self.scheduler.set_timesteps(inference_steps)
        self._signal = self.scheduler.alphas_cumprod.sqrt()
        self._noise = (1.0 - self.scheduler.alphas_cumprod).sqrt()
        self._steps = _coefficients(self.scheduler, train_steps // inference_steps)

    @torch.inference_mode()
    def sample(self, denoise: Denoise, features: Tensor, noise: Tensor) -> Tensor:
        """Turn noise float32[b, h, d] into a sample; deterministic given the noise."""
        x = noise
        for c in self._steps:
            step = torch.full((len(x),), c.step, dtype=torch.int64)
            output = denoise(x, step, features)
            if self.prediction == "epsilon":
                clean, epsilon = (x - c.noise * output) / c.signal, output
            else:
                clean, epsilon = output, (x - c.signal * output) / c.noise
            if self.clip_sample:
                clean = clean.clamp(-1.0, 1.0)
            x = c.next_signal * clean + c.next_noise * epsilon
        return x

    def add_noise(self, clean: Tensor, noise: Tensor, step: Tensor) -> Tensor:
        """Return float32[b, h, d]: `clean` diffused to `step` int64[b]."""
        signal = self._signal[step][:, None, None]
        return signal * clean + self._noise[step][:, None, None] * noise

    def target(self, clean: Tensor, noise: Tensor) -> Tensor:
        """Return what the network is to predict."""
        return noise if self.prediction == "epsilon" else clean


def _coefficients(scheduler: DDIMScheduler, stride: int) -> list[_Step]:
    """Read the coefficients of each step off the scheduler, in the order they are taken."""

    def alpha_bar(step: int) -> float:
        alphas = scheduler.alphas_cumprod[step] if step >= 0 else scheduler.final_alpha_cumprod
        return float(alphas)

    return [
        _Step(
            step=step,
            signal=alpha_bar(step) ** 0.5,
            noise=(1.0 - alpha_bar(step)) ** 0.5,
            next_signal=alpha_bar(step - stride) ** 0.5,
            next_noise=(1.0 - alpha_bar(step - stride)) ** 0.5,
        )
        for step in scheduler.timesteps.tolist()
    ]
