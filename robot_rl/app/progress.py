"""Live progress of a run in the terminal, and log lines where there is none.

It reads events only; what a run does never depends on it.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from robot_rl.core.clock import NS_PER_S, Clock, MonotonicClock
from robot_rl.runtime.events import (
    EpisodeEnded,
    Evaluated,
    Event,
    GateEvent,
    LearnerMetrics,
    PhaseEnded,
    PhaseProgress,
    PhaseStarted,
)

WINDOW = 20
"""Episodes behind the rolling success and the intervention rate."""

LOG_EVERY_S = 10.0
"""Between two log lines where there is no terminal [s]."""

_LOG = logging.getLogger(__name__)


class RunStatus:
    """What the events so far amount to; no drawing."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started_ns = clock.now_ns()
        self._recent: deque[EpisodeEnded] = deque(maxlen=WINDOW)
        self.phase = ""
        self.unit = ""
        self.total = 0
        self.done = 0
        self.episodes = 0
        self.env_steps = 0
        self.updates_per_s = math.nan
        self.gate_events = 0
        self.evaluated: Evaluated | None = None

    def apply(self, event: Event) -> None:
        """Take one event in."""
        match event:
            case PhaseStarted():
                self.phase, self.unit, self.total = event.phase, event.unit, event.total
                self.done = self.episodes = 0
                self.updates_per_s = math.nan
                self._recent.clear()
                self._started_ns = self._clock.now_ns()
            case PhaseProgress():
                self.done = event.done
            case EpisodeEnded():
                self.episodes += 1
                self.env_steps = event.env_steps_total
                self._recent.append(event)
            case LearnerMetrics():
                self.updates_per_s = event.updates_per_s
                self.env_steps = max(self.env_steps, event.env_steps_total)
            case Evaluated():
                self.evaluated = event
            case GateEvent():
                self.gate_events += 1
            case PhaseEnded():
                pass

    @property
    def success(self) -> float:
        """Autonomous success over the last `WINDOW` episodes of the phase; NaN without one."""
        if not self._recent:
            return math.nan
        return sum(e.success_autonomous for e in self._recent) / len(self._recent)

    @property
    def intervention_rate(self) -> float:
        """Human steps / steps over the last `WINDOW` episodes of the phase; NaN without one."""
        steps = sum(e.steps for e in self._recent)
        return sum(e.human_steps for e in self._recent) / steps if steps else math.nan

    @property
    def elapsed_s(self) -> float:
        """Since the phase began [s]."""
        return (self._clock.now_ns() - self._started_ns) / NS_PER_S

    @property
    def left_s(self) -> float:
        """Time left of the phase [s] at its pace so far; NaN while unknown."""
        if self.done <= 0 or self.total <= 0:
            return math.nan
        return self.elapsed_s * max(self.total - self.done, 0) / self.done

    @property
    def deployed(self) -> str:
        """What drives the robot as far as evaluation has said; empty before."""
        if self.evaluated is None:
            return ""
        last = self.evaluated
        name = "base" if last.deployed == "base" else f"{last.deployed} v{last.deployed_version}"
        return f"{name} (gain over base at least {100 * last.lower_bound:+.0f} points)"

    def figures(self) -> list[tuple[str, str]]:
        """Return what is known now as (name, text), in reading order."""
        last = min(self.episodes, WINDOW)
        known = [
            ("episode", str(self.episodes) if self.episodes else ""),
            ("success", _percent(self.success, f" of last {last}, unassisted")),
            ("intervention", _percent(self.intervention_rate, " of steps")),
            ("env steps", f"{self.env_steps:,}" if self.env_steps else ""),
            ("updates", _number(self.updates_per_s, "/s")),
            ("gate events", str(self.gate_events) if self.gate_events else ""),
            ("deployed", self.deployed),
            ("left", "" if math.isnan(self.left_s) else duration(self.left_s)),
        ]
        return [(name, text) for name, text in known if text]


class RunProgress:
    """Context manager and sink: a live display on a terminal, log lines elsewhere."""

    def __init__(self, console: Console | None = None, clock: Clock | None = None) -> None:
        self._console = console or Console()
        self._clock = clock or MonotonicClock()
        self._status = RunStatus(self._clock)
        self._logged_ns = self._clock.now_ns()
        self._live: Live | None = None
        if self._console.is_terminal:
            self._live = Live(
                get_renderable=self._drawing, console=self._console, refresh_per_second=4
            )

    def __call__(self, event: Event) -> None:
        """Take one event in and show it."""
        self._status.apply(event)
        if isinstance(event, PhaseEnded):
            self._tell(f"{event.phase}: ended after {duration(self._status.elapsed_s)}")
        elif self._live is None and not isinstance(event, GateEvent):
            since_s = (self._clock.now_ns() - self._logged_ns) / NS_PER_S
            if since_s >= LOG_EVERY_S:
                self._tell(self._line())

    def __enter__(self) -> RunProgress:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def _tell(self, line: str) -> None:
        self._logged_ns = self._clock.now_ns()
        if self._live is None:
            _LOG.info(line)
        else:
            self._live.console.print(Text(line, style="green"))

    def _line(self) -> str:
        status = self._status
        total = f"/{status.total}" if status.total else ""
        figures = "  ".join(f"{name} {text}" for name, text in status.figures())
        return f"{status.phase}: {status.done}{total} {status.unit}  {figures}".rstrip()

    def _drawing(self) -> RenderableType:
        status = self._status
        head = Table.grid(padding=(0, 1))
        total = f"/{status.total}" if status.total else ""
        head.add_row(
            Text(status.phase or "starting", style="bold"),
            ProgressBar(
                total=status.total or None, completed=status.done, width=30, pulse=not total
            ),
            f"{status.done}{total} {status.unit}",
            Text(duration(status.elapsed_s), style="dim"),
        )
        body = Table.grid(padding=(0, 2))
        for name, text in status.figures():
            body.add_row(Text(name, style="dim"), text)
        return Group(head, body)


def duration(seconds: float) -> str:
    """Return a duration as a person says it: 42 s, 3 min 05 s, 2 h 07 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _percent(share: float, suffix: str) -> str:
    return "" if math.isnan(share) else f"{100 * share:.0f} %{suffix}"


def _number(value: float, suffix: str) -> str:
    return "" if math.isnan(value) else f"{value:.0f} {suffix}".replace(" /", "/")
