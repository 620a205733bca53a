"""How long a plan takes on its way, without a model: ours, openpi's and lerobot's, side by side.

Two images and a state of 14 numbers go to a server in another process of this machine, a chunk of
50 x 14 comes back. All servers run at once and are asked in turns, so that what else the machine
does meets all alike. A round's first requests are not counted. What is compared is in
`serving_peer`. Not here: inference (`serving_inference`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

import numpy as np
from report import Claim, Row, at_most, measured, skipped
from serving_peer import CLIENTS, SIZES, Size, missing, peer

TARGETS = {"openpi": 0.7, "lerobot": 0.5}
"""Ours takes at most so much of what the peer takes, median and 99th percentile."""
OURS = "ours"
ASKED, UNCOUNTED = 24, 4
"""Requests of a round, and how many of them warm the caches."""

Ask = Callable[[Size, int], list[float]]


def measure(quick: bool) -> tuple[list[Row], list[Claim]]:
    """Return rows of round trips [ms] and what must be true of them."""
    rows, claims = list[Row](), list[Claim]()
    missed = {name: reason for name in CLIENTS if (reason := missing(name))}
    with ExitStack() as stack:
        asks = {name: stack.enter_context(peer(name)) for name in CLIENTS if name not in missed}
        for height, width in SIZES:
            times_ms = compare(asks, (height, width), rounds=15 if quick else 200)
            size = f"2 x {height}x{width}"
            rows += [_row(f"{name}, {size}", values) for name, values in times_ms.items()]
            claims += [claim for name in TARGETS for claim in _claims(name, size, times_ms)]
    return [*rows, *(skipped(name, reason) for name, reason in missed.items())], claims


def compare(asks: Mapping[str, Ask], size: Size, rounds: int) -> dict[str, list[float]]:
    """Return every round trip [ms] by name; whose turn is first goes around."""
    times_ms: dict[str, list[float]] = {name: [] for name in asks}
    names = list(asks)
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            times_ms[name] += asks[name](size, ASKED)[UNCOUNTED:]
    return times_ms


def _row(name: str, taken_ms: Sequence[float]) -> Row:
    p99 = float(np.percentile(taken_ms, 99))
    return measured(f"round trip: {name}", "ms", taken_ms, p99=p99)


def _claims(peer: str, size: str, times_ms: dict[str, list[float]]) -> list[Claim]:
    return [
        at_most(
            f"round trip, {size}: p{percent}, to {peer}'s",
            _percentile(times_ms, OURS, percent) / _percentile(times_ms, peer, percent),
            "x",
            TARGETS[peer],
        )
        for percent in (50, 99)
    ]


def _percentile(times_ms: dict[str, list[float]], name: str, percent: float) -> float:
    return float(np.percentile(times_ms[name], percent)) if name in times_ms else float("nan")
