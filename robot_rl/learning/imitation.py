"""Behaviour cloning of a `ChunkPolicy` from windows of demonstrations."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from copy import deepcopy

import torch
from pydantic import Field
from torch import Tensor, nn

from robot_rl.config.model import Config
from robot_rl.core.errors import ContractError
from robot_rl.data.chunks import ChunkData
from robot_rl.networks.ema import Ema
from robot_rl.policies.chunk_policy import ChunkPolicy

Progress = Callable[[int, Mapping[str, float]], None]
"""Called with the number of steps done and the metrics so far."""

PROGRESS_EVERY = 100
HELD_OUT_DRAWS = 4
"""Noise draws per held-out window: the loss at one random diffusion step is noisy."""


class ImitationConfig(Config):
    """Settings of `train_policy`.

    Args:
        steps: gradient steps.
        batch_size: windows per step, drawn with replacement.
        lr: peak step size of AdamW.
        weight_decay: of AdamW.
        warmup_steps: the step size rises linearly, then falls as a cosine to 0.
        ema_power: see `Ema`.
        max_grad_norm: gradients are clipped to this norm.
        held_out: share of the windows, the last ones, that is only evaluated on. Windows are in
            the order of the episodes, so few episodes are in both parts.
    """

    steps: int = Field(default=5000, ge=1)
    batch_size: int = Field(default=128, ge=1)
    lr: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-6, ge=0)
    warmup_steps: int = Field(default=200, ge=0)
    ema_power: float = Field(default=0.75, gt=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    held_out: float = Field(default=0.1, ge=0, lt=1)


def train_policy(
    policy: ChunkPolicy,
    data: ChunkData,
    config: ImitationConfig,
    seed: int,
    on_progress: Progress | None = None,
) -> dict[str, float]:
    """Fit the policy's network to the data; its averaged weights end up in the policy.

    Deterministic under a seed on one machine and thread count.

    Args:
        policy: trained in place, from the weights it has.
        data: windows of the policy's horizon.
        config: settings.
        seed: of batches, diffusion steps and noise.
        on_progress: called every 100 steps and after the last.

    Returns:
        `train_loss`, a running mean, and `held_out_loss` of the averaged weights, absent if
        nothing is held out.

    Raises:
        ContractError: if the data does not fit the policy, or a loss is not finite.
    """
    _check(policy, data)
    generator = torch.Generator().manual_seed(seed)
    train, held_out = _split(policy, data, config.held_out)
    network = deepcopy(policy.denoiser).requires_grad_(True).train()
    ema = Ema(network, config.ema_power)
    adam = torch.optim.AdamW(
        network.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True
    )
    metrics: dict[str, float] = {}
    for step in range(1, config.steps + 1):
        for group in adam.param_groups:
            group["lr"] = config.lr * _schedule(step, config)
        rows = torch.randint(len(train), (config.batch_size,), generator=generator)
        loss = masked_loss(policy, network, train.rows(rows), generator)
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), config.max_grad_norm)
        adam.step()
        ema.update()
        _accumulate(metrics, loss.item(), step)
        if on_progress and (step % PROGRESS_EVERY == 0 or step == config.steps):
            on_progress(step, metrics)
    policy.load_denoiser(ema.model.state_dict())
    if len(held_out):
        metrics["held_out_loss"] = _held_out_loss(policy, held_out, seed)
    return metrics


class Windows:
    """`ChunkData` as tensors, with features instead of observations."""

    def __init__(self, features: Tensor, action: Tensor, valid: Tensor) -> None:
        self.features = features
        self.action = action
        self.valid = valid

    def __len__(self) -> int:
        return len(self.features)

    def rows(self, rows: Tensor | slice) -> Windows:
        """Return the windows at `rows`."""
        return Windows(self.features[rows], self.action[rows], self.valid[rows])


def masked_loss(
    policy: ChunkPolicy, network: nn.Module, windows: Windows, generator: torch.Generator
) -> Tensor:
    """Return the mean squared error of the prediction over valid actions.

    Each window is diffused to a step drawn uniformly (Ho et al. 2020, arXiv 2006.11239, eq. 14).
    """
    clean = windows.action
    step = torch.randint(policy.config.train_steps, (len(clean),), generator=generator)
    noise = torch.empty_like(clean).normal_(generator=generator)
    output = network(policy.sampler.add_noise(clean, noise, step), step, windows.features)
    error = (output - policy.sampler.target(clean, noise)).square().mean(-1)
    return (error * windows.valid).sum() / windows.valid.sum().clamp(min=1)


def _check(policy: ChunkPolicy, data: ChunkData) -> None:
    expected = (policy.observation.packed_size, policy.config.horizon, policy.action.size)
    got = (data.observation.shape[-1], *data.action.shape[1:])
    if got != expected or not len(data):
        raise ContractError(
            f"chunks: got {len(data)} windows of (observation, horizon, action) {got}, "
            f"expected at least 1 of {expected}"
        )


def _split(policy: ChunkPolicy, data: ChunkData, held_out: float) -> tuple[Windows, Windows]:
    """Return the first windows to train on and the last ones to evaluate on."""
    windows = Windows(
        policy.encoder(torch.from_numpy(data.observation)),
        torch.from_numpy(data.action),
        torch.from_numpy(data.valid),
    )
    train = len(data) - int(len(data) * held_out)
    return windows.rows(slice(train)), windows.rows(slice(train, None))


def _schedule(step: int, config: ImitationConfig) -> float:
    """Return the share of the peak step size at `step`, counted from 1."""
    if step <= config.warmup_steps:
        return step / config.warmup_steps
    progress = (step - config.warmup_steps) / max(config.steps - config.warmup_steps, 1)
    return 0.5 * (1.0 + math.cos(math.pi * progress))


def _accumulate(metrics: dict[str, float], loss: float, step: int) -> None:
    if not math.isfinite(loss):
        raise ContractError(
            f"imitation: the loss is {loss} at step {step}; look for values in the demonstrations "
            "that are not finite, or lower lr"
        )
    before = metrics.get("train_loss", loss)
    metrics["train_loss"] = before + 0.02 * (loss - before)


@torch.no_grad()
def _held_out_loss(policy: ChunkPolicy, windows: Windows, seed: int) -> float:
    generator = torch.Generator().manual_seed(seed)
    losses = [
        masked_loss(policy, policy.denoiser, windows, generator).item()
        for _ in range(HELD_OUT_DRAWS)
    ]
    return sum(losses) / len(losses)
