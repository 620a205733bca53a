"""Exponential moving averages of weights: the slow one of imitation, and Polyak's of targets."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy

import torch
from torch import Tensor, nn


class Ema:
    """A shadow of a model whose decay grows with training: `1 - (1 + step)^-power`.

    Chi et al. 2023 (arXiv 2303.04137) use power 0.75.

    Args:
        model: the model that is trained.
        power: how fast the decay approaches `max_decay`.
        max_decay: upper bound of the decay.
    """

    def __init__(self, model: nn.Module, power: float = 0.75, max_decay: float = 0.9999) -> None:
        self.model = deepcopy(model).requires_grad_(False)
        self.step = 0
        self._power = power
        self._max_decay = max_decay
        self._shadow = _detached(self.model.parameters())
        self._live = _detached(model.parameters())

    def decay(self) -> float:
        """Return the weight of the shadow in the next update."""
        return min(1.0 - (1.0 + self.step) ** -self._power, self._max_decay)

    def update(self) -> None:
        """Move the shadow towards the model as it is now."""
        _lerp(self._shadow, self._live, 1.0 - self.decay())
        self.step += 1


class Polyak:
    """Keeps a target network near its live one: `target += tau (live - target)`."""

    def __init__(self, target: nn.Module, live: nn.Module, tau: float) -> None:
        self._target = _detached(target.parameters())
        self._live = _detached(live.parameters())
        self._tau = tau

    def update(self) -> None:
        """Move the target by one step."""
        _lerp(self._target, self._live, self._tau)


def _lerp(slow: list[Tensor], live: list[Tensor], weight: float) -> None:
    # One call for all tensors: on small networks a call each is most of the cost.
    if slow:
        torch._foreach_lerp_(slow, live, weight)  # pyright: ignore[reportPrivateImportUsage]


def _detached(parameters: Iterable[Tensor]) -> list[Tensor]:
    return [p.detach() for p in parameters]
