"""The schema of `summary.json`: the outcome of a run in numbers. How they came about is elsewhere.

Only JSON numbers: what could not be measured is null, never NaN.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robot_rl.core.errors import StorageError
from robot_rl.data.disk.durable import Disk


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseSuccess:
    """Success of the base policy in [0, 1], over `episodes`, with its 95 % Wilson interval."""

    success: float
    episodes: int
    ci95: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImprovedSuccess:
    """Success of the improved policy without human help, as `BaseSuccess`."""

    success_autonomous: float
    episodes: int
    ci95: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class InterventionRate:
    """Human steps / steps, in the first and the last window of training episodes."""

    first: float
    last: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleTime:
    """Median duration of the successful episodes [s]; NaN without one."""

    base: float
    improved: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ForceNumbers:
    """Norm of the contact force while in contact: mean, 99th percentile, maximum [N]."""

    mean: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactForce:
    """Contact force of both policies."""

    base: ForceNumbers
    improved: ForceNumbers


@dataclass(frozen=True, slots=True, kw_only=True)
class GateNumbers:
    """Actions that the safety gate refused in the whole run, and times that it held the arm."""

    refused: int
    holds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseSeconds:
    """Wall time of each phase [s]."""

    collect: float
    imitate: float
    improve: float
    evaluate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """The outcome of one run.

    Args:
        task: name of the task.
        seed: of the run.
        wall_s: from start to end [s].
        base: the policy that imitation gave.
        improved: the policy that the run deploys in the end.
        intervention_rate: in training.
        env_steps: of training, on the robot.
        updates: of the learner.
        operator_s: time that a person drove the robot [s].
        demos: demonstrations that imitation used.
        peak_rss_mb: peak memory of the process [MB].
        cycle_time_s: in the evaluation.
        contact_force_n: in the evaluation.
        gate: interventions of the safety gate.
        phases_s: where the time went.
        versions: of the code and its libraries.
        config: the complete configuration, as plain values.
    """

    task: str
    seed: int
    wall_s: float
    base: BaseSuccess
    improved: ImprovedSuccess
    intervention_rate: InterventionRate
    env_steps: int
    updates: int
    operator_s: float
    demos: int
    peak_rss_mb: float
    cycle_time_s: CycleTime
    contact_force_n: ContactForce
    gate: GateNumbers
    phases_s: PhaseSeconds
    versions: Mapping[str, str]
    config: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values only; non-finite numbers as None."""
        return _json_value(asdict(self))

    def write(self, path: Path) -> None:
        """Write to `path` at once or not at all.

        Raises:
            StorageError: if it cannot be written; a file that was there stays.
        """
        text = json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n"
        try:
            Disk().replace_file(path, text.encode())
        except OSError as error:
            raise StorageError(f"{path}: cannot write the summary: {error}") from error


def _json_value(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _json_value(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Path):
        return str(value)
    return value
