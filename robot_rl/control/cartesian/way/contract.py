"""What a reset drives along, whatever the kind of action."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from robot_rl.control.cartesian.refusal import Array
from robot_rl.core.errors import ContractError
from robot_rl.core.types import Vector

ROUNDING = 1e-6
"""What was measured in float32 is not to count as beyond an end [m or rad]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distance:
    """How far two places are apart: rotation of a joint or the tool [rad], translation [m]."""

    rad: float
    m: float = 0.0

    def within(self, other: Distance) -> bool:
        """Whether neither is more than the other's."""
        return self.rad <= other.rad and self.m <= other.m


class Way(Protocol):
    """One planned motion to rest."""

    @property
    def duration_s(self) -> float:
        """Until it ends."""
        ...

    def at(self, time_s: float) -> Array:
        """Where the arm is to be; after the end, at the target."""
        ...


class Ways(Protocol):
    """What depends on the kind of action. A place is joints float64[n] or a pose float64[7]."""

    def check(self, target: Array) -> None:
        """Look at a target.

        Raises:
            ContractError: if it is not allowed, naming joint or axis, got and expected.
        """
        ...

    def measured(self, vectors: Mapping[str, Vector]) -> Array:
        """Where the arm is.

        Raises:
            ContractError: if the observation does not say so.
        """
        ...

    def plan(self, vectors: Mapping[str, Vector], target: Array) -> Way:
        """A way from the measured place and velocity.

        Raises:
            ContractError: if it leaves what is allowed, or the observation lacks the start.
        """
        ...

    def delta(self, goal: Array, place: Array) -> Array:
        """The action in SI units, without gripper, that takes the arm from a place to a goal."""
        ...

    def size(self, delta: Array) -> Distance:
        """How far such a delta goes."""
        ...


def vector_of(vectors: Mapping[str, Vector], key: str, size: int) -> Array:
    """One vector of an observation as float64[size].

    Raises:
        ContractError: if it is missing, of another size or not finite.
    """
    value = vectors.get(key)
    if value is None or value.shape != (size,) or not np.isfinite(value).all():
        got = "nothing" if value is None else value.tolist()
        raise ContractError(f"{key}: got {got}, a reset needs {size} finite numbers to start from")
    return value.astype(np.float64)
