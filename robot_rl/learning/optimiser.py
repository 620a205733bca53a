"""A guarded gradient step: clipped, skipped if not finite, restorable. Losses are not here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from robot_rl.core.errors import ContractError


class GuardedAdam:
    """Adam that touches its own parameters only, whatever else the loss depends on.

    Args:
        parameters: what it trains.
        learning_rate: constant step size.
        max_grad_norm: gradients are scaled down to this norm over all parameters.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], learning_rate: float, max_grad_norm: float
    ) -> None:
        self._parameters = list(parameters)
        self._max_grad_norm = max_grad_norm
        self._adam = torch.optim.Adam(self._parameters, lr=learning_rate, fused=True)
        self.skipped = 0
        self._start()

    def step(self, loss: Tensor) -> float:
        """Minimise a scalar loss by one step and return the gradient norm before clipping.

        Where loss or gradient is not finite, nothing changes, `skipped` grows and NaN returns.
        """
        gradients = torch.autograd.grad(loss, self._parameters)
        total = nn.utils.get_total_norm(gradients, foreach=True)
        norm = total.item()
        if not math.isfinite(norm) or not math.isfinite(float(loss.detach())):
            self.skipped += 1
            return math.nan
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = gradient
        if norm > self._max_grad_norm:
            nn.utils.clip_grads_with_norm_(self._parameters, self._max_grad_norm, total)
        self._adam.step()
        return norm

    def state_dict(self) -> dict[str, Tensor]:
        """Return a flat copy of moments and counters."""
        state = {
            f"{index}.{name}": tensor.detach().clone()
            for index, parameter in enumerate(self._parameters)
            for name, tensor in self._adam.state[parameter].items()
        }
        return {**state, "skipped": torch.tensor(self.skipped)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take up where `state` was taken.

        Raises:
            ContractError: if `state` belongs to other parameters.
        """
        own = self.state_dict()
        if own.keys() != state.keys() or any(own[k].shape != state[k].shape for k in own):
            raise ContractError(
                f"optimiser state: got {len(state)} tensors that do not fit, expected {len(own)}; "
                "load the state of a learner with the same config and specs"
            )
        for index, parameter in enumerate(self._parameters):
            for name, tensor in self._adam.state[parameter].items():
                tensor.copy_(state[f"{index}.{name}"])
        self.skipped = int(state["skipped"])

    def _start(self) -> None:
        """Make the moments exist before the first step, so that a fresh state can be loaded."""
        for parameter in self._parameters:
            self._adam.state[parameter] = {
                "step": torch.zeros((), dtype=torch.float32),
                "exp_avg": torch.zeros_like(parameter, requires_grad=False),
                "exp_avg_sq": torch.zeros_like(parameter, requires_grad=False),
            }


def finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics that are numbers; a skipped step leaves some that are not."""
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies of `tensors` under `prefix.`."""
    return {f"{prefix}.{name}": tensor.detach().clone() for name, tensor in tensors.items()}


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under `prefix.`, without the prefix."""
    start = f"{prefix}."
    return {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}
