"""Multi-layer perceptron in torch, and its twin in numpy for acting at batch size one."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

Activation = Literal["relu", "silu", "mish"]
ACTIVATIONS = {
    "relu": functional.relu,
    "silu": functional.silu,
    "mish": functional.mish,
}
LAYER_NORM_EPS = 1e-5


class Mlp(nn.Module):
    """`in -> hidden... -> out`; every hidden layer is linear, LayerNorm if asked for, activation.

    The LayerNorm has no gain and no shift: the linear layers around it can express both, and
    their gradients cost a third of an update on a CPU.

    Args:
        inputs, outputs: sizes of the first and last layer.
        hidden: sizes of the hidden layers.
        layer_norm: normalise after each hidden linear layer.
        activation: name of the activation of the hidden layers.
        zero_output: start with a last layer of exactly 0.
    """

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int],
        outputs: int,
        *,
        layer_norm: bool = False,
        activation: Activation = "relu",
        zero_output: bool = False,
    ) -> None:
        super().__init__()
        sizes = [inputs, *hidden, outputs]
        self.layers = nn.ModuleList(
            nn.Linear(before, after) for before, after in itertools.pairwise(sizes)
        )
        self.layer_norm = layer_norm
        self._activation = ACTIVATIONS[activation]
        if zero_output:
            for parameter in self.layers[-1].parameters():
                nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """Map float32[..., inputs] to float32[..., outputs]."""
        *_, h = x, *self.activations(x)
        return self.layers[-1](h)

    def activations(self, x: Tensor) -> list[Tensor]:
        """Return what each hidden layer hands on, float32[..., units], in order."""
        seen: list[Tensor] = []
        *hidden, _ = self.layers
        for layer in hidden:
            x = layer(x)
            if self.layer_norm:
                x = functional.layer_norm(x, x.shape[-1:], eps=LAYER_NORM_EPS)
            x = self._activation(x)
            seen.append(x)
        return seen


class NumpyMlp:
    """The forward pass of a ReLU `Mlp` without torch's overhead per call.

    Args:
        weights: a `state_dict` that holds the layers of an `Mlp`.
        prefix: where in it, such as `"mlp."`.
        layer_norm: as of the `Mlp`.
    """

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        prefix: str,
        *,
        layer_norm: bool,
    ) -> None:
        count = sum(name.startswith(f"{prefix}layers.") for name in weights) // 2
        self._layers = [
            (
                _to_numpy(weights[f"{prefix}layers.{i}.weight"]).T.copy(),
                _to_numpy(weights[f"{prefix}layers.{i}.bias"]),
            )
            for i in range(count)
        ]
        self._layer_norm = layer_norm

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map float32[inputs] to float32[outputs]."""
        *hidden, (weight, bias) = self._layers
        for hidden_weight, hidden_bias in hidden:
            x = x @ hidden_weight + hidden_bias
            if self._layer_norm:
                x = _layer_norm(x)
            x = np.maximum(x, np.float32(0))
        return x @ weight + bias


def _layer_norm(x: NDArray[np.float32]) -> NDArray[np.float32]:
    x = x - x.sum() * np.float32(1 / x.size)
    return x * np.float32((float(x @ x) / x.size + LAYER_NORM_EPS) ** -0.5)


def _to_numpy(tensor: Tensor) -> NDArray[np.float32]:
    return tensor.detach().to("cpu", torch.float32).numpy().copy()
