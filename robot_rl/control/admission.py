"""What may not even be considered: malformed, non-finite or old commands and observations.

Pure functions; each returns the reason and its words, or None if there is nothing to refuse.
Whatever a caller hands over must end in a refusal, not in an exception.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from robot_rl.core.clock import NS_PER_S
from robot_rl.core.spec import TCP_POSE, WRENCH
from robot_rl.core.types import Command, GateReason, Observation, Source, Vector

Refusal = tuple[GateReason, str]

_FLOAT32 = np.dtype(np.float32)
_QUATERNION_NORM_ERROR = 0.1
_MOST_NUMBER = 2**63


def refuse_command(command: Any, size: int) -> Refusal | None:
    """Refuse what is no `Command` of a finite float32[size]."""
    if not isinstance(command, Command):
        return GateReason.SHAPE, f"{type(command).__name__} is no command"
    action: Any = command.action
    if getattr(action, "dtype", None) != _FLOAT32 or action.shape != (size,):
        return GateReason.SHAPE, f"action is not float32[{size}]"
    numbers: tuple[Any, ...] = (command.issued_ns, command.epoch, command.sequence)
    source: Any = command.source
    if not (all(map(_is_number, numbers)) and isinstance(source, Source)):
        return GateReason.SHAPE, "command is without a valid time, source, epoch or sequence"
    if not np.isfinite(action).all():
        return GateReason.NON_FINITE, "action is not finite"
    return None


def refuse_observation(observation: Any, needed: Mapping[str, int]) -> Refusal | None:
    """Refuse an observation that lacks a needed vector, or in which anything is not finite.

    Args:
        observation: anything at all.
        needed: length of every vector that the gate cannot do without, by key.
    """
    if not isinstance(observation, Observation) or not _is_number(observation.stamp_ns):
        return GateReason.SHAPE, f"{type(observation).__name__} is no valid observation"
    mappings: tuple[Any, ...] = (observation.vectors, observation.ages_s)
    if not all(isinstance(mapping, Mapping) for mapping in mappings):
        return GateReason.SHAPE, "vectors and ages of an observation are mappings"
    vectors = cast("Mapping[str, Any]", observation.vectors)
    return (
        _refuse_shapes(vectors, needed)
        or _refuse_numbers(vectors)
        or (_refuse_rotation(vectors[TCP_POSE]) if TCP_POSE in needed else None)
    )


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
        if not _is_age(age_s):
            return GateReason.STALE_OBSERVATION, f"stream {stream!r} is of unknown age"
        # Written so that an age that is NaN is too old. One from the future would stay good for as
        # long as the clock that stamped it is wrong.
        if not abs(age_s + since_s) <= most_s:
            return _stale(f"stream {stream!r}", age_s + since_s, most_s)
    return None


def _refuse_shapes(vectors: Mapping[str, Any], needed: Mapping[str, int]) -> Refusal | None:
    for key, vector in vectors.items():
        if getattr(vector, "dtype", None) != _FLOAT32 or vector.ndim != 1:
            return GateReason.SHAPE, f"{key} is not float32[d]"
    for key, size in needed.items():
        if key not in vectors:
            return GateReason.STALE_OBSERVATION, f"{key} is missing"
        if vectors[key].shape != (size,):
            return GateReason.SHAPE, f"{key} is not float32[{size}]"
    if WRENCH in vectors and vectors[WRENCH].shape != (6,):
        return GateReason.SHAPE, f"{WRENCH} is not float32[6]"
    return None


def _refuse_numbers(vectors: Mapping[str, Vector]) -> Refusal | None:
    if vectors and np.isfinite(np.concatenate(list(vectors.values()))).all():
        return None
    sick = [key for key, vector in vectors.items() if not np.isfinite(vector).all()]
    return GateReason.OBSERVATION_NON_FINITE, f"not finite: {', '.join(sick)}"


def _refuse_rotation(pose: Vector) -> Refusal | None:
    norm = math.hypot(*pose.tolist()[3:])
    if abs(norm - 1.0) <= _QUATERNION_NORM_ERROR:
        return None
    return (
        GateReason.OBSERVATION_NON_FINITE,
        f"{TCP_POSE} has a quaternion of norm {norm:.3g}",
    )


def _stale(what: str, age_s: float, most_s: float) -> Refusal:
    return GateReason.STALE_OBSERVATION, f"{what} is {age_s:.3f} s old, limit {most_s} s"


def _is_age(value: Any) -> bool:
    return isinstance(value, (float, int, np.floating))


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and abs(value) < _MOST_NUMBER
