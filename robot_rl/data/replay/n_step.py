"""The arithmetic of n-step windows over the columns of a ring of steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.types import Vector
from robot_rl.data.replay.window import WindowRule


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """What b windows come to.

    Args:
        first, last: int64[b], slots of each window's first and last step.
        steps: int64[b], k, how many steps it has.
        reward: float32[b], R = sum over i < k of gamma^i r_{t+i}.
        discount: float32[b], gamma^k, or 0 if the last step terminated.
    """

    first: NDArray[np.int64]
    last: NDArray[np.int64]
    steps: NDArray[np.int64]
    reward: Vector
    discount: Vector


def fold(
    columns: Mapping[str, NDArray[Any]], steps: NDArray[np.int64], end: int, rule: WindowRule
) -> Fold:
    """Fold the windows that begin at steps int64[b], by number; step s is in slot s % capacity.

    A window has k = `rule.n_step` steps, or less where the episode or, if the rule says so, the
    plan ends, the next step is not there, or its number is `end`.
    """
    capacity, ahead = len(columns["reward"]), np.arange(rule.n_step)
    powers: NDArray[np.floating[Any]] = rule.gamma ** np.arange(rule.n_step + 1)
    slots = (steps[:, None] + ahead) % capacity
    going = columns[rule.link].take(slots)
    going[:, 0] = True
    going &= steps[:, None] + ahead < end
    going = np.logical_and.accumulate(going, axis=1)
    rewards = columns["reward"].take(slots).astype(np.float64)
    reward = (rewards * (powers[:-1] * going)).sum(axis=1)
    length: NDArray[np.int64] = going.sum(axis=1)
    first = steps % capacity
    last = (first + length - 1) % capacity
    discount = np.where(columns["terminated"].take(last), 0.0, powers.take(length))
    return Fold(
        first=first,
        last=last,
        steps=length,
        reward=reward.astype(np.float32),
        discount=discount.astype(np.float32),
    )


def actions_of(action: Vector, window: Fold, n_step: int) -> Vector:
    """Return float32[b, n, d], the actions of each window, the last one repeated to its end."""
    ahead = np.minimum(np.arange(n_step), window.steps[:, None] - 1)
    return action.take((window.first[:, None] + ahead) % len(action), axis=0)
