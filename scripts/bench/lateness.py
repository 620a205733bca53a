"""How late the ticks of a control loop are: beside an idle C loop, with and without a learner.

    .venv/bin/python scripts/bench/lateness.py [--quick] [--json FILE]

`C` does nothing but sleep, by the same system call. `loop` is `control_loop.py`: cameras, stream
monitor and gate in a process without torch. `actor` is peg insertion in simulation at the pace of
the wall clock with the residual policy acting, in the process that has torch; between episodes
the weights are swapped as in a run. The learner trains the residual on a core of its own if there
are two; it is owed far more updates than it can make, so that it is never idle. `real time` is a
priority and a core as `RealtimeConfig` asks for them.

What a row says of a machine that does other things meanwhile is about those.
"""

from __future__ import annotations

import gc
import json
import logging
import math
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from control_loop import run_apart, run_c_loop
from report import Claim, Row, at_most, publish, skipped

from robot_rl.app.run_config import RunConfig
from robot_rl.app.station import Station
from robot_rl.config.load import load
from robot_rl.control.realtime import RealtimeConfig, exempt_from_collection
from robot_rl.core.episode import EpisodeMetadata
from robot_rl.core.types import Transition
from robot_rl.data.normaliser import Normaliser
from robot_rl.runtime.link import InlineLink, LearnerLink
from robot_rl.runtime.process_link import ProcessLink
from robot_rl.runtime.worker import LearnerWorker

