"""What a sampler draws from one buffer: n-step windows in numpy. Torch begins at `batch`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.types import Vector
from robot_rl.data.replay.gathering import FIELDS, ImageGather, Images

Starts = Literal["steps", "plans"]
"""Where windows begin: at any step, or where a plan of the base policy begins, see `plans`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowRule:
    """What a window is.

    Args:
        n_step: steps at most, at least 1.
        gamma: discount per step, in (0, 1].
        starts: with `plans` a window ends with the plan that it begins in.
        actions: whether the actions of all its steps are gathered, which takes time.
    """

    n_step: int
    gamma: float
    starts: Starts = "steps"
    actions: bool = False

    @property
    def link(self) -> str:
        """The column that says whether a window runs into a step from the one before it."""
        return "continues" if self.starts == "steps" else "plan_goes_on"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """b windows of up to n steps. The fields are those of `Batch`, in numpy."""

    observation: Vector
    next_observation: Vector
    action: Vector
    base_action: Vector
    next_base_action: Vector
    proposed_action: Vector
    reward: Vector
    discount: Vector
    human: NDArray[np.bool_]
    offline: NDArray[np.bool_]
    latent: Vector
    actions: Vector
    steps: NDArray[np.int64]
    images: Images = field(default_factory=lambda: Images())
    next_images: Images = field(default_factory=lambda: Images())

    def put(self, rows: NDArray[np.int64], other: Window) -> None:
        """Overwrite `rows`, images excepted, with those of another window."""
        for name in COLUMNS:
            getattr(self, name)[rows] = getattr(other, name)

    @classmethod
    def concatenate(cls, parts: Sequence[Window], images: ImageGather) -> Window:
        """Put windows of several buffers one after the other; the images are of all of them."""
        joined: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS
        }
        return cls(**joined, **dict[str, Any](images.arrays))


COLUMNS = tuple(f.name for f in fields(Window) if f.name not in FIELDS)
"""Fields that are one array."""
