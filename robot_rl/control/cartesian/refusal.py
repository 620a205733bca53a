"""Why a controller gives no motion. It answers with one instead of raising: the loop goes on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_QUATERNION_NORM_ERROR = 0.1


class RefusalKind(IntEnum):
    """What was wrong."""

    MALFORMED = 1
    """Of another shape than promised, or a pose without a rotation."""
    NON_FINITE = 2
    INFEASIBLE = 3
    """No motion keeps every limit at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why nothing is moved.

    Args:
        kind: for programs.
        detail: for a person: what was wrong, what was got, what was expected.
    """

    kind: RefusalKind
    detail: str


def refuse_vector(name: str, value: Array, size: int) -> Refusal | None:
    """Refuse what is not a finite float64[size]."""
    if value.shape != (size,):
        detail = f"{name} has shape {list(value.shape)}, expected [{size}]"
        return Refusal(kind=RefusalKind.MALFORMED, detail=detail)
    if not np.isfinite(value).all():
        detail = f"{name} is not finite: {value.tolist()}"
        return Refusal(kind=RefusalKind.NON_FINITE, detail=detail)
    return None


def refuse_pose(name: str, pose: Array) -> Refusal | None:
    """Refuse what is not a finite pose float64[7] with a quaternion of norm 1."""
    if refusal := refuse_vector(name, pose, 7):
        return refusal
    norm = float(np.linalg.norm(np.minimum(np.abs(pose[3:]), 2.0)))
    if abs(norm - 1.0) > _QUATERNION_NORM_ERROR:
        detail = f"{name} has a quaternion {pose[3:].tolist()}, expected one of norm 1"
        return Refusal(kind=RefusalKind.MALFORMED, detail=detail)
    return None
