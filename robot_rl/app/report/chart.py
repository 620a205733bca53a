"""Charts as plain SVG. Colours come from the page's CSS, so that dark and light both read well.

A chart knows axes, lines, bands and intervals; what they mean is in `figures`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import ArrayLike, NDArray

WIDTH, HEIGHT = 480, 260
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 26, 40
MAX_POINTS = 300
"""Lines with more points are thinned: more than a screen can show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line through (x, y); NaN breaks it. `role` names its colour in the page's CSS."""

    label: str
    role: str
    x: ArrayLike
    y: ArrayLike
    dashed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """The area between `low` and `high` over x."""

    label: str
    role: str
    x: ArrayLike
    low: ArrayLike
    high: ArrayLike


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """Points with whiskers. `shift_px` keeps those at the same x apart."""

    label: str
    role: str
    x: ArrayLike
    y: ArrayLike
    low: ArrayLike
    high: ArrayLike
    shift_px: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One chart: its words, its marks and the range of y (None: from the data, with zero)."""

    title: str
    note: str
    x_label: str
    y_label: str
    marks: Sequence[Line | Band | Intervals]
    flags: Sequence[tuple[float, str]] = ()
    y_range: tuple[float, float] | None = None
    y_percent: bool = False

    @property
    def legend(self) -> list[tuple[str, str, str]]:
        """Return (kind, role, label) of each mark."""
        return [(_kind(mark), mark.role, mark.label) for mark in self.marks if mark.label]

    @property
    def svg(self) -> str:
        """Return the chart as an SVG element."""
        return _Canvas(self).draw()


class _Canvas:
    """Pixels of one chart."""

    def __init__(self, chart: Chart) -> None:
        self._chart = chart
        self._x_low, self._x_high = _x_range(chart)
        self._y_low, self._y_high = chart.y_range or _y_range(chart)

    def draw(self) -> str:
        parts = [*self._y_axis(), *self._x_axis(), *self._flags()]
        for kind in (Band, Line, Intervals):
            parts += [self._mark(mark) for mark in self._chart.marks if isinstance(mark, kind)]
        title = escape(self._chart.title, quote=True)
        return (
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">'
            + "".join(parts)
            + "</svg>"
        )

    def _x(self, value: float) -> float:
        share = (value - self._x_low) / (self._x_high - self._x_low)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def _y(self, value: float) -> float:
        share = (value - self._y_low) / (self._y_high - self._y_low)
        return HEIGHT - BOTTOM - min(max(share, 0.0), 1.0) * (HEIGHT - TOP - BOTTOM)

    def _y_axis(self) -> list[str]:
        parts = [f'<text class="unit" x="2" y="12">{escape(self._chart.y_label)}</text>']
        scale = 100 if self._chart.y_percent else 1
        for tick in _ticks(self._y_low, self._y_high, 5):
            y = self._y(tick)
            parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
            text = tick_text(tick * scale)
            parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" class="end">{text}</text>')
        return parts

    def _x_axis(self) -> list[str]:
        floor = HEIGHT - BOTTOM
        parts = [f'<path class="axis" d="M{LEFT} {floor}H{WIDTH - RIGHT}"/>']
        for tick in _ticks(self._x_low, self._x_high, 6):
            x = self._x(tick)
            parts.append(f'<path class="axis" d="M{x:.1f} {floor}v4"/>')
            parts.append(
                f'<text x="{x:.1f}" y="{floor + 17}" class="mid">{tick_text(tick)}</text>'
            )
        middle = (LEFT + WIDTH - RIGHT) / 2
        label = escape(self._chart.x_label)
        parts.append(f'<text class="unit mid" x="{middle}" y="{HEIGHT - 5}">{label}</text>')
        return parts

    def _flags(self) -> list[str]:
        parts: list[str] = []
        free_from = 8.0 + 7.0 * len(self._chart.y_label)
        for value, label in self._chart.flags:
            x = self._x(value)
            parts.append(f'<path class="flag" d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
            width = 7.0 * len(label)
            start = min(x - width / 2, WIDTH - width)
            # A label that would touch the one before it is left out; its line stays.
            if start >= free_from:
                parts.append(f'<text class="flag" x="{start:.1f}" y="14">{escape(label)}</text>')
                free_from = start + width + 6
        return parts

    def _mark(self, mark: Line | Band | Intervals) -> str:
        if isinstance(mark, Line):
            return self._line(mark)
        return self._band(mark) if isinstance(mark, Band) else self._intervals(mark)

    def _line(self, line: Line) -> str:
        x, y = _thinned(line.x, line.y)
        commands: list[str] = []
        pen = "M"
        for at, value in zip(x, y, strict=True):
            if math.isnan(value):
                pen = "M"
                continue
            commands.append(f"{pen}{self._x(at):.1f} {self._y(value):.1f}")
            pen = "L"
        dashed = " dashed" if line.dashed else ""
        return f'<path class="line {line.role}{dashed}" d="{"".join(commands)}"/>'

    def _band(self, band: Band) -> str:
        x, low, high = _thinned(band.x, band.low, band.high)
        there = [(self._x(a), self._y(h)) for a, h in zip(x, high, strict=True)]
        back = [(self._x(a), self._y(b)) for a, b in zip(x, low, strict=True)][::-1]
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in there + back)
        return f'<polygon class="band {band.role}" points="{points}"/>'

    def _intervals(self, marks: Intervals) -> str:
        parts: list[str] = []
        columns = [np.asarray(c, np.float64) for c in (marks.x, marks.y, marks.low, marks.high)]
        for at, value, low, high in zip(*columns, strict=True):
            x = self._x(at) + marks.shift_px
            y, bottom, top = self._y(value), self._y(low), self._y(high)
            parts.append(
                f'<path class="whisker {marks.role}" d="M{x:.1f} {bottom:.1f}V{top:.1f}"/>'
                f'<circle class="dot {marks.role}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
            )
        return "".join(parts)


def tick_text(value: float) -> str:
    """Return a short number: 0.5, 20, 1.5k, 2M."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{round(value, 6):g}"


