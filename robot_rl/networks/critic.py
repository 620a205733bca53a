"""An ensemble of Q-functions evaluated at once. What it is trained towards lives in `learning`."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from robot_rl.networks.mlp import LAYER_NORM_EPS

CriticForm = Literal["auto", "batched", "loop"]
LOOP_ELEMENTS = 1 << 16
"""From so many elements of one head's hidden layer on, `auto` goes head by head on one thread."""

Layer = tuple[Tensor, Tensor]


class CriticEnsemble(nn.Module):
    """`heads` independent MLPs `inputs -> hidden... -> 1` with LayerNorm after each hidden layer.

    The parameters of all heads are stacked, which leaves the optimiser six tensors instead of
    six per head. Two forms compute the same: `batched` is one product per layer for all heads,
    `loop` goes through the layers head by head. Batched needs fewer calls; in the loop what one
    layer hands to the next stays in the cache. Forward, backward and Adam, 40 inputs, one thread
    of an AMD EPYC with its neighbours busy, median CPU time:

    | heads, hidden, rows | batched | loop |
    |---|---|---|
    | 10, 128 x 128, 128 | 7.4 ms | 10.9 ms |
    | 10, 256 x 256, 64 | 10.7 ms | 15.3 ms |
    | 2, 256 x 256, 256 | 6.7 ms | 6.9 ms |
    | 10, 256 x 256, 256 | 42 ms | 34 ms |
    | 10, 512 x 512, 256 | 106 ms | 100 ms |

    Of whole updates of a learner, taken in turns, the last two sizes are 4 to 11 % faster in the
    loop. Separate parameters, whose gradients need no stacking, took 38 and 92 ms: the stack is
    not what counts. Two threads were faster batched at every size that both were measured at;
    on a GPU, where nothing was measured, each call costs more than its work. So `auto` is `loop`
    on one CPU thread for more than two heads of `LOOP_ELEMENTS` (rows times widest layer), else
    `batched`, and always batched where it is compiled.

    Args:
        heads: number of Q-functions.
        inputs: length of the concatenated features and action.
        hidden: sizes of the hidden layers.
        form: how it is computed; results differ by rounding.
    """

    def __init__(
        self, heads: int, inputs: int, hidden: Sequence[int], form: CriticForm = "auto"
    ) -> None:
        super().__init__()
        sizes = [inputs, *hidden, 1]
        self.heads = heads
        self.form: CriticForm = form
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for before, after in itertools.pairwise(sizes):
            # The bounds of nn.Linear, per head.
            bound = before**-0.5
            self.weights.append(torch.empty(heads, before, after).uniform_(-bound, bound))
            self.biases.append(torch.empty(heads, 1, after).uniform_(-bound, bound))

    def forward(self, x: Tensor, heads: Tensor | None = None) -> Tensor:
        """Return Q float32[heads, b] of `x` float32[b, inputs].

        Args:
            x: features and action.
            heads: int64[m], evaluates these heads alone and returns float32[m, b].
        """
        layers = self._layers(heads)
        if self.form_for(x) == "loop":
            parts = zip(*([*zip(w, b, strict=True)] for w, b in layers), strict=True)
            return torch.stack([_head(x, part) for part in parts])
        *_, h = _batched_hidden(x, layers)
        weight, bias = layers[-1]
        return torch.baddbmm(bias, h, weight).squeeze(-1)

    def activations(self, x: Tensor) -> list[Tensor]:
        """Return what each hidden layer hands on, float32[heads, b, units], in order."""
        return _batched_hidden(x, self._layers(None))[1:]

    def form_for(self, x: Tensor) -> CriticForm:
        """Return the form in which `x` is evaluated, never `auto`."""
        if self.form != "auto":
            return self.form
        widest = max(bias.shape[-1] for bias in self.biases)
        loops = (
            not torch.compiler.is_compiling()
            and x.device.type == "cpu"
            and self.heads > 2
            and len(x) * widest >= LOOP_ELEMENTS
            and torch.get_num_threads() == 1
        )
        return "loop" if loops else "batched"

    def _layers(self, heads: Tensor | None) -> list[Layer]:
        layers: list[Layer] = list(zip(self.weights, self.biases, strict=True))
        if heads is None:
            return layers
        return [(w.index_select(0, heads), b.index_select(0, heads)) for w, b in layers]


def _batched_hidden(x: Tensor, layers: Sequence[Layer]) -> list[Tensor]:
    """Return the inputs of all heads, and after each hidden layer what it hands on."""
    *hidden, (last, _) = layers
    seen = [x.expand(len(last), *x.shape)]
    for weight, bias in hidden:
        seen.append(_activated(torch.baddbmm(bias, seen[-1], weight)))
    return seen


def _head(x: Tensor, layers: Sequence[Layer]) -> Tensor:
    """Return Q float32[b] of one head."""
    *hidden, (last, last_bias) = layers
    for weight, bias in hidden:
        x = _activated(torch.addmm(bias, x, weight))
    return torch.addmm(last_bias, x, last).squeeze(-1)


def _activated(h: Tensor) -> Tensor:
    return torch.relu(functional.layer_norm(h, h.shape[-1:], eps=LAYER_NORM_EPS))
