"""What a run tells the world. Progress, metrics file and report read these and nothing else.

Events are data: they hold no arrays, no handles and no decisions. Who listens is a `Sink`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import msgspec
import numpy as np

from robot_rl.core.clock import NS_PER_S, Clock, MonotonicClock
from robot_rl.core.errors import StorageError, did_you_mean


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseStarted:
    """A phase began. `total` counts `unit`s (episodes, steps, updates); 0 if unknown."""

    phase: str
    total: int
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseProgress:
    """`done` of the phase's units are finished."""

    phase: str
    done: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseEnded:
    """A phase ended; `summary` holds what it wants remembered, as JSON values."""

    phase: str
    summary: Mapping[str, Any] = field(default_factory=lambda: dict[str, Any]())


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeEnded:
    """One episode.

    Args:
        success: as judged, with or without help; `assisted`: a person drove at least one step.
        steps, human_steps: control periods, and those that a person drove.
        env_steps_total: of the whole run, with this episode.
        max_force_n, mean_force_n: of the contact force's norm [N]; NaN without a sensor.
        gate_refused: actions that the gate refused; gate_holds: times that it held the arm.
        wall_s: duration of the episode on the wall [s].
        lateness_p50_s, lateness_p99_s: of its ticks [s]; likewise the time that deciding took
            (`inference`) and the age of each observation's oldest stream (`age`). NaN in logs
            older than these.
    """

    phase: str
    episode_id: str
    seed: int
    success: bool
    assisted: bool
    steps: int
    human_steps: int
    env_steps_total: int
    max_force_n: float
    mean_force_n: float
    gate_refused: int
    gate_holds: int
    wall_s: float
    lateness_p50_s: float = math.nan
    lateness_p99_s: float = math.nan
    inference_p50_s: float = math.nan
    inference_p99_s: float = math.nan
    age_p50_s: float = math.nan
    age_p99_s: float = math.nan

    @property
    def success_autonomous(self) -> bool:
        """Success without any human step: the only success that counts."""
        return self.success and not self.assisted


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnerMetrics:
    """What the learner measured since it last spoke; names as in the learner's docstring."""

    env_steps_total: int
    updates_total: int
    updates_per_s: float
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """Base and improved policy from matched starts.

    Args:
        base_success, improved_success: rates in [0, 1] over `episodes` each.
        lower_bound: of the difference improved - base, in [-1, 1].
        deployed: "base" or "improved"; `deployed_version`: of the weights on it, 0 for the base.
    """

    env_steps_total: int
    base_success: float
    improved_success: float
    episodes: int
    lower_bound: float
    deployed: str
    deployed_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GateEvent:
    """The safety gate refused, changed or held one action; `reason` names a `GateReason`."""

    reason: str


Event = (
    PhaseStarted
    | PhaseProgress
    | PhaseEnded
    | EpisodeEnded
    | LearnerMetrics
    | Evaluated
    | GateEvent
)
"""Everything a run tells."""

Sink = Callable[[Event], None]
"""Someone who listens. It is called in the order of the events and must not block."""

_TYPES: dict[str, type[Event]] = {kind.__name__: kind for kind in typing.get_args(Event)}


def send(event: Event, sinks: Iterable[Sink]) -> None:
    """Tell every sink."""
    for sink in sinks:
        sink(event)


class EventLog:
    """A sink that appends each event to a file as one JSON line, flushed.

    `t_s` counts from the start of the run; in a file that exists it goes on from its last line.
    NaN and infinity become null. A last line that a crash has torn is cut off first. The file is
    locked, which keeps a run's folder to one process.

    Raises:
        StorageError: if the file is open in another process, or cannot be opened or written.
    """

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        self._path = path
        self._clock = clock or MonotonicClock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.ExitStack() as stack:
                self._file = stack.enter_context(_open_locked(path))
                offset_s = _mend(path)
                stack.pop_all()
        except OSError as error:
            raise StorageError(f"{path}: cannot open the event log: {error}") from error
        self._start_ns = self._clock.now_ns() - round(offset_s * NS_PER_S)

    def __call__(self, event: Event) -> None:
        """Append one event."""
        t_s = (self._clock.now_ns() - self._start_ns) / NS_PER_S
        line: dict[str, Any] = {"type": type(event).__name__, "t_s": round(t_s, 3)}
        line |= {f.name: getattr(event, f.name) for f in fields(event)}
        try:
            self._file.write(json.dumps(_plain(line), allow_nan=False) + "\n")
            self._file.flush()
        except OSError as error:
            raise StorageError(f"{self._path}: cannot write an event: {error}") from error

    def close(self) -> None:
        """Close the file; what was appended stays."""
        self._file.close()

    def __enter__(self) -> EventLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def read_events(path: Path) -> list[Event]:
    """Read a log back, in order; a torn last line is dropped.

    Raises:
        StorageError: if the file is absent, or a line before the last is no event.
    """
    return [_event(record, f"{path}:{number}") for number, record in _records(path)]


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StorageError(f"{path}: cannot read the event log: {error}") from error
    # Only a line that ends in a newline was written whole.
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        try:
            yield number, msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise StorageError(f"{path}:{number}: not a JSON object: {error}") from error


def _event(record: dict[str, Any], where: str) -> Event:
    name = str(record.get("type"))
    kind = _TYPES.get(name)
    if kind is None:
        raise StorageError(f"{where}: unknown event type {name!r}{did_you_mean(name, _TYPES)}")
    hints = typing.get_type_hints(kind)
    values = {key: _with_nan(value, hints[key]) for key, value in record.items() if key in hints}
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise StorageError(f"{where}: malformed {name}: {error}") from error


def _with_nan(value: Any, hint: Any) -> Any:
    if hint is float and value is None:
        return math.nan
    if hint == Mapping[str, float] and isinstance(value, dict):
        return {key: math.nan if v is None else v for key, v in value.items()}
    return value


def _plain(value: Any) -> Any:
    """Return JSON values only: numpy scalars unpacked, non-finite numbers as None."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        return {str(key): _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _open_locked(path: Path) -> TextIO:
    file = path.open("a", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise StorageError(
            f"{path.parent} is in use: another process writes {path.name} there; wait for it to "
            "end, or stop it"
        ) from error
    return file


def _mend(path: Path) -> float:
    """Cut off a torn last line and return the last `t_s`; 0 for a new file."""
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        with path.open("r+b") as file:
            file.truncate(len(whole))
    last_s = 0.0
    for _, record in _records(path):
        last_s = float(record.get("t_s") or 0.0)
    return last_s
