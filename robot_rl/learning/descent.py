"""Supervised descent: AdamW with a warm-up and a cosine, clipped, and the average of the weights.

Imitation and distillation share it; what the loss is, is theirs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from pydantic import Field
from torch import Tensor, nn

from robot_rl.config.model import Config
from robot_rl.core.errors import ContractError
from robot_rl.networks.ema import Ema

Progress = Callable[[int, Mapping[str, float]], None]
"""Called with the number of steps done and the metrics so far."""

PROGRESS_EVERY = 100
_SMOOTHING = 0.02
"""Weight of the newest loss in the running mean."""


class DescentConfig(Config):
    """Settings of `Descent`.

    Args:
        steps: gradient steps.
        batch_size: rows per step, drawn with replacement.
        lr: peak step size of AdamW.
        weight_decay: of AdamW.
        warmup_steps: the step size rises linearly, then falls as a cosine to 0.
        max_grad_norm: gradients are clipped to this norm.
    """

    steps: int = Field(default=5000, ge=1)
    batch_size: int = Field(default=128, ge=1)
    lr: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-6, ge=0)
    warmup_steps: int = Field(default=200, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)


class Descent:
    """Trains the parameters of a model that require a gradient, and averages them.

    Args:
        name: of what is trained, for errors.
        model: trained in place.
        config: settings.
        ema_power, ema_decay: how fast the average's decay grows, and up to what; see `Ema`.
    """

    def __init__(
        self,
        name: str,
        model: nn.Module,
        config: DescentConfig,
        *,
        ema_power: float,
        ema_decay: float,
    ) -> None:
        self.step_count = 0
        self.metrics: dict[str, float] = {}
        """`train_loss`, a running mean."""
        self._name = name
        self._model = model
        self._config = config
        trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self._names = tuple(trained)
        self._parameters = list(trained.values())
        self._ema = Ema(nn.ParameterList(self._parameters), ema_power, ema_decay)
        self._adam = torch.optim.AdamW(
            self._parameters, lr=config.lr, weight_decay=config.weight_decay, fused=True
        )

    def step(self, loss: Tensor) -> None:
        """Minimise a scalar loss by one step.

        Raises:
            ContractError: if the loss is not finite.
        """
        self.step_count += 1
        self._accumulate(loss.item())
        for group in self._adam.param_groups:
            group["lr"] = self._config.lr * learning_rate_share(self.step_count, self._config)
        self._adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self._parameters, self._config.max_grad_norm)
        self._adam.step()
        self._ema.update()

    def report(self, on_progress: Progress | None) -> None:
        """Call it, after every 100th step and the last."""
        last = self.step_count == self._config.steps
        if on_progress and (last or self.step_count % PROGRESS_EVERY == 0):
            on_progress(self.step_count, self.metrics)

    def averaged(self) -> dict[str, Tensor]:
        """Return the model's `state_dict` with the averages of what is trained."""
        average = dict(zip(self._names, self._ema.model.parameters(), strict=True))
        return {**self._model.state_dict(), **average}

    def _accumulate(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise ContractError(
                f"{self._name}: the loss is {loss} at step {self.step_count}; look for values in "
                "the demonstrations that are not finite, or lower lr"
            )
        before = self.metrics.get("train_loss", loss)
        self.metrics["train_loss"] = before + _SMOOTHING * (loss - before)


def learning_rate_share(step: int, config: DescentConfig) -> float:
    """Return the share of the peak step size at `step`, counted from 1."""
    if step <= config.warmup_steps:
        return step / config.warmup_steps
    progress = (step - config.warmup_steps) / max(config.steps - config.warmup_steps, 1)
    return 0.5 * (1.0 + math.cos(math.pi * progress))


def masked_mean(errors: Tensor, valid: Tensor) -> Tensor:
    """Return the mean of errors float32[b, h] where bool[b, h] is True; 0 if it nowhere is."""
    return (errors * valid).sum() / valid.sum().clamp(min=1)
