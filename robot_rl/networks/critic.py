"""An ensemble of Q-functions evaluated at once. What it is trained towards lives in `learning`."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from robot_rl.networks.mlp import LAYER_NORM_EPS


class CriticEnsemble(nn.Module):
    """`heads` independent MLPs `inputs -> hidden... -> 1` with LayerNorm after each hidden layer.

    One batched product per layer serves all heads, which is faster than a loop over heads
    both forward and backward, and leaves the optimiser six tensors instead of six per head.

    Args:
        heads: number of Q-functions.
        inputs: length of the concatenated features and action.
        hidden: sizes of the hidden layers.
    """

    def __init__(self, heads: int, inputs: int, hidden: Sequence[int]) -> None:
        super().__init__()
        sizes = [inputs, *hidden, 1]
        self.heads = heads
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
        parameters = list(zip(self.weights, self.biases, strict=True))
        if heads is not None:
            parameters = [
                (w.index_select(0, heads), b.index_select(0, heads)) for w, b in parameters
            ]
        *hidden, (weight, bias) = parameters
        h = x.expand(len(weight), *x.shape)
        for w, b in hidden:
            h = torch.baddbmm(b, h, w)
            h = torch.relu(functional.layer_norm(h, h.shape[-1:], eps=LAYER_NORM_EPS))
        return torch.baddbmm(bias, h, weight).squeeze(-1)
