"""The session's page: how fresh its pictures are, how soon a key acts, and what it costs the loop.

    .venv/bin/python scripts/bench/page.py [--quick] [--json FILE]

The page is the one that is served in production, in Debian's Chromium, which Playwright drives.

- Control ticks: peg insertion in real time, 10 Hz, without page and pictures, with both and a tab
  that looks, and with attackers beside: 1000 malformed messages and 1000 idle connections in each
  block. The three take turns in one run. A tick is from one command to the next.
- Keys: from the key going down in the page until the gate checks a person's command.
- Tabs: four of them, and the views that they show at the same instants.
- Pictures: 640x480 at 30 Hz, from capture until the page has drawn them; the screen shows that
  within one frame of its own. The peer is Motion JPEG in an `<img>` (`page_stream`). A browser
  does not tell when it paints that: its page looks at each animation frame what the `<img>` shows,
  and that costs it a decoding more.

Browser, loop, page and attackers share the cores of this machine, as a browser on a robot's own
would; attackers come from elsewhere, so theirs gives way (`nice`). A row tells how busy the cores
were: figures of a machine that does other things are about those too.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import tyro
from page_browser import Browser, Tab, open_browser
from page_figures import (
    Ticks,
    key_claims,
    key_rows,
    presses,
    stream_claims,
    stream_rows,
    tab_claims,
    tab_rows,
    tick_claims,
)
from page_helper import Helper
from report import Claim, Row, publish

from robot_rl.core.errors import RobotRlError

MESSAGES, CONNECTIONS = 1000, 1000
KEYS = ("PageUp", "ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight")
"""Up once, then one after the other, so that the arm stays where it has room."""
TABS = 4
COLUMNS = (
    *("name", "median", "p10", "p90", "p99", "max", "share", "unit", "repeats", "missed", "lost"),
    "load",
)
_SETTLE_S = 1.0
_HELD_S = 0.25
_KEY_EVERY_S = 0.5 + 0.1 * 0.618
"""Five of the loop's periods and a golden share of one: no phase is met more often than others."""

