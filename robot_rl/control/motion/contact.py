"""Giving way to a contact force beyond its limit: nothing may press any more."""

from __future__ import annotations

import math
from collections.abc import Sequence

from robot_rl.control.clearance import ROUNDING


def give_way(step: list[float], force: Sequence[float]) -> tuple[list[float], bool]:
    """Take from a step what presses against a force; return also whether any did.

    Args:
        step: 3 numbers.
        force: 3 numbers, the environment's on the tool; zeros if there is none to give way to.
    """
    along = _along(step, force)
    if along >= 0.0:
        return step, False
    norm = math.hypot(*force)
    away = [s - along * f / norm for s, f in zip(step, force, strict=True)]
    return away, along < -ROUNDING


def presses(step: Sequence[float], force: Sequence[float]) -> bool:
    """Whether a step presses against a force by more than rounding."""
    return _along(step, force) < -ROUNDING


def unit(force: Sequence[float]) -> list[float]:
    """Direction of a force; zeros if there is none."""
    norm = math.hypot(*force)
    return [f / norm for f in force] if norm > 0.0 else [0.0] * len(force)


def _along(step: Sequence[float], force: Sequence[float]) -> float:
    norm = math.hypot(*force)
    return sum(s * f for s, f in zip(step, force, strict=True)) / norm if norm > 0.0 else 0.0
