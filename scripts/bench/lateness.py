"""How late the actor's ticks are while a learner learns: apart, inline, and without one.

    .venv/bin/python scripts/bench/lateness.py [--quick] [--json FILE]

Peg insertion in simulation at the pace of the wall clock, the residual policy acting alone
(planning by a base policy is left out). Between episodes the weights are swapped as in a run. One
cycle of four updates is called for with every step, and in the `without pause` row far more than
the learner can make, so that it is never idle.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from report import Row, at_most, publish

from robot_rl.app.run_config import RunConfig
from robot_rl.app.station import Station
from robot_rl.config.load import load
from robot_rl.core.episode import EpisodeMetadata
from robot_rl.core.types import Transition
from robot_rl.data.normaliser import Normaliser
from robot_rl.runtime.link import InlineLink, LearnerLink
from robot_rl.runtime.process_link import ProcessLink
from robot_rl.runtime.worker import LearnerWorker

RUN = Path(__file__).parents[2] / "configs/runs/peg_insert.yaml"
PER_STEP, WITHOUT_PAUSE = 4.0, 10_000.0
"""Updates per step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What may be chosen.

    Args:
        quick: 8 s a row instead of 120 s.
        file: where the result goes as JSON.
    """

    quick: bool = False
    file: Annotated[Path | None, tyro.conf.arg(name="json")] = None


def run_config(updates_per_step: float = PER_STEP) -> RunConfig:
    """The main job on a bench that does not wait, with a learner that starts at once."""
    changes = {
        "cell.bench.real_time": "true",
        "schedule.prefill_steps": "1",
        "schedule.warmup_updates": "0",
        "schedule.utd": updates_per_step,
    }
    return load(RUN, RunConfig, [f"{key}={value}" for key, value in changes.items()])


def new_learner(station: Station, config: RunConfig) -> Any:
    """A learner with fresh weights."""
    task = station.bench.task
    ones = np.ones(task.observation.packed_size, np.float32)
    normaliser = Normaliser(offset=0 * ones, scale=ones)
    base = SimpleNamespace(observation=task.observation, action=task.action, normaliser=normaliser)
    return config.learner.build(base, config.seed)


def build_worker(arguments: str) -> LearnerWorker:
    """Also called in the learner's process; `arguments` are updates per step, in JSON."""
    config = run_config(json.loads(arguments))
    station = Station.of_run(config)
    learner = new_learner(station, config)
    return LearnerWorker(learner, station.bench.task, config.schedule, [], config.seed)


def measure(name: str, station: Station, link: LearnerLink | None, ticks: int) -> Row:
    """Act until `ticks` are over and return how late they were."""
    policy = new_learner(station, run_config()).policy()
    add_s: list[float] = []

    def on_step(transition: Transition) -> None:
        start_s = time.perf_counter()
        if link:
            link.add(transition)
        add_s.append(time.perf_counter() - start_s)

    agent = station.agent(online=policy)
    rollout = station.rollout(agent, explore=True)
    missed, updates, seed = station.env.missed, 0, 0
    late_s: list[float] = []
    while len(late_s) < ticks:
        seed += 1
        episode = rollout.run(f"{name}-{seed}", seed, EpisodeMetadata(task="lateness"), on_step)
        late_s += episode.lateness_s.tolist()
        news = link.sync() if link else None
        if news and news.weights is not None and news.version > policy.version:
            policy.load_weights(news.weights, news.version)
        updates = news.updates if news else 0
    return _row(name, late_s, add_s, station.env.missed - missed, updates)


def _row(name: str, late_s: list[float], add_s: list[float], missed: int, updates: int) -> Row:
    p50, p99, worst = np.quantile(late_s, [0.5, 0.99, 1.0]) * 1e3
    return {
        "name": name,
        "p50_ms": float(p50),
        "p99_ms": float(p99),
        "max_ms": float(worst),
        "missed": missed,
        "ticks": len(late_s),
        "updates": updates,
        "add_median_us": float(np.median(add_s)) * 1e6,
    }


def main(options: Options) -> None:
    """Measure every variant for the same time, one after the other."""
    torch.set_num_threads(1)
    station = Station.of_run(run_config())
    period_s = station.bench.task.action.period_s
    ticks = round((8.0 if options.quick else 120.0) / period_s)
    links: dict[str, Callable[[], LearnerLink | None]] = {
        "no learner": lambda: None,
        "in a process": lambda: _apart(PER_STEP),
        "in a process, without pause": lambda: _apart(WITHOUT_PAUSE),
        "inline": lambda: InlineLink(build_worker(json.dumps(PER_STEP))),
    }
    measure("warm-up", station, None, 1)
    rows: list[Row] = []
    for name, connect in links.items():
        link = connect()
        try:
            rows.append(measure(name, station, link, ticks))
        finally:
            if link:
                link.close()
    station.bench.close()
    _, apart, busy, _ = rows
    limit_ms = 0.1 * period_s * 1e3
    claims = [
        at_most("p99 lateness, learner in a process", apart["p99_ms"], "ms", limit_ms),
        at_most("the same, learner never idle", busy["p99_ms"], "ms", limit_ms),
        at_most("handing over a step, median", busy["add_median_us"], "us", 150.0),
    ]
    publish("lateness of the actor's ticks", rows, claims, options.file, columns=list(rows[0]))


def _apart(utd: float) -> ProcessLink:
    return ProcessLink(
        f"{Path(__file__).stem}:build_worker", json.dumps(utd), max_lag_updates=None
    )


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
