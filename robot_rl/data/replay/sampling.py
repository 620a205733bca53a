"""How batches are drawn from replay buffers: shares, n-step windows, and the one RNG for both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from robot_rl.core.errors import ConfigError, ContractError
from robot_rl.data.replay.batch import Batch
from robot_rl.data.replay.replay_buffer import ReplayBuffer
from robot_rl.data.replay.window import Window


class Sampler:
    """Draws batches with exact shares, uniformly and with replacement within each buffer.

    Deterministic: equal seeds (or states) over buffers of equal `state` give the same batches,
    bit by bit. Half from demonstrations, half from the run's own data is the symmetric sampling
    of RLPD (Ball et al. 2023, arXiv 2302.02948, section 4.1).

    Args:
        buffers: where from; rows of a batch are in their order.
        shares: of the batch, positive, one per buffer, sum 1. An empty buffer's share goes to
            the others in proportion to theirs.
        batch_size, n_step: at least 1.
        gamma: discount per step, in (0, 1].
        seed: of the random numbers.

    Raises:
        ConfigError: if a number is out of its range.
        ContractError: if the buffers hold different observations or actions.
    """

    def __init__(
        self,
        buffers: Sequence[ReplayBuffer],
        shares: Sequence[float],
        batch_size: int,
        n_step: int,
        gamma: float,
        seed: int,
    ) -> None:
        _check(buffers, shares, batch_size, n_step, gamma)
        self._buffers = tuple(buffers)
        self._shares = np.asarray(shares, np.float64)
        self._batch_size = batch_size
        self._n_step = n_step
        self._gamma = gamma
        self._counts: dict[tuple[bool, ...], list[int]] = {}
        self._rng = np.random.Generator(np.random.PCG64(seed))

    def sample(self) -> Batch:
        """Return `batch_size` windows.

        Raises:
            ContractError: if all buffers are empty.
        """
        parts = [
            self._draw(buffer, count)
            for buffer, count in zip(self._buffers, self.counts(), strict=True)
            if count
        ]
        return Batch.from_window(Window.concatenate(parts))

    def counts(self) -> list[int]:
        """Return how many rows of the next batch come from each buffer.

        Largest remainder; a tie goes to the buffer that is named first.

        Raises:
            ContractError: if all buffers are empty.
        """
        filled = tuple(len(buffer) > 0 for buffer in self._buffers)
        if filled not in self._counts:
            self._counts[filled] = self._counts_where(filled)
        return self._counts[filled]

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the random numbers, JSON values."""
        return {"rng": dict(self._rng.bit_generator.state)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self._rng.bit_generator.state = dict(state["rng"])

    def _counts_where(self, filled: tuple[bool, ...]) -> list[int]:
        if not any(filled):
            raise ContractError("nothing to sample: every buffer is empty; add episodes first")
        shares = np.where(filled, self._shares, 0.0)
        # Rounded so that 0.1 + 0.2 arithmetic cannot turn a whole quota into floor(n - 1e-16).
        quotas = (self._batch_size * shares / shares.sum()).round(9)
        counts = np.floor(quotas).astype(np.int64)
        by_remainder = np.argsort(counts - quotas, kind="stable")
        counts[by_remainder[: self._batch_size - counts.sum()]] += 1
        return counts.tolist()

    def _draw(self, buffer: ReplayBuffer, count: int) -> Window:
        positions = self._rng.integers(0, len(buffer), count)
        return buffer.windows(positions, self._n_step, self._gamma)


def _check(
    buffers: Sequence[ReplayBuffer],
    shares: Sequence[float],
    batch_size: int,
    n_step: int,
    gamma: float,
) -> None:
    if len(shares) != len(buffers) or not buffers:
        raise ConfigError(f"sampler: got {len(shares)} shares for {len(buffers)} buffers")
    if not all(share > 0 for share in shares) or abs(sum(shares) - 1) > 1e-6:
        raise ConfigError(f"sampler: shares are {list(shares)}, expected positive with sum 1")
    if batch_size < 1 or n_step < 1 or not 0 < gamma <= 1:
        raise ConfigError(
            f"sampler: got batch_size {batch_size}, n_step {n_step}, gamma {gamma}; expected "
            ">= 1, >= 1 and in (0, 1]"
        )
    layouts = {(tuple(b.observation.vectors.items()), b.action_dim) for b in buffers}
    images = {tuple(b.observation.images.items()) for b in buffers}
    if len(layouts) > 1 or len(images) > 1:
        raise ContractError("sampler: the buffers hold different observations or actions")
