"""What the stamps of loop, page and tabs mean, as rows and claims. Nothing is measured here."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from page_browser import Seen
from report import Claim, Row, at_least, at_most, measured

NAN = float("nan")
PERIOD_MS = 100.0
KEY_MS, PAINT_MS, FPS = 60.0, 50.0, 20.0
MORE_PERCENT = 2.0
APART = 1
_LATEST_MS = 400.0
"""A key that has not reached the gate by then is lost."""
_SAMPLE_MS = 10.0


@dataclass(slots=True)
class Ticks:
    """Control ticks of one way to run the loop, over its blocks.

    Args:
        blocks: lengths of the ticks [ms], from one command to the next, by block.
        work_ms: what of a tick the loop did not sleep.
        missed: ticks that were.
    """

    blocks: list[list[float]] = field(default_factory=list)
    work_ms: list[float] = field(default_factory=list)
    missed: int = 0

    def add(self, told: Mapping[str, Any]) -> None:
        """Take the stamps of a block."""
        self.blocks.append((np.diff(told["checked_ns"]) / 1e6).tolist())
        self.work_ms += work_ms(told["woke_ns"], told["slept_ns"])
        self.missed += told["missed"]

    @property
    def ticks_ms(self) -> list[float]:
        """Of all blocks."""
        return [tick for block in self.blocks for tick in block]

    @property
    def p99_ms(self) -> float:
        """Of all blocks."""
        return percentile(self.ticks_ms, 99)

    def rows(self, name: str, load: float) -> list[Row]:
        """Its rows; `p99_blocks` tells how much chance is in the p99."""
        more = {
            "p99": self.p99_ms,
            "p99_blocks": [percentile(block, 99) for block in self.blocks],
            "max": max(self.ticks_ms, default=NAN),
            "missed": self.missed,
            "load": load,
        }
        work_p99 = percentile(self.work_ms, 99)
        return [
            measured(f"control tick, {name}", "ms", self.ticks_ms or [NAN], **more),
            measured(f"work in a tick, {name}", "ms", self.work_ms or [NAN], p99=work_p99),
        ]


def work_ms(woke_ns: Sequence[int], slept_ns: Sequence[int]) -> list[float]:
    """From each time that the loop woke to the next time that it went to sleep."""
    spans: list[float] = []
    for woke in woke_ns:
        at = bisect_right(slept_ns, woke)
        if at < len(slept_ns):
            spans.append((slept_ns[at] - woke) / 1e6)
    return spans


def tick_claims(without: Ticks, page: Ticks, attacked: Ticks) -> list[Claim]:
    """What page and attackers may do to the ticks."""
    beside = attacked.missed - page.missed
    return [
        _less_than("page, on the tick's p99", more_percent(page.p99_ms, without.p99_ms)),
        _less_than("attackers, on the tick's p99", more_percent(attacked.p99_ms, page.p99_ms)),
        at_most("attackers, more missed ticks", float(beside), "", 0.0),
    ]


def more_percent(value: float, than: float) -> float:
    """How much more a value is than another one [%]."""
    return 100 * (value / than - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """A key's way to the gate, in parts [ms].

    Args:
        page: until the page has said so; `server`: until its process has heard it; `desk`: until
            it was at the session's desk; `tick`: until the gate has checked it; `all`: of these.
    """

    page: float
    server: float
    desk: float
    tick: float

    @property
    def all(self) -> float:
        """The whole way."""
        return self.page + self.server + self.desk + self.tick


def presses(seen: Seen, told: Mapping[str, Any]) -> tuple[list[Press], int]:
    """Follow each key through the stamps; return also how many never came to the gate in time."""
    heard = [motion[0] for motion in told["motions_ms"]]
    arrived = [motion[1] for motion in told["motions_ms"]]
    found: list[Press] = []
    for key_ms in seen.keys:
        said_ms = _first_after(seen.words, key_ms)
        heard_ms = _first_after(heard, said_ms)
        arrived_ms = _first_after(arrived, heard_ms)
        gate_ms = _first_after(told["human_ms"], arrived_ms)
        # False for NaN too.
        if gate_ms - key_ms <= _LATEST_MS:
            way = (key_ms, said_ms, heard_ms, arrived_ms, gate_ms)
            page, server, desk, tick = np.diff(way).tolist()
            found.append(Press(page=page, server=server, desk=desk, tick=tick))
    return found, len(seen.keys) - len(found)


def key_rows(found: Sequence[Press], lost: int) -> list[Row]:
    """Rows of the keys' way and its parts; `share` is a part's, of the mean."""
    parts = {
        "key to gate": [press.all for press in found],
        "key to gate: in the page": [press.page for press in found],
        "key to gate: to the page's process": [press.server for press in found],
        "key to gate: to the desk": [press.desk for press in found],
        "key to gate: wait for the tick": [press.tick for press in found],
    }
    whole = float(np.mean([press.all for press in found])) if found else NAN
    rows: list[Row] = []
    for name, values in parts.items():
        mean = float(np.mean(values)) if values else NAN
        rows.append(measured(name, "ms", values or [NAN], mean=mean, share=mean / whole))
    return [{**rows[0], "lost": lost}, *rows[1:]]


def key_claims(found: Sequence[Press], lost: int) -> list[Claim]:
    """What is claimed of the keys' way."""
    median = percentile([press.all for press in found], 50)
    return [
        at_most("key to gate, median", median, "ms", KEY_MS),
        at_most("keys that never came to the gate", float(lost), "", 0.0),
    ]


