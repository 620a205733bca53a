"""Which curves the page of an episode shows. How a chart is drawn is in `app.report.chart`.

All charts run from 0 to the episode's end, so that one cursor fits them all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_rl.app.report.chart import MAX_POINTS, Band, Chart, Intervals, Line
from robot_rl.core.episode import Episode
from robot_rl.core.recording import RecordingSpec
from robot_rl.core.spec import WRENCH
from robot_rl.core.types import GateReason, Source
from robot_rl.data.store.label import Label

Mark = Line | Band | Intervals

LINES_A_CHART = 7
"""More lines than these are not told apart; a longer vector gets more charts."""

_BENT = [r for r in GateReason if r != GateReason.PASSED and not r.refuses]
_REFUSED = [r for r in GateReason if r.refuses]


def main_charts(episode: Episode, spec: RecordingSpec, labels: Sequence[Label]) -> list[Chart]:
    """Return force, reward and every action element, with what happened behind the curves."""
    plot = _Plot(episode, spec.task.action.period_s)
    charts = [_reward(plot, episode, labels)]
    if WRENCH in episode.vectors:
        force = np.linalg.norm(episode.vectors[WRENCH][:, :3], axis=1)
        unit = spec.task.observation.vectors[WRENCH].unit.split(",")[0]
        line = plot.line("", "improved", force)
        charts.insert(0, plot.chart("Contact force", "Magnitude.", unit, [line], banded=True))
    return charts + [_action(plot, episode, spec, i) for i in range(spec.task.action.size)]


def more_charts(episode: Episode, spec: RecordingSpec) -> list[Chart]:
    """Return every element of every observation vector, and the loop's timing."""
    plot = _Plot(episode, spec.task.action.period_s)
    charts: list[Chart] = []
    for key, vector in spec.task.observation.vectors.items():
        for first in range(0, vector.size, LINES_A_CHART):
            names = vector.names[first : first + LINES_A_CHART]
            lines = [
                plot.line(name, f"e{i}", episode.vectors[key][:, first + i])
                for i, name in enumerate(names)
            ]
            charts.append(
                plot.chart(key, vector.frame and f"Frame {vector.frame}.", vector.unit, lines)
            )
    timing = [
        plot.line("inference", "improved", 1000 * episode.inference_s),
        plot.line("late", "base", 1000 * episode.lateness_s),
        plot.line("age of the oldest stream", "neutral", 1000 * episode.ages_s),
    ]
    return [*charts, plot.chart("Timing", "What the control loop measured.", "ms", timing)]


@dataclass(frozen=True, slots=True)
class _Plot:
    """Time axis and background of one episode's charts."""

    episode: Episode
    period_s: float

    def line(self, label: str, role: str, values: NDArray[Any], dashed: bool = False) -> Line:
        """A line over all instants; a column of steps holds its value for the period."""
        column = np.asarray(values, np.float64)
        if len(column) == len(self.episode):
            column = np.append(column, column[-1])
        column = np.where(np.isfinite(column), column, np.nan)
        shown = peaks_kept(column, MAX_POINTS)
        return Line(
            label=label, role=role, x=shown * self.period_s, y=column[shown], dashed=dashed
        )

    def chart(
        self,
        title: str,
        note: str,
        unit: str,
        lines: Sequence[Line],
        *,
        banded: bool = False,
        y_range: tuple[float, float] | None = None,
    ) -> Chart:
        """A chart of lines, on bands of what happened if `banded`."""
        low, high = y_range or _range(lines)
        marks: list[Mark] = [*self._bands(low, high)] if banded else []
        return Chart(
            title=title,
            note=note,
            x_label="time [s]",
            y_label=unit,
            marks=[*marks, *lines],
            y_range=(low, high),
        )

    def _bands(self, low: float, high: float) -> Iterator[Band]:
        source, reason = self.episode.source, self.episode.gate_reason
        for label, role, mask in (
            ("a person drives", "help", np.isin(source, (Source.HUMAN, Source.DEMO))),
            ("the gate bends", "neutral", np.isin(reason, _BENT)),
            ("the gate refuses", "base", np.isin(reason, _REFUSED)),
        ):
            for index, (start, end) in enumerate(runs(mask)):
                x = [start * self.period_s, end * self.period_s]
                # One word in the legend for all bands of a kind.
                word = label if index == 0 else ""
                yield Band(label=word, role=role, x=x, low=[low, low], high=[high, high])


def runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return [start, end) of each run of true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def peaks_kept(column: NDArray[np.float64], most: int) -> NDArray[np.int64]:
    """Return at most `most` indices of `column` that draw the same picture.

    Of each of equal parts the smallest and the largest value stay: thinning evenly would hide the
    one step in which the force was high.
    """
    if len(column) <= most:
        return np.arange(len(column))
    kept: set[int] = {0, len(column) - 1}
    for part in np.array_split(np.arange(1, len(column) - 1), most // 2 - 1):
        values = column[part]
        kept.add(int(part[np.where(np.isnan(values), np.inf, values).argmin()]))
        kept.add(int(part[np.where(np.isnan(values), -np.inf, values).argmax()]))
    return np.array(sorted(kept), np.int64)


def gate_events(episode: Episode, period_s: float) -> list[tuple[str, str, int]]:
    """Return (time, reason, steps) of each run of steps that the gate changed for one reason."""
    found: list[tuple[int, GateReason, int]] = []
    for reason in GateReason:
        if reason != GateReason.PASSED:
            mask = episode.gate_reason == reason
            found += [(start, reason, end - start) for start, end in runs(mask)]
    return [
        (f"{start * period_s:.2f} s", reason.name.lower().replace("_", " "), steps)
        for start, reason, steps in sorted(found)
    ]


def _reward(plot: _Plot, episode: Episode, labels: Sequence[Label]) -> Chart:
    lines = [plot.line("recorded reward", "neutral", episode.reward)]
    shown = [label for label in labels if len(label.values) >= len(episode) > 1]
    for index, label in enumerate(shown):
        lines.append(plot.line(label.name, f"e{index % LINES_A_CHART}", label.values, dashed=True))
    note = "As recorded, and as labelled afterwards." if shown else "As recorded."
    return plot.chart("Reward", note, "", lines, banded=True)


def _action(plot: _Plot, episode: Episode, spec: RecordingSpec, index: int) -> Chart:
    scale = spec.task.action.scale[index]
    columns: Mapping[str, tuple[str, NDArray[Any]]] = {
        "proposed": ("neutral", episode.proposed_action[:, index]),
        "base": ("base", episode.base_action[:, index]),
        "executed": ("improved", episode.action[:, index]),
    }
    lines = [
        plot.line(name, role, values, dashed=name != "executed")
        for name, (role, values) in columns.items()
        # Zeros throughout: there was no base policy, or nothing proposed.
        if name == "executed" or np.any(values)
    ]
    return plot.chart(
        f"Action {spec.task.action.names[index]}",
        f"Normalised; 1 is {scale:g} in SI units." if spec.task.action.kind != "opaque" else "",
        "",
        lines,
        banded=True,
        y_range=(-1.1, 1.1) if _within_one(lines) else None,
    )


def _within_one(lines: Sequence[Line]) -> bool:
    return all(np.nanmax(np.abs(line.y), initial=0.0) <= 1.1 for line in lines)


def _range(lines: Sequence[Line]) -> tuple[float, float]:
    values = np.concatenate([np.asarray(line.y, np.float64) for line in lines])
    values = values[np.isfinite(values)]
    low, high = (min(0.0, values.min()), max(0.0, values.max())) if len(values) else (0.0, 1.0)
    margin = 0.08 * (high - low) or 0.5
    return float(low - margin if low < 0 else low), float(high + margin)
