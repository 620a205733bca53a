"""The 1-D U-Net of Diffusion Policy, a denoiser of action chunks (see `networks.denoiser`)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from robot_rl.config.model import Config
from robot_rl.core.errors import ConfigError
from robot_rl.networks.denoiser import StepEmbedding
from robot_rl.networks.mlp import Mlp


class UnetConfig(Config):
    """Settings of `ConditionalUnet1d`.

    Args:
        widths: channels of each level, from the finest; the horizon must divide by
            2^(levels - 1).
        embedding: length of the step embedding, even.
        kernel: length of the convolutions, odd.
        groups: of the group normalisation; must divide every width.
    """

    widths: tuple[int, ...] = Field(default=(32, 64), min_length=1)
    embedding: int = Field(default=32, ge=2, multiple_of=2)
    kernel: int = Field(default=5, ge=1)
    groups: int = Field(default=8, ge=1)

    def build(self, horizon: int, action_size: int, features: int) -> ConditionalUnet1d:
        """Return the network with fresh weights, see `ConditionalUnet1d`."""
        return ConditionalUnet1d(
            horizon,
            action_size,
            features,
            self.widths,
            embedding=self.embedding,
            kernel=self.kernel,
            groups=self.groups,
        )


class ConditionalUnet1d(nn.Module):
    """Convolutions over time with FiLM conditioning (Chi et al. 2023, arXiv 2303.04137).

    Each level has two residual blocks; levels are joined by strided convolutions and skips.

    Args:
        horizon: chunk length, divisible by 2^(levels - 1).
        action_size: number of action elements.
        features: length of the observation features.
        widths: channels of each level, from the finest.
        embedding: length of the step embedding.
        kernel: length of the convolutions, odd.
        groups: of the group normalisation; must divide every width.

    Raises:
        ConfigError: if horizon, kernel or groups are not as stated.
    """

    def __init__(
        self,
        horizon: int,
        action_size: int,
        features: int,
        widths: Sequence[int] = (32, 64),
        embedding: int = 32,
        kernel: int = 5,
        groups: int = 8,
    ) -> None:
        super().__init__()
        _check_sizes(horizon, widths, kernel, groups)
        condition = embedding + features
        self.step = StepEmbedding(embedding)
        self.step_mlp = Mlp(embedding, [4 * embedding], embedding, activation="mish")

        def stage(inputs: int, outputs: int) -> nn.ModuleList:
            return nn.ModuleList(
                [
                    FilmBlock(inputs, outputs, condition, kernel, groups),
                    FilmBlock(outputs, outputs, condition, kernel, groups),
                ]
            )

        levels = [action_size, *widths]
        self.down = nn.ModuleList(stage(a, b) for a, b in zip(levels, widths, strict=False))
        self.shrink = nn.ModuleList(nn.Conv1d(w, w, 3, 2, 1) for w in widths[:-1])
        self.middle = stage(widths[-1], widths[-1])
        rising = list(reversed(widths))
        self.grow = nn.ModuleList(nn.ConvTranspose1d(w, w, 4, 2, 1) for w in rising[:-1])
        self.up = nn.ModuleList(stage(a + b, b) for a, b in itertools.pairwise(rising))
        self.last = nn.Conv1d(widths[0], action_size, 1)

    def forward(self, sample: Tensor, step: Tensor, features: Tensor) -> Tensor:
        """Return the prediction float32[b, h, d]."""
        condition = functional.mish(torch.cat([self.step_mlp(self.step(step)), features], dim=-1))
        x = sample.transpose(1, 2)
        skips: list[Tensor] = []
        for level, blocks in enumerate(self.down):
            x = _run(blocks, x, condition)
            if level < len(self.shrink):
                skips.append(x)
                x = self.shrink[level](x)
        x = _run(self.middle, x, condition)
        for grow, blocks in zip(self.grow, self.up, strict=True):
            x = _run(blocks, torch.cat([grow(x), skips.pop()], dim=1), condition)
        return self.last(x).transpose(1, 2)


class FilmBlock(nn.Module):
    """Two convolutions; the condition scales and shifts the channels between them."""

    def __init__(
        self, inputs: int, outputs: int, condition: int, kernel: int, groups: int
    ) -> None:
        super().__init__()
        self.first = nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2)
        self.first_norm = nn.GroupNorm(groups, outputs)
        self.second = nn.Conv1d(outputs, outputs, kernel, padding=kernel // 2)
        self.second_norm = nn.GroupNorm(groups, outputs)
        self.film = nn.Linear(condition, 2 * outputs)
        self.shortcut = nn.Conv1d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Map float32[b, inputs, h] to float32[b, outputs, h]."""
        gain, shift = self.film(condition)[..., None].chunk(2, dim=1)
        h = functional.mish(self.first_norm(self.first(x)))
        h = torch.addcmul(shift, h, 1.0 + gain)
        h = functional.mish(self.second_norm(self.second(h)))
        return h + self.shortcut(x)


def _run(blocks: nn.Module, x: Tensor, condition: Tensor) -> Tensor:
    for block in blocks.children():
        x = block(x, condition)
    return x


def _check_sizes(horizon: int, widths: Sequence[int], kernel: int, groups: int) -> None:
    if kernel % 2 == 0:
        raise ConfigError(f"kernel: got {kernel}, expected an odd length")
    factor = 2 ** (len(widths) - 1)
    if horizon % factor:
        raise ConfigError(
            f"horizon: got {horizon}, expected a multiple of {factor} for {len(widths)} levels; "
            "change horizon or the number of widths"
        )
    for width in widths:
        if width % groups:
            raise ConfigError(f"widths: got {width}, expected multiples of {groups} (groups)")