Found = tuple[list[Row], list[Claim]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What may be chosen.

    Args:
        quick: less than two minutes: short blocks of ticks, whose p99 is then much of a chance.
        file: where the result goes as JSON.
    """

    quick: bool = False
    file: Annotated[Path | None, tyro.conf.arg(name="json")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How long to measure.

    Args:
        blocks: of ticks, each way.
        block_s: length of one.
        keys: that are pressed.
        tabs_s: four tabs look for so long.
        turns: of pictures, to the page and to the peer.
        turn_s: length of one.
    """

    blocks: int
    block_s: float
    keys: int
    tabs_s: float
    turns: int
    turn_s: float


QUICK = Effort(blocks=2, block_s=5.0, keys=22, tabs_s=4.0, turns=2, turn_s=2.5)
FULL = Effort(blocks=10, block_s=30.0, keys=300, tabs_s=60.0, turns=5, turn_s=20.0)


def ticks(browser: Browser, loop: Helper, foes: Helper, effort: Effort) -> Found:
    """Without the page, with it, and with attackers; every second time the other way round."""
    ways = {name: Ticks() for name in ("without page", "with page", "with attackers")}
    without, page, attacked = ways.values()
    rest = partial(time.sleep, effort.block_s)
    sent: list[list[int]] = []
    for turn in range(effort.blocks):
        if turn % 2 == 0:
            without.add(_block(loop, rest)[0])
        with ExitStack() as stack:
            url = loop.ask("open page")
            stack.callback(loop.ask, "close page")
            stack.enter_context(browser.tab(url))
            foe = partial(foes.ask, "attack", url, MESSAGES, CONNECTIONS, effort.block_s)
            for way in (page, attacked) if turn % 2 == 0 else (attacked, page):
                if way is page:
                    way.add(_block(loop, rest)[0])
                else:
                    told, counts = _block(loop, foe)
                    way.add(told)
                    sent.append(counts)
        if turn % 2:
            without.add(_block(loop, rest)[0])
    rows = [row for name, way in ways.items() for row in way.rows(name, _load())]
    for at, what in enumerate(("malformed messages", "idle connections")):
        counts = [one[at] for one in sent]
        rows.append({"name": f"{what}, in a block", "median": min(counts), "each": counts})
    return rows, tick_claims(without, page, attacked)


def keys(browser: Browser, loop: Helper, effort: Effort) -> Found:
    """Press keys, at all phases of the loop's period alike."""
    url = loop.ask("open page")
    try:
        with browser.tab(url) as tab:
            time.sleep(_SETTLE_S)
            # Whoever comes takes over with the first one.
            _press(tab, KEYS[0])
            time.sleep(_SETTLE_S)
            tab.take()
            loop.ask("begin")
            began_s = time.monotonic()
            for number in range(effort.keys):
                time.sleep(max(0.0, began_s + number * _KEY_EVERY_S - time.monotonic()))
                _press(tab, KEYS[1 + number % (len(KEYS) - 1)])
            time.sleep(_SETTLE_S)
            told = loop.ask("told")
            found, lost = presses(tab.take(), told)
    finally:
        loop.ask("close page")
    if lost:
        print(f"page: {lost} keys were lost; the session is in {told['stands']}", file=sys.stderr)
    return key_rows(found, lost), key_claims(found, lost)


def tabs(browser: Browser, loop: Helper, effort: Effort) -> Found:
    """Look with four tabs."""
    with ExitStack() as stack:
        url = loop.ask("open page")
        stack.callback(loop.ask, "close page")
        opened = [stack.enter_context(browser.tab(url)) for _ in range(TABS)]
        time.sleep(_SETTLE_S)
        began_s = time.monotonic()
        for tab in opened:
            tab.take()
        time.sleep(effort.tabs_s)
        seconds = time.monotonic() - began_s
        seen = [tab.take() for tab in opened]
    return tab_rows(seen, seconds), tab_claims(seen)


def pictures(browser: Browser, stream: Helper, effort: Effort) -> Found:
    """Show pictures to the page and to the peer, in turns."""
    about = stream.ask("about")
    rates: dict[str, list[float]] = {"page": [], "peer": []}
    ages_ms: dict[str, list[float]] = {"page": [], "peer": []}
    for turn in range(effort.turns):
        for name in ("page", "peer") if turn % 2 == 0 else ("peer", "page"):
            found_ms = _shown(browser, stream, name, about[name], effort.turn_s)
            rates[name].append(len(found_ms) / effort.turn_s)
            ages_ms[name] += found_ms
    rows = [
        *stream_rows("640x480 at 30 Hz, page", rates["page"], ages_ms["page"]),
        *stream_rows("640x480 at 30 Hz, peer: Motion JPEG", rates["peer"], ages_ms["peer"]),
        {"name": "a picture as JPEG", "unit": "kB", "median": about["bytes"] / 1000},
    ]
    return rows, stream_claims(rates["page"], ages_ms["page"], ages_ms["peer"])


def main(options: Options) -> int:
    """Measure, print and write; returns the exit status."""
    effort = QUICK if options.quick else FULL
    rows, claims = list[Row](), list[Claim]()
    try:
        with ExitStack() as stack:
            folder = Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="robot-rl-page-"))
            )
            browser = stack.enter_context(open_browser())
            with Helper("page_loop", folder) as loop:
                with Helper("page_attack", folder) as foes:
                    _add(rows, claims, ticks(browser, loop, foes, effort))
                for measure in (keys, tabs):
                    _add(rows, claims, measure(browser, loop, effort))
            with Helper("page_stream", folder) as stream:
                _add(rows, claims, pictures(browser, stream, effort))
    except (RobotRlError, RuntimeError) as error:
        print(f"page: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    publish("the session's page", rows, claims, options.file, COLUMNS)
    return 0


def _block(loop: Helper, meanwhile: Callable[[], Any]) -> tuple[dict[str, Any], Any]:
    """What the loop tells of the time that something takes, and what came of that."""
    time.sleep(_SETTLE_S)
    loop.ask("begin")
    result = meanwhile()
    return loop.ask("told"), result


def _press(tab: Tab, key: str) -> None:
    tab.page.keyboard.down(key)
    time.sleep(_HELD_S)
    tab.page.keyboard.up(key)


def _shown(browser: Browser, stream: Helper, name: str, url: str, seconds: float) -> list[float]:
    """Ages [ms] of the pictures that were painted in so many seconds."""
    stream.ask("show", name)
    try:
        with browser.tab(url, "body[data-live=true]" if name == "page" else "#live") as tab:
            time.sleep(_SETTLE_S)
            if name == "page":
                tab.take()
                time.sleep(seconds)
                return [paint[4] - paint[1] for paint in tab.take().painted]
            tab.page.evaluate("numbers.length = 0")
            time.sleep(seconds)
            taken = dict(stream.ask("taken"))
            found = tab.page.evaluate("numbers")
            return [at_ms - taken[number] for number, at_ms in found if number in taken]
    finally:
        stream.ask("show", "nobody")


def _add(rows: list[Row], claims: list[Claim], found: Found) -> None:
    rows += found[0]
    claims += found[1]


def _load() -> float:
    """Processes that wanted a core in the last minute; beyond the number of cores some waited."""
    return os.getloadavg()[0]


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=__doc__)))
