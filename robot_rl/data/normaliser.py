"""The one owner of how raw columns become numbers of order one, and back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from robot_rl.core.errors import ContractError
from robot_rl.core.types import Vector

_DEGENERATE = 1e-6
"""A column whose range is below this does not vary: dividing by it would amplify noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Normaliser:
    """Per column: normalised = (x - offset) / scale.

    Args:
        offset: float32[n], raw units.
        scale: float32[n], raw units, positive.

    Raises:
        ContractError: if the two do not agree, are not finite, or a scale is not positive.
    """

    offset: Vector
    scale: Vector

    def __post_init__(self) -> None:
        shapes_agree = self.offset.ndim == 1 and self.offset.shape == self.scale.shape
        finite = bool(np.isfinite(self.offset).all() and np.isfinite(self.scale).all())
        if not shapes_agree or not finite or not bool((self.scale > 0).all()):
            raise ContractError(
                f"normaliser: offset {self.offset} and scale {self.scale} must be finite "
                "vectors of one length, scale positive"
            )

    @classmethod
    def fit_min_max(cls, packed: Vector, margin: float = 0.0) -> Self:
        """Map each column's range to [-1, 1].

        Args:
            packed: float32[N, n], N >= 1.
            margin: share by which the range is widened: 0.1 maps the extremes to +-1/1.1.

        A column whose range is below 1e-6 gets its value as offset and scale 1.

        Raises:
            ContractError: if `packed` is empty or not finite, or `margin` is negative.
        """
        if packed.ndim != 2 or len(packed) == 0 or not np.isfinite(packed).all() or margin < 0:
            raise ContractError(
                f"normaliser: got array {list(packed.shape)} and margin {margin}, expected finite "
                "[N >= 1, n] and margin >= 0"
            )
        low, high = packed.min(axis=0).astype(np.float64), packed.max(axis=0).astype(np.float64)
        half = (high - low) / 2 * (1 + margin)
        scale = np.where(high - low < _DEGENERATE, 1.0, half)
        return cls(offset=((low + high) / 2).astype(np.float32), scale=scale.astype(np.float32))

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Make the normaliser that `state` was taken from, bit by bit."""
        return cls(
            offset=np.asarray(state["offset"], np.float32),
            scale=np.asarray(state["scale"], np.float32),
        )

    @property
    def state(self) -> dict[str, list[float]]:
        """JSON values; float32 survives the way through JSON exactly."""
        return {"offset": self.offset.tolist(), "scale": self.scale.tolist()}

    @property
    def fingerprint(self) -> str:
        """16 hex digits; equal fingerprints normalise alike."""
        digest = hashlib.sha256(self.offset.astype("<f4").tobytes())
        digest.update(self.scale.astype("<f4").tobytes())
        return digest.hexdigest()[:16]

    def normalise(self, packed: Vector) -> Vector:
        """Map raw float32[..., n] to normalised float32[..., n]; not clipped."""
        return (packed - self.offset) / self.scale

    def denormalise(self, normalised: Vector) -> Vector:
        """Map normalised float32[..., n] back to raw units."""
        return normalised * self.scale + self.offset
