"""What may not even be considered: malformed, non-finite or old commands and observations.

Pure functions; each returns the reason and its words, or None if there is nothing to refuse.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.clock import NS_PER_S
from robot_rl.core.spec import TCP_POSE, WRENCH
from robot_rl.core.types import GateReason, Observation, Vector

Refusal = tuple[GateReason, str]

_FLOAT32 = np.dtype(np.float32)
_QUATERNION_NORM_ERROR = 0.1


def refuse_action(action: NDArray[Any], size: int) -> Refusal | None:
    """Refuse what is not a finite float32[size]."""
    # Whatever a caller hands over must end in a hold, not in an exception.
    if getattr(action, "dtype", None) != _FLOAT32 or action.shape != (size,):
        return GateReason.SHAPE, f"action is not float32[{size}]"
    if not np.isfinite(action).all():
        return GateReason.NON_FINITE, "action is not finite"
    return None


def refuse_vectors(vectors: Mapping[str, Vector], needed: Mapping[str, int]) -> Refusal | None:
    """Refuse an observation that lacks a needed vector, or in which anything is not finite.

    Args:
        vectors: of the observation.
        needed: length of every vector that the gate cannot do without, by key.
    """
    for key, size in needed.items():
        if key not in vectors:
            return GateReason.STALE_OBSERVATION, f"{key} is missing"
        if vectors[key].shape != (size,):
            return GateReason.SHAPE, f"{key} is not float32[{size}]"
    if WRENCH in vectors and vectors[WRENCH].shape != (6,):
        return GateReason.SHAPE, f"{WRENCH} is not float32[6]"
    for key, vector in vectors.items():
        if vector.dtype != _FLOAT32 or vector.ndim != 1:
            return GateReason.SHAPE, f"{key} is {vector.dtype}{list(vector.shape)}, not float32[d]"
    if not (vectors and np.isfinite(np.concatenate(list(vectors.values()))).all()):
        sick = [key for key, vector in vectors.items() if not np.isfinite(vector).all()]
        return GateReason.OBSERVATION_NON_FINITE, f"not finite: {', '.join(sick)}"
    if TCP_POSE in needed:
        norm = math.hypot(*vectors[TCP_POSE].tolist()[3:])
        if abs(norm - 1.0) > _QUATERNION_NORM_ERROR:
            return (
                GateReason.OBSERVATION_NON_FINITE,
                f"{TCP_POSE} has a quaternion of norm {norm:.3g}",
            )
    return None


def refuse_command_age(age_ns: int, most_s: float) -> Refusal | None:
    """Refuse a command that is too old, or from a future that only a wrong clock knows."""
    if abs(age_ns) <= most_s * NS_PER_S:
        return None
    return GateReason.STALE_COMMAND, f"command is {age_ns / NS_PER_S:.3f} s old, limit {most_s} s"


def refuse_observation_age(observation: Observation, now_ns: int, most_s: float) -> Refusal | None:
    """Refuse an observation of which any stream is too old, naming the stream."""
    since_s = (now_ns - observation.stamp_ns) / NS_PER_S
    if not abs(since_s) <= most_s:
        return _stale("observation", since_s, most_s)
    for stream, age_s in observation.ages_s.items():
        # Written so that an age that is NaN is too old.
        if not age_s + since_s <= most_s:
            return _stale(f"stream {stream!r}", age_s + since_s, most_s)
    return None


def _stale(what: str, age_s: float, most_s: float) -> Refusal:
    return GateReason.STALE_OBSERVATION, f"{what} is {age_s:.3f} s old, limit {most_s} s"
