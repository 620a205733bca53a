"""The U-Net of `networks.unet` laid out for inference: the same numbers up to rounding, sooner."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from robot_rl.networks.unet import ConditionalUnet1d, FilmBlock


class LeanUnet(nn.Module):
    """What a `ConditionalUnet1d` computes, for plans of many steps from the same features.

    **A convolution is a product of windows and weights**, channels innermost. On a CPU `conv1d`
    brings its weights into another order at each call, which in wide layers of short chunks takes
    three quarters of the time. **The condition is split**: FiLM is linear in
    mish([step, features]), so the part of the features is computed once a plan, and that of a
    step once and for all.

    Args:
        network: its weights are copied.
    """

    film_of_step: Tensor
    film_of_features: Tensor
    film_bias: Tensor

    def __init__(self, network: ConditionalUnet1d) -> None:
        super().__init__()
        stages = [*network.down, network.middle, *network.up]
        blocks = [cast(FilmBlock, block) for stage in stages for block in stage.children()]
        self.step, self.step_mlp = deepcopy(network.step), deepcopy(network.step_mlp)
        # Not layers, as they would be rounded to 8 bits though nothing waits for them.
        film = torch.cat([block.film.weight.detach() for block in blocks])
        embedding = network.step_mlp.layers[-1].out_features
        self.register_buffer("film_of_step", film[:, :embedding].clone())
        self.register_buffer("film_of_features", film[:, embedding:].clone())
        self.register_buffer("film_bias", torch.cat([b.film.bias.detach() for b in blocks]))
        self._widths = [block.film.out_features for block in blocks]
        self.down, self.up = (
            nn.ModuleList(_stage(stage) for stage in side) for side in (network.down, network.up)
        )
        self.middle = _stage(network.middle)
        self.shrink = nn.ModuleList(_Conv(cast(nn.Conv1d, conv)) for conv in network.shrink)
        self.grow = nn.ModuleList(_Grow(cast(nn.ConvTranspose1d, c)) for c in network.grow)
        self.last = _Conv(network.last)
        self._step_parts: dict[float, Tensor] = {}
        self.requires_grad_(False)

    def given(self, features: Tensor) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
        """Return the denoiser for these features float32[b, m]; it does not look at others.

        All rows of a call must be at the same step, as samplers have them.
        """
        part = functional.linear(functional.mish(features), self.film_of_features)

        def denoise(sample: Tensor, step: Tensor, _: Tensor) -> Tensor:
            return self(sample, self._step_part(step[:1]) + part)

        return denoise

    def forward(self, sample: Tensor, film: Tensor) -> Tensor:
        """Return the prediction float32[b, h, d].

        Args:
            sample: float32[b, h, d].
            film: float32[b, k], gains and shifts of all blocks, one after the other.
        """
        films = iter(film[:, None].split(self._widths, dim=-1))
        x = sample
        skips: list[Tensor] = []
        for level, stage in enumerate(self.down):
            x = _run(stage, x, films)
            if level < len(self.shrink):
                skips.append(x)
                x = self.shrink[level](x)
        x = _run(self.middle, x, films)
        for grow, stage in zip(self.grow, self.up, strict=True):
            x = _run(stage, torch.cat([grow(x), skips.pop()], dim=-1), films)
        return self.last(x)

    def _step_part(self, step: Tensor) -> Tensor:
        """The part of FiLM that a step [1] decides; of the few of a sampler each is kept."""
        key = step.item()
        if key not in self._step_parts:
            # Kept longer than the call: for a derivative it must be no tensor of inference mode.
            with torch.inference_mode(mode=False), torch.no_grad():
                known = torch.tensor([key], device=self.film_bias.device)
                condition = functional.mish(self.step_mlp(self.step(known)))
                self._step_parts[key] = functional.linear(
                    condition, self.film_of_step, self.film_bias
                )
        return self._step_parts[key]


class _Block(nn.Module):
    """A `FilmBlock` on float32[b, h, inputs]; gain and shift come from outside."""

    def __init__(self, block: FilmBlock) -> None:
        super().__init__()
        self.first, self.second = _Conv(block.first), _Conv(block.second)
        self.first_norm = deepcopy(block.first_norm)
        self.second_norm = deepcopy(block.second_norm)
        shortcut = block.shortcut
        self.shortcut = _Conv(shortcut) if isinstance(shortcut, nn.Conv1d) else nn.Identity()

    def forward(self, x: Tensor, film: Tensor) -> Tensor:
        gain, shift = film.chunk(2, dim=-1)
        h = functional.mish(_normalised(self.first_norm, self.first(x)))
        h = torch.addcmul(shift, h, 1.0 + gain)
        h = functional.mish(_normalised(self.second_norm, self.second(h)))
        return h + self.shortcut(x)


class _Conv(nn.Module):
    """A `Conv1d` on float32[b, h, inputs]."""

    def __init__(self, conv: nn.Conv1d) -> None:
        super().__init__()
        self._kernel, self._stride = conv.kernel_size[0], conv.stride[0]
        self._padding = cast(tuple[int, ...], conv.padding)[0]
        self.product = _linear(conv.weight.transpose(1, 2).flatten(1), conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        if self._kernel > 1:
            padded = functional.pad(x, (0, 0, self._padding, self._padding))
            x = padded.unfold(1, self._kernel, self._stride).transpose(2, 3).flatten(2)
        return self.product(x)


class _Grow(nn.Module):
    """A `ConvTranspose1d` of kernel 4, stride 2 and padding 1 on float32[b, h, inputs].

    Of each pair of rows of the result, the first hears the row before and its own with the
    weights 3 and 1, the second its own and the row behind with 2 and 0.
    """

    def __init__(self, conv: nn.ConvTranspose1d) -> None:
        super().__init__()
        taps = conv.weight.detach().unbind(-1)
        self.first = _linear(torch.cat([taps[3], taps[1]]).T, conv.bias)
        self.second = _linear(torch.cat([taps[2], taps[0]]).T, conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        padded = functional.pad(x, (0, 0, 1, 1))
        pairs = torch.cat([padded[:, :-1], padded[:, 1:]], dim=-1)
        return torch.stack([self.first(pairs[:, :-1]), self.second(pairs[:, 1:])], 2).flatten(1, 2)


def _stage(blocks: nn.Module) -> nn.ModuleList:
    return nn.ModuleList(_Block(cast(FilmBlock, block)) for block in blocks.children())


def _run(stage: nn.Module, x: Tensor, films: Iterator[Tensor]) -> Tensor:
    for block in stage.children():
        x = block(x, next(films))
    return x


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """Return a layer with copies of weight [outputs, inputs] and bias."""
    layer = nn.Linear(1, 1, bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(weight.detach().clone(memory_format=torch.contiguous_format))
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().clone())
    layer.out_features, layer.in_features = weight.shape
    return layer


def _normalised(norm: nn.GroupNorm, x: Tensor) -> Tensor:
    """Apply it to float32[b, h, c]; as an image with the channels last it needs no copy."""
    image = x.unsqueeze(2).permute(0, 3, 1, 2)
    out = functional.group_norm(image, norm.num_groups, norm.weight, norm.bias, norm.eps)
    return out.permute(0, 2, 3, 1).squeeze(2)