def stream_rows(name: str, rates: Sequence[float], ages_ms: Sequence[float]) -> list[Row]:
    """Rows of one way to show pictures: of frames a second by turn, and of their age."""
    return [
        measured(f"{name}: frames a second", "Hz", rates or [NAN]),
        measured(f"{name}: capture to paint", "ms", ages_ms or [NAN], p99=percentile(ages_ms, 99)),
    ]


def stream_claims(
    rates: Sequence[float], ages_ms: Sequence[float], peers_ms: Sequence[float]
) -> list[Claim]:
    """What is claimed of the page's pictures; of the peer's nothing is."""
    median = percentile(ages_ms, 50)
    return [
        at_least("640x480, frames a second", percentile(rates, 50), "Hz", FPS),
        at_most("640x480, capture to paint, median", median, "ms", PAINT_MS),
        at_most("capture to paint, to the peer's", median / percentile(peers_ms, 50), "x", 1.0),
    ]


def apart(
    timelines: Sequence[Sequence[Sequence[float]]], every_ms: float = _SAMPLE_MS
) -> list[int]:
    """How far the tabs are from each other, in views, at instants that are evenly spread.

    Args:
        timelines: per tab, number of each view and when it was shown [ms], in order.
        every_ms: between two instants.
    """
    if not all(timelines):
        return []
    begin = max(timeline[0][1] for timeline in timelines)
    end = min(timeline[-1][1] for timeline in timelines)
    times = [[shown[1] for shown in timeline] for timeline in timelines]
    found: list[int] = []
    for at_ms in np.arange(begin, end, every_ms):
        numbers = [
            timeline[bisect_right(shown, at_ms) - 1][0]
            for timeline, shown in zip(timelines, times, strict=True)
        ]
        found.append(int(max(numbers) - min(numbers)))
    return found


def tab_rows(tabs: Sequence[Seen], seconds: float) -> list[Row]:
    """Rows of tabs that look at the same time; `share` of the instants all show the same view."""
    spread = apart([tab.views for tab in tabs])
    count = len(tabs)
    rates = [len(tab.painted) / seconds for tab in tabs]
    views = [len(tab.views) / seconds for tab in tabs]
    ages = [paint[4] - paint[1] for tab in tabs for paint in tab.painted]
    most = max(spread, default=NAN)
    level = float(np.mean(np.equal(spread, 0))) if spread else NAN
    return [
        measured(f"{count} tabs: views apart", "", spread or [NAN], max=most, share=level),
        measured(f"{count} tabs: views a second", "Hz", views, each=views),
        measured(f"{count} tabs: frames a second", "Hz", rates, each=rates),
        measured(f"{count} tabs: capture to paint", "ms", ages or [NAN], p99=percentile(ages, 99)),
    ]


def tab_claims(tabs: Sequence[Seen]) -> list[Claim]:
    """What is claimed of tabs that look at the same time."""
    most = max(apart([tab.views for tab in tabs]), default=NAN)
    return [at_most(f"{len(tabs)} tabs, most views apart", float(most), "", APART)]


def percentile(values: Sequence[float], percent: float) -> float:
    """NaN of nothing."""
    return float(np.percentile(values, percent)) if len(values) else NAN


def _first_after(instants: Sequence[float], begin: float) -> float:
    """The first of ordered instants from `begin` on; NaN if there is none, or no beginning."""
    at = bisect_right(instants, begin - 1e-9)
    return instants[at] if begin == begin and at < len(instants) else NAN


def _less_than(name: str, percent: float) -> Claim:
    return Claim(
        name=name,
        value=percent,
        unit="%",
        target=f"< {MORE_PERCENT:g}",
        holds=percent < MORE_PERCENT,
    )
