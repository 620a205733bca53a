"""Linear layers with weights of 8 bits, for inference on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_WORTH = 2**17
"""Weights of a layer from which on it pays; below, to find the range of the input takes longer."""


class Int8Linear(nn.Module):
    """A linear layer whose weights are rounded to 8 bits per output, its input to 7 per call.

    Where a plan is bound by reading weights, it reads a quarter. It has no derivative.

    Args:
        linear: what it stands for.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach()
        scale = (weight.abs().amax(dim=1) / 127.0).clamp_min(torch.finfo(torch.float32).tiny)
        rounded = torch.quantize_per_channel(
            weight, scale.double(), torch.zeros(len(weight), dtype=torch.int64), 0, torch.qint8
        )
        bias = None if linear.bias is None else linear.bias.detach()
        self._packed = torch.ops.quantized.linear_prepack(rounded, bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map float32[..., inputs] to float32[..., outputs]."""
        # Inputs of 7 bits: with 8, sums of two products overflow on processors without VNNI.
        return torch.ops.quantized.linear_dynamic(x, self._packed, reduce_range=True)


def quantise(module: nn.Module) -> None:
    """Put an `Int8Linear` in the place of every linear layer within that is worth it."""
    for name, child in module.named_children():
        if isinstance(child, nn.Linear) and child.weight.numel() >= _WORTH:
            setattr(module, name, Int8Linear(child))
        else:
            quantise(child)
