"""How fast everything runs that a run spends its time on, each next to a named peer.

Usage: .venv/bin/python scripts/bench/throughput.py [--quick] [--tasks NAME ...] [--json FILE]
"""

from __future__ import annotations

import logging
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from learner_parts import LearnerBench
from loop import camera_row, episode_rates, tick_parts, ticks_and_physics, vector_rates
from numpy.typing import ArrayLike
from peers import critics_against_loop, sampling_against_rows
from report import Claim, Row, at_least, at_most, measured, publish
from workload import CONFIGS, MAIN_TASK, Effort, open_workload, tasks

from robot_rl.config.load import load
from robot_rl.config.model import Config

LEARNERS = ("residual_td3", "rlpd")


FULL = Effort(repeats=20, calls=20, demonstrations=10, imitation_steps=2000, buffer_steps=20_000)
QUICK = Effort(repeats=5, calls=5, demonstrations=3, imitation_steps=200, buffer_steps=4000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """Measure speed and memory, with peers, in one process on one thread."""

    quick: bool = False
    """Fewer repeats: less than two minutes on two cores."""

    json: Path | None = None
    """Where rows and claims go."""

    tasks: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Whose control loops to measure; all tasks by default."""


Findings = tuple[list[Row], list[Claim]]


def main() -> None:
    """Measure, print, write."""
    arguments = tyro.cli(Arguments, description=__doc__)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    effort = QUICK if arguments.quick else FULL
    rows: list[Row] = []
    claims: list[Claim] = []
    for task in arguments.tasks or tasks():
        logging.info("timing the control loop of %s", task)
        _add(rows, claims, measure_loop(task, effort))
    logging.info("timing the learners on %s", MAIN_TASK)
    _add(rows, claims, measure_learners(effort))
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rows.append(measured("peak memory of this process", "MB", [peak_mb]))
    claims.append(at_most("peak memory of this process", peak_mb, "MB", 4096))
    publish("throughput, time on one core", rows, claims, arguments.json)


def measure_loop(task: str, effort: Effort) -> Findings:
    """Control loop, bare physics, cameras, batches and the parts of a tick of one task."""
    repeats, name = effort.repeats, f"{task}: gate and environment against bare mj_step"
    with open_workload(task, effort) as work:
        ticks, floor = ticks_and_physics(work, repeats)
        ratios = np.divide(ticks, floor)
        rows = [
            measured(f"{task}: control loop", "steps/s", episode_rates(work, repeats)),
            camera_row(work, task, effort),
            _in_ms(f"{task}: tick of gate and environment", ticks),
            _in_ms(f"{task}: bare mj_step of the same tick", floor),
            measured(name, "x", ratios),
        ]
        batched = {n: vector_rates(work, n, repeats) for n in effort.vector_sizes}
        rows += [
            measured(f"{task}: {n} simulations batched", "steps/s", rates)
            for n, rates in batched.items()
        ]
        parts = tick_parts(work, repeats)
        rows += [_in_ms(f"{task}: tick, {part}", spent) for part, spent in parts.items()]
    claims = [at_most(f"{task}: gate in one tick", 1e3 * _median(parts["gate"]), "ms", 1.0)]
    if task == MAIN_TASK:
        claims.append(at_most(name, _median(ratios), "x", 3.0))
        gain = _median(batched[max(batched)]) / _median(batched[min(batched)])
        sizes = f"{max(batched)} simulations batched against {min(batched)}"
        claims.append(at_least(f"{task}: {sizes}, steps/s", gain, "x", 1.3))
    return rows, claims


def measure_learners(effort: Effort) -> Findings:
    """Updates per second of every learner as shipped, their parts, and the peers."""
    rows: list[Row] = []
    claims: list[Claim] = []
    repeats, calls = effort.repeats, effort.calls
    with open_workload(MAIN_TASK, effort) as work:
        for name in LEARNERS:
            config = load(CONFIGS / "learners" / f"{name}.yaml", Config)
            bench = LearnerBench(work, config, effort.buffer_steps)
            rates = bench.updates_per_s(repeats, calls)
            rows.append(measured(f"{name}: critic updates", "updates/s", rates))
            for part, spent in bench.parts(repeats, calls).items():
                rows.append(_in_ms(f"{name}: update, {part}", spent))
            rows_peer = sampling_against_rows(work, bench, repeats, calls)
            heads_peer = critics_against_loop(bench, repeats, calls)
            for peer, target, (ours, theirs, ratios) in (
                ("replay row by row against ours", 2.0, rows_peer),
                ("critics head by head against ours", 1.0, heads_peer),
            ):
                rows.append(_in_ms(f"{name}: {peer}: ours", ours))
                rows.append(_in_ms(f"{name}: {peer}: peer", theirs))
                rows.append(measured(f"{name}: {peer}", "x", ratios))
                claims.append(at_least(f"{name}: {peer}", _median(ratios), "x", target))
    return rows, claims


def _add(rows: list[Row], claims: list[Claim], findings: Findings) -> None:
    rows += findings[0]
    claims += findings[1]


def _in_ms(name: str, spent_s: ArrayLike) -> Row:
    return measured(name, "ms", 1e3 * np.asarray(spent_s))


def _median(values: ArrayLike) -> float:
    return float(np.median(np.asarray(values)))


if __name__ == "__main__":
    main()