RUN = Path(__file__).parents[2] / "configs/runs/peg_insert.yaml"
ACTOR_HZ = 100.0
RATES_HZ = (100.0, 500.0)
PER_STEP, WITHOUT_PAUSE = 0.4, 10_000.0
"""Updates per step: 40 a second, and more than can be made."""
SPIN_US = 200
MOST_ABOVE_C_MS = 1.0
COLUMNS = (
    *("name", "rate_hz", "p50_ms", "p99_ms", "max_ms", "missed", "ticks", "work_us"),
    *("cpu_percent", "updates", "add_median_us", "skipped"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What may be chosen.

    Args:
        quick: 4 s a row instead of 60 s.
        file: where the result goes as JSON.
    """

    quick: bool = False
    file: Annotated[Path | None, tyro.conf.arg(name="json")] = None


def run_config(updates_per_step: float = PER_STEP) -> RunConfig:
    """The main job at 100 Hz on a bench that does not wait, its learner starting at once."""
    changes = {
        "cell.bench.real_time": "true",
        "task.period_s": 1.0 / ACTOR_HZ,
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


def actor(name: str, station: Station, link: LearnerLink | None, ticks: int) -> Row:
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
    inference_s: list[float] = []
    while len(late_s) < ticks:
        seed += 1
        episode = rollout.run(f"{name}-{seed}", seed, EpisodeMetadata(task="lateness"), on_step)
        late_s += episode.lateness_s.tolist()
        inference_s += episode.inference_s.tolist()
        news = link.sync() if link else None
        if news and news.weights is not None and news.version > policy.version:
            policy.load_weights(news.weights, news.version)
        updates = news.updates if news else 0
    missed = station.env.missed - missed
    more = {"updates": updates, "add_median_us": float(np.median(add_s)) * 1e6}
    work_us = float(np.median(inference_s)) * 1e6
    return row(name, ACTOR_HZ, late_s, missed=missed, work_us=work_us, **more)


def loops(name: str, seconds: float, **asked: Any) -> list[Row]:
    """The loop without torch, at each rate."""
    rows: list[Row] = []
    for rate_hz in RATES_HZ:
        found = run_apart(rate_hz=rate_hz, seconds=seconds, **asked)
        if found["refused"]:
            rows.append(skipped(f"{name}, {rate_hz:g} Hz", "; ".join(found["refused"])))
            continue
        more = {key: found[key] for key in ("missed", "work_us", "cpu_percent")}
        rows.append(row(name, rate_hz, found["late_s"], **more))
    return rows


def c_loops(name: str, seconds: float, realtime: dict[str, Any] | None = None) -> list[Row]:
    """The C loop, at each rate."""
    with tempfile.TemporaryDirectory() as folder:
        found = {hz: run_c_loop(Path(folder), hz, seconds, realtime) for hz in RATES_HZ}
    return [
        skipped(f"{name}, {rate_hz:g} Hz", late_s)
        if isinstance(late_s, str)
        else row(name, rate_hz, late_s)
        for rate_hz, late_s in found.items()
    ]


def row(name: str, rate_hz: float, late_s: list[float], **more: Any) -> Row:
    """Lateness of the ticks as they woke; what was missed counts in full."""
    p50, p99, worst = np.quantile(late_s, [0.5, 0.99, 1.0]) * 1e3
    lateness = {"p50_ms": float(p50), "p99_ms": float(p99), "max_ms": float(worst)}
    return {"name": name, "rate_hz": rate_hz, **lateness, "ticks": len(late_s), **more}


def collections() -> list[Row]:
    """How long the garbage collector stops a loop that has torch in its process."""
    rows: list[Row] = []
    for name in ("a full garbage collection", "the same, what was alive exempted"):
        start_s = time.perf_counter()
        gc.collect()
        rows.append({"name": name, "max_ms": (time.perf_counter() - start_s) * 1e3})
        exempt_from_collection()
    return rows


@contextmanager
def busy_learner(station: Station, core: int | None = None) -> Iterator[ProcessLink]:
    """A learner that is never idle, in a process of its own, kept off `core`."""
    link = ProcessLink(
        f"{Path(__file__).stem}:build_worker", json.dumps(WITHOUT_PAUSE), max_lag_updates=None
    )
    try:
        if core is not None:
            _keep_off(link.pid, core)
        actor("first steps", station, link, 50)
        while not link.sync().updates:
            time.sleep(0.1)
        yield link
    finally:
        link.close()


def main(options: Options) -> None:
    """Measure every row for the same time, one after the other."""
    torch.set_num_threads(1)
    # The gate tells of every overrun, which the rows count.
    logging.getLogger("robot_rl").setLevel(logging.ERROR)
    seconds = 4.0 if options.quick else 60.0
    ticks = round(ACTOR_HZ * seconds)
    station = Station.of_run(run_config())
    actor("warm-up", station, None, 1)
    core = max(os.sched_getaffinity(0))
    real_time = {"priority": 40, "cores": [core]}
    rows = c_loops("C", seconds) + c_loops("C, real time", seconds, real_time)
    rows += loops("loop, no learner", seconds)
    rows += loops("loop, no learner, spinning", seconds, spin_us=SPIN_US)
    rows.append(actor("actor, no learner", station, None, ticks))
    rows.append(_inline(station, ticks))
    with busy_learner(station) as link:
        rows += loops("loop, learner", seconds)
        rows.append(actor("actor, learner", station, link, ticks))
    rows += collections()
    with busy_learner(station, core) as link:
        rows += loops("loop, learner, real time", seconds, realtime=real_time)
        # Last, for it cannot be taken back.
        RealtimeConfig(**real_time).apply()
        rows.append(actor("actor, learner, real time", station, link, ticks))
    station.bench.close()
    publish("lateness of control ticks", rows, claims(rows), options.file, columns=COLUMNS)


def claims(rows: list[Row]) -> list[Claim]:
    """What is promised of the rows; a row that could not be measured holds nothing."""

    def value(name: str, key: str) -> float:
        fits = (r for r in rows if r["name"] == name and r.get("rate_hz") == ACTOR_HZ)
        return next(fits, {}).get(key, math.nan)

    pairs = (
        ("loop, learner", "C"),
        ("loop, learner, real time", "C, real time"),
        ("actor, learner, real time", "C, real time"),
    )
    return [
        at_most(
            f"p99 at {ACTOR_HZ:g} Hz: {ours} - {c_loop} without learner",
            value(ours, "p99_ms") - value(c_loop, "p99_ms"),
            "ms",
            MOST_ABOVE_C_MS,
        )
        for ours, c_loop in pairs
    ] + [
        at_most(
            "handing over a step, median", value("actor, learner", "add_median_us"), "us", 150.0
        )
    ]


def _inline(station: Station, ticks: int) -> Row:
    link = InlineLink(build_worker(json.dumps(PER_STEP)))
    try:
        return actor("actor, learner inline", station, link, ticks)
    finally:
        link.close()


def _keep_off(pid: int, core: int) -> None:
    others = os.sched_getaffinity(0) - {core}
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), others or {core})


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
