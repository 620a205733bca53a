"""A guarded gradient step: clipped, skipped if not finite, restorable. Losses are not here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from robot_rl.core.errors import ContractError
from robot_rl.learning.contract import SKIPPED


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
        self._parameters: list[Tensor] = list(parameters)
        self._learning_rate = learning_rate
        self._max_grad_norm = max_grad_norm
        self._means = [torch.zeros_like(p, requires_grad=False) for p in self._parameters]
        self._squares = [torch.zeros_like(p, requires_grad=False) for p in self._parameters]
        self._steps = [torch.zeros((), device=p.device) for p in self._parameters]
        self._gradients: list[Tensor] = []
        self.skipped = 0
        self.skipped_in_a_row = 0

    def step(self, loss: Tensor) -> float:
        """Minimise a scalar loss by one step and return the gradient norm before clipping.

        Where loss or gradient is not finite, nothing changes, `skipped` grows and NaN returns.
        """
        gradients = list(torch.autograd.grad(loss, self._parameters))
        total = nn.utils.get_total_norm(gradients, foreach=True)
        # Read together: each reading waits for a GPU.
        norm, value = torch.stack([total, loss.detach()]).tolist()
        if not (math.isfinite(norm) and math.isfinite(value)):
            self.skipped += 1
            self.skipped_in_a_row += 1
            return math.nan
        self.skipped_in_a_row = 0
        if norm > self._max_grad_norm:
            _scale_down(gradients, total, self._max_grad_norm)
        self._move(gradients)
        # Freed only once the next are there: their memory would go back to the system each step,
        # and coming back it is zeroed page by page, a fifth of a small update.
        self._gradients = gradients
        return norm

    def state_dict(self) -> dict[str, Tensor]:
        """Return a flat copy of moments and counters."""
        counts = {"skipped": self.skipped, "skipped_in_a_row": self.skipped_in_a_row}
        return {
            **copies(self._moments()),
            **{name: torch.tensor(count) for name, count in counts.items()},
        }

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
        for name, tensor in self._moments().items():
            tensor.copy_(state[name])
        self.skipped = int(state["skipped"])
        self.skipped_in_a_row = int(state["skipped_in_a_row"])

    def _moments(self) -> dict[str, Tensor]:
        kinds = {"step": self._steps, "exp_avg": self._means, "exp_avg_sq": self._squares}
        return {
            f"{index}.{name}": tensor
            for name, tensors in kinds.items()
            for index, tensor in enumerate(tensors)
        }

    @torch.no_grad()
    def _move(self, gradients: list[Tensor]) -> None:
        # As a function: `torch.optim.Adam` around it is a twentieth of a small update.
        adam(
            self._parameters,
            gradients,
            self._means,
            self._squares,
            [],
            self._steps,
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self._learning_rate,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )


class Skipping(Protocol):
    """What skips steps that are not finite, and counts them."""

    @property
    def skipped(self) -> int:
        """Since the start."""
        ...

    @property
    def skipped_in_a_row(self) -> int:
        """Since the last step that was made."""
        ...


def skips(*parts: Skipping) -> dict[str, float]:
    """Return the metrics `skipped_updates`, of all parts, and `skipped_in_a_row`, the worst."""
    return {
        "skipped_updates": float(sum(part.skipped for part in parts)),
        SKIPPED: float(max(part.skipped_in_a_row for part in parts)),
    }


def finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics that are numbers; a skipped step leaves some that are not."""
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies of `tensors` on the CPU, from whichever device."""
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies of `tensors` on the CPU under `prefix.`."""
    return {f"{prefix}.{name}": tensor for name, tensor in copies(tensors).items()}


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under `prefix.`, without the prefix."""
    start = f"{prefix}."
    return {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}


def _scale_down(gradients: list[Tensor], norm: Tensor, limit: float) -> None:
    """Scale gradients of a norm above `limit` down to it, as `clip_grads_with_norm_` does."""
    factor = torch.clamp(limit / (norm + 1e-6), max=1.0)
    torch._foreach_mul_(gradients, factor)  # pyright: ignore[reportPrivateImportUsage]