def _ticks(low: float, high: float, at_most: int) -> list[float]:
    """Return multiples of 1, 2 or 5 times a power of ten within [low, high]."""
    raw = (high - low) / at_most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= raw * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [k * step for k in range(first, last + 1)]


def _kind(mark: Line | Band | Intervals) -> str:
    if isinstance(mark, Line):
        return "dashed" if mark.dashed else "line"
    return "band" if isinstance(mark, Band) else "dot"


def _finite(columns: Sequence[ArrayLike]) -> NDArray[np.float64]:
    joined = np.concatenate([np.zeros(0), *(np.asarray(c, np.float64) for c in columns)])
    return joined[np.isfinite(joined)]


def _x_range(chart: Chart) -> tuple[float, float]:
    x = _finite([*(mark.x for mark in chart.marks), [value for value, _ in chart.flags]])
    if len(x) == 0:
        return 0.0, 1.0
    low = min(0.0, float(x.min()))
    high = float(x.max())
    # Room for the last interval's whisker and dot.
    return low, high + 0.02 * (high - low) if high > low else low + 1.0


def _y_range(chart: Chart) -> tuple[float, float]:
    columns: list[ArrayLike] = []
    for mark in chart.marks:
        columns += [mark.y] if isinstance(mark, Line) else [mark.low, mark.high]
    y = _finite(columns)
    low, high = (min(0.0, y.min()), max(0.0, y.max())) if len(y) else (0.0, 1.0)
    margin = 0.08 * (high - low)
    if margin == 0:
        return 0.0, 1.0
    return float(low - margin if low < 0 else 0.0), float(high + margin)


def _thinned(*columns: ArrayLike) -> list[NDArray[np.float64]]:
    arrays = [np.asarray(column, np.float64) for column in columns]
    length = len(arrays[0])
    if length <= MAX_POINTS:
        return arrays
    keep = np.unique(np.linspace(0, length - 1, MAX_POINTS).round().astype(int))
    return [array[keep] for array in arrays]
