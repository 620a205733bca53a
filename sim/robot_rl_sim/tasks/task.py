"""What a task must offer to be simulated. To add one: a file like `peg_insert.py` and a YAML."""

# mujoco ships its core without type stubs.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import mujoco
import numpy as np
from numpy.typing import NDArray

from robot_rl.core.spec import TaskSpec
from robot_rl_sim.backend import Array, Start, StateView
from robot_rl_sim.drive import Drive


class SimTask(Protocol):
    """A task on a simulated arm. `estimate`, `success` and `distance` are pure and batched."""

    spec: TaskSpec
    model: mujoco.MjModel
    drive: Drive
    """How the task's arm obeys."""
    frames: tuple[str, ...]
    """Names of the frames that `StateView.frames` tracks."""
    cameras: tuple[str, ...]
    """Names of the model's cameras that are observed."""
    hold_s: float
    """How long success must last before it counts [s]."""

    def start(self, rng: np.random.Generator) -> Start:
        """Draw a start state; equal generators give equal starts."""
        ...

    def estimate(self, state: StateView, error: Array) -> NDArray[np.float32]:
        """What perception says of the objects, float32[n, k]; `error` is float64[n, m]."""
        ...

    def success(self, state: StateView) -> NDArray[np.bool_]:
        """Whether the goal is reached at this instant, bool[n]."""
        ...

    def distance(self, state: StateView) -> Array:
        """True distance to the goal, float64[n] [m]; what a person watching sees as progress."""
        ...

    def correction(self, state: StateView, index: int) -> Array:
        """What one who sees everything would do in one simulation: a command, without limits.

        float64[d] in the SI units of the task's action. Simulated people drive by it.
        """
        ...


class HeldGoal:
    """Whether the goal of n simulations has been held for the task's `hold_s`."""

    def __init__(self, task: SimTask, nsim: int) -> None:
        self._task = task
        self._needed = round(np.ceil(task.hold_s / task.spec.action.period_s - 1e-6))
        self._periods = np.zeros(nsim, np.int64)

    def reset(self, indices: Sequence[int]) -> None:
        """New episodes of some simulations."""
        self._periods[indices] = 0

    def update(self, state: StateView) -> NDArray[np.bool_]:
        """A control period has passed: return who holds the goal for long enough, bool[n]."""
        self._periods = np.where(self._task.success(state), self._periods + 1, 0)
        return self._periods >= self._needed
