"""`robot-rl data stats`: what the episodes of a store amount to, and what looks wrong in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tyro.conf import Positional

from robot_rl.app.data.stores import judged, judgement_of, reader_at
from robot_rl.app.terminal import Column, Terminal, count_text, number_text
from robot_rl.core.episode import Episode
from robot_rl.core.recording import RecordingSpec
from robot_rl.core.types import GateReason, Outcome, Source
from robot_rl.data.store.episode_reader import EpisodeReader
from robot_rl.runtime.statistics import wilson_interval

COLUMNS = (
    Column("element"),
    Column("unit"),
    Column("min", right=True),
    Column("1 %", right=True),
    Column("mean", right=True),
    Column("99 %", right=True),
    Column("max", right=True),
    Column("std", right=True),
    Column("note"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """Ranges of every observation and action, success, interventions, and what the gate did.

    A person's judgement (label `success`) goes before the recorded outcome.

    Examples:
      robot-rl data stats runs/NAME/online
    """

    store: Positional[Path]
    """A store of episodes."""

    def run(self, terminal: Terminal) -> int:
        """Read every episode and print what they amount to."""
        reader = reader_at(self.store)
        if not len(reader):
            terminal.say(f"{self.store}: no episodes")
            return 0
        with terminal.progress("reading") as advance:
            seen = tally(reader, advance)
        for line in summary(seen, reader.spec):
            terminal.say(line)
        terminal.say("")
        columns = list(elements(seen, reader.spec))
        terminal.table(COLUMNS, [element_row(column) for column in columns])
        wrong = sum(bool(note(column)) for column in columns)
        if wrong:
            terminal.say(f"{count_text(wrong, 'element')} with a note", style="yellow")
        return 0


@dataclass(slots=True, kw_only=True)
class Tally:
    """What was seen in the episodes read so far."""

    episodes: int = 0
    steps: int = 0
    human_steps: int = 0
    interventions: int = 0
    judged: int = 0
    outcomes: Counter[tuple[Outcome, bool]] = field(default_factory=Counter[tuple[Outcome, bool]])
    gate: Counter[int] = field(default_factory=Counter[int])
    columns: dict[str, list[NDArray[Any]]] = field(default_factory=dict[str, list[NDArray[Any]]])

    def add(self, episode: Episode) -> None:
        """Count an episode in."""
        self.episodes += 1
        self.steps += len(episode)
        self.human_steps += int(np.isin(episode.source, (Source.HUMAN, Source.DEMO)).sum())
        self.interventions += int(episode.intervention_start.sum())
        self.outcomes[episode.outcome, episode.assisted] += 1
        self.gate.update(episode.gate_reason.tolist())
        vectors = {**episode.vectors, "action": episode.action}
        for name, values in vectors.items():
            self.columns.setdefault(name, []).append(values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One element of a vector over all instants of all episodes."""

    name: str
    unit: str
    values: NDArray[np.float64]


def tally(reader: EpisodeReader, advance: Callable[[int, int], None]) -> Tally:
    """Read every episode."""
    seen = Tally()
    for index, episode_id in enumerate(reader.ids()):
        seen.add(judged(reader, episode_id))
        seen.judged += judgement_of(reader, episode_id) is not None
        advance(index + 1, len(reader))
    return seen


def summary(seen: Tally, spec: RecordingSpec) -> list[str]:
    """Return the lines above the table."""
    hours = seen.steps * spec.task.action.period_s / 3600
    lines = [
        f"{count_text(seen.episodes, 'episode')}, {count_text(seen.steps, 'step')}, {hours:.2f} h",
        f"success without help: {_rate(seen, assisted=False)}",
        f"success with help:    {_rate(seen, assisted=True)}",
        f"interventions: {seen.interventions}, "
        f"{100 * seen.human_steps / seen.steps:.1f} % of the steps were a person's",
        f"gate: {_gate(seen)}",
    ]
    unknown = sum(n for (outcome, _), n in seen.outcomes.items() if outcome == Outcome.UNKNOWN)
    if unknown:
        lines.append(
            f"{count_text(unknown, 'episode')} without an outcome, in neither rate; judge with: "
            "robot-rl data relabel STORE EPISODE --label success --by NAME"
        )
    if seen.judged:
        lines.append(f"{count_text(seen.judged, 'outcome')} as judged by a person afterwards")
    return lines


def elements(seen: Tally, spec: RecordingSpec) -> Iterator[Element]:
    """Return every element of every vector, then of the executed action."""
    for key, vector in spec.task.observation.vectors.items():
        values = np.concatenate(seen.columns[key]).astype(np.float64)
        short = key.removeprefix("observation.")
        for index, name in enumerate(vector.names):
            yield Element(name=f"{short}/{name}", unit=vector.unit, values=values[:, index])
    action = np.concatenate(seen.columns["action"]).astype(np.float64)
    for index, name in enumerate(spec.task.action.names):
        yield Element(name=f"action/{name}", unit="normalised", values=action[:, index])


def element_row(element: Element) -> list[str]:
    """Return the cells of one element, over its finite values."""
    finite = element.values[np.isfinite(element.values)]
    if not len(finite):
        return [element.name, element.unit, *[""] * 6, note(element)]
    low, high = np.quantile(finite, (0.01, 0.99))
    found = (finite.min(), low, finite.mean(), high, finite.max(), finite.std())
    return [
        element.name,
        element.unit,
        *(number_text(float(value)) for value in found),
        note(element),
    ]


def note(element: Element) -> str:
    """Return what looks wrong: `3 not finite`, `constant`, `beyond [-1, 1]`; else nothing."""
    finite = element.values[np.isfinite(element.values)]
    parts: list[str] = []
    if lost := len(element.values) - len(finite):
        parts.append(f"{lost} not finite")
    if len(finite) > 1 and finite.min() == finite.max():
        parts.append("constant")
    if element.unit == "normalised" and len(finite) and np.abs(finite).max() > 1.0:
        parts.append("beyond [-1, 1]")
    return ", ".join(parts)


def _rate(seen: Tally, *, assisted: bool) -> str:
    won = seen.outcomes[Outcome.SUCCESS, assisted]
    trials = won + seen.outcomes[Outcome.FAILURE, assisted]
    if not trials:
        return "no such episodes"
    low, high = wilson_interval(won, trials)
    return (
        f"{won} of {trials}, {100 * won / trials:.0f} % "
        f"(95 % interval {100 * low:.0f}-{100 * high:.0f} %)"
    )


def _gate(seen: Tally) -> str:
    counted: Sequence[str] = [
        f"{GateReason(reason).name.lower().replace('_', ' ')} {count}"
        for reason, count in seen.gate.most_common()
        if reason != GateReason.PASSED
    ]
    return ", ".join(counted) or "passed every action"
