"""The columns a replay buffer keeps of a step, and how a step becomes a row of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.episode import Episode
from robot_rl.core.errors import ContractError
from robot_rl.core.types import Transition, Vector

Row = dict[str, Any]

ACTION_COLUMNS = ("action", "base_action", "next_base_action", "proposed_action")
"""float32[capacity, d]."""

SCALAR_COLUMNS = {
    "reward": np.float32,
    "terminated": np.bool_,
    "truncated": np.bool_,
    "source": np.uint8,
    "intervention_start": np.bool_,
    "step": np.int64,
    "policy_version": np.int64,
}
"""dtype[capacity]; with the actions, what a `Transition` says of its step."""

PLACE_COLUMNS = {
    "episode": np.int64,
    "frame": np.int64,
    "next_frame": np.int64,
    "continues": np.bool_,
    "plan": np.int64,
    "plan_goes_on": np.bool_,
    "forgotten": np.bool_,
}
"""dtype[capacity]; where the buffer put the step: a number per episode added, its two frames,
whether it follows the step before it in the same episode without a gap, what
`plans.plan_columns` says of its plan, and whether nobody is to learn from it any more."""


def empty_columns(capacity: int, action_dim: int, latent_size: int) -> dict[str, NDArray[Any]]:
    """Return zeroed columns for `capacity` steps."""
    scalars = SCALAR_COLUMNS | PLACE_COLUMNS
    return {
        "latent": np.zeros((capacity, latent_size), np.float32),
        **{name: np.zeros((capacity, action_dim), np.float32) for name in ACTION_COLUMNS},
        **{name: np.zeros(capacity, dtype) for name, dtype in scalars.items()},
    }


def transition_row(transition: Transition, latent_size: int) -> Row:
    """Return what the columns keep of a transition."""
    row = {name: getattr(transition, name) for name in (*ACTION_COLUMNS, *SCALAR_COLUMNS)}
    return {**row, "latent": _latent(transition.latent, (latent_size,))}


def episode_rows(episode: Episode, latent_size: int) -> Row:
    """Return what the columns keep of all T steps of an episode, arrays [T] or [T, d]."""
    steps = len(episode)
    is_last = np.arange(steps) == steps - 1
    return {
        "action": episode.action,
        "base_action": episode.base_action[:-1],
        "next_base_action": episode.base_action[1:],
        "proposed_action": episode.proposed_action,
        "reward": episode.reward,
        "terminated": is_last & episode.terminated,
        "truncated": is_last & episode.truncated,
        "source": episode.source,
        "intervention_start": episode.intervention_start,
        "step": np.arange(steps),
        "policy_version": episode.policy_version,
        "latent": _latent(episode.latent, (steps, latent_size)),
    }


def _latent(recorded: Vector, shape: tuple[int, ...]) -> Vector:
    """Return what is kept: zeros where none was recorded, and nothing where none is kept."""
    if recorded.size == 0 or shape[-1] == 0:
        return np.zeros(shape, np.float32)
    return recorded


def check_row(row: Mapping[str, Any], action_dim: int, latent_size: int) -> None:
    """Check that actions, latent and reward are finite and of the right length.

    Raises:
        ContractError: naming the step and the column.
    """
    for name in ACTION_COLUMNS:
        action: Vector = row[name]
        if action.shape != (action_dim,) or not np.isfinite(action).all():
            raise ContractError(
                f"step {row['step']}: {name} is {action}, expected {action_dim} finite numbers"
            )
    latent: Vector = row["latent"]
    if latent.shape != (latent_size,) or not np.isfinite(latent).all():
        raise ContractError(
            f"step {row['step']}: latent is {latent}, expected {latent_size} finite numbers "
            "or none"
        )
    if not np.isfinite(row["reward"]):
        raise ContractError(f"step {row['step']}: reward is {row['reward']}, expected a number")


def check_rows(rows: Mapping[str, Any], action_dim: int, latent_size: int) -> None:
    """Check the rows of an episode as `check_row` checks one.

    Raises:
        ContractError: naming the first step that is wrong, and the column.
    """
    sizes = dict.fromkeys(ACTION_COLUMNS, action_dim) | {"latent": latent_size}
    for name, size in sizes.items():
        shape: tuple[int, ...] = rows[name].shape
        if shape[1:] != (size,):
            raise ContractError(f"{name} is {list(shape)}, expected {size} numbers for each step")
    for name in (*sizes, "reward"):
        finite = np.isfinite(rows[name]).reshape(len(rows["step"]), -1).all(axis=1)
        if not finite.all():
            step = int(np.argmin(finite))
            raise ContractError(
                f"step {step}: {name} is {rows[name][step]}, expected finite numbers"
            )
