"""How much of a network sleeps: the dormant ratio, measured now and then. No losses here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

THRESHOLD = 0.025
"""A unit sleeps if its activation is below this share of its layer's mean."""
EVERY_CYCLES = 100
"""Between two measurements; one costs a forward pass, far below a hundredth of a cycle."""

Probe = Callable[[], Sequence[Tensor]]
"""Returns what each hidden layer hands on, float32[..., b, units]."""


@torch.no_grad()
def dormant_ratio(activations: Sequence[Tensor]) -> float:
    """Return the share of units that sleep, over all layers (and heads of an ensemble).

    Sokar et al. 2023, arXiv 2302.12902, equation 1: unit i of a layer of n sleeps if
    `mean_b |h_i| / (1/n sum_k mean_b |h_k|) <= THRESHOLD`. In a layer of zeros all do.

    Args:
        activations: of each hidden layer, float32[..., b, units]; what stands before the batch
            are layers of their own.
    """
    asleep = total = 0
    for layer in activations:
        strength = layer.abs().float().mean(-2)
        limit = THRESHOLD * strength.mean(-1, keepdim=True)
        asleep += int((strength <= limit).sum())
        total += strength.numel()
    return asleep / total if total else math.nan


class DormancyMonitor:
    """Tells `dormant_ratio_<name>` in every cycle, and measures it in every hundredth.

    Args:
        names: of the networks.
        every: cycles between two measurements; the first cycle measures.
    """

    def __init__(self, names: Sequence[str], every: int = EVERY_CYCLES) -> None:
        self._every = every
        self._cycles = 0
        self._ratios = dict.fromkeys(names, 0.0)

    def metrics(self, probes: Mapping[str, Probe]) -> dict[str, float]:
        """Count one cycle and return what was last measured.

        Args:
            probes: how the activations of each network are got; called only where it measures.
        """
        if self._cycles % self._every == 0:
            self._ratios = {name: dormant_ratio(probes[name]()) for name in self._ratios}
        self._cycles += 1
        return {f"dormant_ratio_{name}": ratio for name, ratio in self._ratios.items()}

    def state_dict(self) -> dict[str, Tensor]:
        """Return the count of cycles and what was last measured."""
        return {
            "cycles": torch.tensor(self._cycles),
            "ratios": torch.tensor([*self._ratios.values()], dtype=torch.float64),
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on where `state` was taken."""
        self._cycles = int(state["cycles"])
        self._ratios = dict(zip(self._ratios, state["ratios"].tolist(), strict=True))
