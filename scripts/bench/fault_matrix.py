"""The gate's published fault matrix, and its figures against what is promised.

    .venv/bin/python scripts/bench/fault_matrix.py [--quick] [--json FILE]

The matrix: every fault in every state of the gate, what follows, how soon, and what it takes for
the arm to move again. The figures: command loss and death of the gate at the speed limit, stalls
of its loop, jumps of the wall clock, forged messages of an actor, second gates.

Rows called `live` are of real processes on this machine, so the operating system's part is in
them (`late_ms` is how late the gate's loop woke); all others pass in a time of their own and are
the same every time. Speeds and ways of the tool are those of the simulated arm's physics, under
the limits of `configs/cells/sim_fr3.yaml`: 0.25 m/s, 2.5 m/s^2, 50 m/s^3.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from gate_figures import Death, Loss, Stall, deaths, losses, stalls
from gate_kills import LiveDeath, LiveLoss, live_deaths, live_losses, second_gates
from gate_lies import forged, wall_clock_jumps
from gate_states import FAULTS, Outcome, matrix
from report import Claim, Row, at_most, publish

MAX_LATE_TICKS = 3
"""Of the cell; more of them hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What may be chosen.

    Args:
        quick: fewer repetitions, some two minutes in all.
        file: where the result goes as JSON.
    """

    quick: bool = False
    file: Annotated[Path | None, tyro.conf.arg(name="json")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How often each fault is brought about; the numbers are those promised.

    Args:
        live: with real processes, for losses and for deaths; 0 does without them.
    """

    losses: int = 200
    deaths: int = 100
    stalls: int = 1_000
    jumps: int = 1_000
    messages: int = 10_000
    live: int = 30
    faults: Sequence[str] = tuple(FAULTS)


QUICK = Effort(
    losses=12,
    deaths=6,
    stalls=60,
    jumps=200,
    messages=1_000,
    live=3,
)


def run(effort: Effort) -> tuple[list[Row], list[Claim]]:
    """Bring everything about; return the matrix, the figures' rows and the claims."""
    rows: list[Row] = [_cell(outcome) for outcome in matrix(effort.faults)]
    claims: list[Claim] = []
    parts = [
        _losses(losses(effort.losses)),
        _deaths(deaths(effort.deaths)),
        _stalls(stalls(effort.stalls)),
    ]
    if effort.live:
        parts += [
            _live_losses(live_losses(effort.live)),
            _live_deaths(live_deaths(effort.live)),
            _second_gates(second_gates(2)),
        ]
    for more_rows, more_claims in parts:
        rows += more_rows
        claims += more_claims
    jumps = wall_clock_jumps(effort.jumps)
    done, sent = forged(effort.messages), effort.messages
    return rows, [
        *claims,
        at_most(f"ticks changed by {effort.jumps} jumps of the wall clock", jumps, "", 0),
        at_most(f"clears and resumes by {sent} messages of an actor", done, "", 0),
    ]


def _cell(outcome: Outcome) -> Row:
    return {
        "name": outcome.fault,
        "state": outcome.state,
        "becomes": outcome.becomes.name,
        "reason": outcome.reason.name,
        "hold_ms": _ms(outcome.declared_s),
        "rest_ms": _ms(outcome.rest_s),
        "ends_by": outcome.ends_by,
    }


def _losses(results: list[Loss]) -> tuple[list[Row], list[Claim]]:
    rows = [
        _fell(f"command loss: {kind}", [r for r in results if r.kind == kind])
        for kind in dict.fromkeys(r.kind for r in results)
    ]
    return rows, _promised("command loss", results)


def _live_losses(results: list[LiveLoss]) -> tuple[list[Row], list[Claim]]:
    rows = [
        {
            **_fell(f"command loss, live: {kind}", few),
            "late_ms": 1e3 * max(r.late_s for r in few),
        }
        for kind in dict.fromkeys(r.kind for r in results)
        if (few := [r for r in results if r.kind == kind])
    ]
    return rows, _promised("command loss, live", results)


def _promised(name: str, results: Sequence[Loss | LiveLoss]) -> list[Claim]:
    return [
        at_most(f"{name}: HOLD, longest", 1e3 * max(r.hold_s for r in results), "ms", 100.0),
        at_most(f"{name}: tool at rest, longest", 1e3 * max(r.rest_s for r in results), "ms", 225),
        at_most(f"{name}: travel, longest", 1e3 * max(r.travel_m for r in results), "mm", 45.0),
        at_most(f"{name}: ran again by itself", sum(r.ran_again for r in results), "", 0),
    ]


def _deaths(results: list[Death]) -> tuple[list[Row], list[Claim]]:
    rows = [
        _stopped(f"gate {kind}", [r for r in results if r.kind == kind])
        for kind in dict.fromkeys(r.kind for r in results)
    ]
    loose = sum(not r.latched or r.moved for r in results)
    return rows, [
        at_most(f"gate dead, {len(results)} times: not stopped for a person", loose, "", 0),
        at_most("gate dead: travel, longest", 1e3 * max(r.travel_m for r in results), "mm", 45.0),
    ]


def _live_deaths(results: list[LiveDeath]) -> tuple[list[Row], list[Claim]]:
    rows = [
        _stopped(f"gate, live: {kind}", [r for r in results if r.kind == kind])
        for kind in dict.fromkeys(r.kind for r in results)
    ]
    loose = sum(not r.latched or r.moved_m > 1e-3 for r in results)
    name = f"gate dead, live, {len(results)} times: not stopped for a person"
    return rows, [at_most(name, loose, "", 0)]


def _second_gates(refusals: list[str]) -> tuple[list[Row], list[Claim]]:
    return [], [at_most(f"second gates let in, of {len(refusals)}", refusals.count(""), "", 0)]


def _stalls(results: list[Stall]) -> tuple[list[Row], list[Claim]]:
    row: Row = {
        "name": "stalls of the gate's loop, 1 to 500 ms",
        "repeats": len(results),
        "held": sum(r.held for r in results),
    }
    return [row], [
        at_most("stalls counted wrongly", sum(r.counted != r.stalled for r in results), "", 0),
        at_most(
            f"stalls beyond {MAX_LATE_TICKS} ticks without HOLD, or shorter ones with it",
            sum(r.held != (r.stalled > MAX_LATE_TICKS) for r in results),
            "",
            0,
        ),
        at_most("ticks made up for in a burst", sum(r.burst for r in results), "", 0),
    ]


def _fell(name: str, results: Sequence[Loss | LiveLoss]) -> Row:
    return {**_stopped(name, results), "hold_ms": 1e3 * max(r.hold_s for r in results)}


def _stopped(name: str, results: Sequence[Loss | LiveLoss | Death | LiveDeath]) -> Row:
    rest_ms = [1e3 * r.rest_s for r in results]
    return {
        "name": name,
        "repeats": len(results),
        "rest_median_ms": float(np.median(rest_ms)),
        "rest_ms": max(rest_ms),
        "travel_mm": 1e3 * max(r.travel_m for r in results),
    }


def _ms(value_s: float | None) -> float | None:
    return None if value_s is None else 1e3 * value_s


def main(options: Options) -> None:
    """Bring everything about, and print the matrix, the figures and the claims."""
    logging.disable()
    rows, claims = run(QUICK if options.quick else Effort())
    columns = (
        "name", "state", "becomes", "reason", "hold_ms", "rest_ms", "travel_mm", "late_ms",
        "repeats", "ends_by",
    )  # fmt: skip
    title = "what follows from a fault; times are the longest seen"
    publish(title, rows, claims, options.file, columns)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
