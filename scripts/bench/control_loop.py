"""One control loop in a process of its own, as on the machine beside a robot, and a C loop.

    .venv/bin/python scripts/bench/control_loop.py '{"rate_hz": 100, "seconds": 5}'

Each tick watches two cameras and the vectors of an arm, joins them to one observation and checks
a command. The streams are noise made beforehand, so that the loop itself is what is measured.
Prints its lateness as JSON; `lateness.py` is what runs it.
"""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from robot_rl.config.load import load
from robot_rl.control.rate import Rate
from robot_rl.control.realtime import RealtimeConfig
from robot_rl.control.safety import SafetyGate
from robot_rl.core.clock import NS_PER_S, Clock, MonotonicClock
from robot_rl.core.spec import (
    JOINT_POSITION,
    TCP_POSE,
    WRENCH,
    ActionSpec,
    ImageSpec,
    ObservationSpec,
    VectorSpec,
)
from robot_rl.core.types import Command, Observation, Source
from robot_rl.runtime.gate.cell import GateCell
from robot_rl.sensing.monitor import StreamMonitorConfig
from robot_rl.sensing.synchroniser import Synchroniser

CELL = Path(__file__).parents[2] / "configs/cells/sim_fr3.yaml"
HOME_RAD = (0.0, -0.5, 0.0, -2.2, 0.0, 1.7, 0.8)
CAMERAS = ("wrist", "front")
POOL = 64
"""Samples of each stream, which come round again."""
SPEC = ObservationSpec(
    vectors={
        JOINT_POSITION: VectorSpec(names=tuple(f"joint_{i}" for i in range(7)), unit="rad"),
        TCP_POSE: VectorSpec(names=("x", "y", "z", "qx", "qy", "qz", "qw"), unit="m"),
        WRENCH: VectorSpec(names=("fx", "fy", "fz", "tx", "ty", "tz"), unit="N"),
    },
    images={f"observation.images.{name}": ImageSpec(height=128, width=128) for name in CAMERAS},
)

C_LOOP = r"""
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
int main(int n, char **argument) {
  long period_ns = atol(argument[1]), ticks = atol(argument[2]);
  struct timespec due, now;
  if (n > 3) {
    struct sched_param priority = {.sched_priority = atoi(argument[3])};
    cpu_set_t cores;
    CPU_ZERO(&cores);
    CPU_SET(atoi(argument[4]), &cores);
    if (sched_setaffinity(0, sizeof cores, &cores)) return 2;
    if (sched_setscheduler(0, SCHED_FIFO, &priority)) return 2;
  }
  clock_gettime(CLOCK_MONOTONIC, &due);
  while (ticks--) {
    due.tv_nsec += period_ns;
    if (due.tv_nsec >= 1000000000) { due.tv_nsec -= 1000000000; due.tv_sec++; }
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, 0);
    clock_gettime(CLOCK_MONOTONIC, &now);
    printf("%ld\n", (now.tv_sec - due.tv_sec) * 1000000000 + now.tv_nsec - due.tv_nsec);
  }
}
"""
"""It does nothing but sleep, by the same system call as `time.sleep`."""


class SpinningClock(MonotonicClock):
    """Sleeps until shortly before the deadline, and then asks the time again and again."""

    def __init__(self, spin_us: int) -> None:
        self._spin_ns = spin_us * 1000

    def sleep_until_ns(self, deadline_ns: int) -> None:
        """Sleep and spin until the deadline [ns]."""
        super().sleep_until_ns(deadline_ns - self._spin_ns)
        while time.monotonic_ns() < deadline_ns:
            pass


def run_c_loop(
    folder: Path, rate_hz: float, seconds: float, realtime: dict[str, Any] | None = None
) -> list[float] | str:
    """Lateness of the C loop's ticks [s], or why there is none; it knows one core only."""
    compiler = shutil.which("cc")
    if compiler is None:
        return "no C compiler `cc` in the path"
    source, program = folder / "loop.c", folder / "loop"
    source.write_text(C_LOOP)
    subprocess.run([compiler, "-O2", "-o", program, source], check=True)
    arguments = [round(NS_PER_S / rate_hz), round(rate_hz * seconds)]
    if realtime is not None:
        arguments += [realtime["priority"], realtime["cores"][0]]
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        return "the system grants no real-time priority"
    return [int(line) / NS_PER_S for line in done.stdout.split()]


def run_apart(**asked: Any) -> dict[str, Any]:
    """Run `measure` in a process of its own."""
    command = [sys.executable, __file__, json.dumps(asked)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def measure(
    rate_hz: float, seconds: float, realtime: dict[str, Any] | None = None, spin_us: int = 0
) -> dict[str, Any]:
    """Run the loop and return the lateness of its ticks, and what it took.

    Args:
        rate_hz: of the loop.
        seconds: how long it runs.
        realtime: fields of a `RealtimeConfig`; without it nothing is asked of the system.
        spin_us: how long before each deadline to stop sleeping and spin.
    """
    period_s = 1.0 / rate_hz
    clock = SpinningClock(spin_us) if spin_us else MonotonicClock()
    tick = _tick(clock, period_s)
    next(tick)
    report = RealtimeConfig(**realtime).apply() if realtime is not None else None
    rate, late_s, work_s = Rate(clock, period_s), [], []
    cpu_s, start_s = time.process_time(), time.monotonic()
    while len(late_s) + rate.missed < rate_hz * seconds:
        late_s.append(rate.wait().lateness_s)
        before_s = time.perf_counter()
        next(tick)
        work_s.append(time.perf_counter() - before_s)
    return {
        "late_s": late_s,
        "missed": rate.missed,
        "work_us": float(np.median(work_s)) * 1e6,
        "cpu_percent": 100 * (time.process_time() - cpu_s) / (time.monotonic() - start_s),
        "refused": [str(refusal) for refusal in report.refused] if report else [],
    }


def _tick(clock: Clock, period_s: float) -> Iterator[None]:
    """What one tick does: observe, watch, join, check."""
    cell = load(CELL, GateCell)
    chain = cell.chain.build() if cell.chain else None
    names, scale = ("x", "y", "z", "rx", "ry", "rz"), (0.2 * period_s,) * 6
    action = ActionSpec(kind="tcp_delta", names=names, scale=scale, period_s=period_s)
    gate = SafetyGate(cell.limits, action, clock, chain)
    lease = gate.grant(Source.POLICY)
    watch = {key: {"may_repeat": "never"} for key in (*SPEC.vectors, *SPEC.images)}
    watch[JOINT_POSITION]["max_rate_per_s"] = [6.0]
    watch[TCP_POSE]["max_rate_per_s"] = [1.0, 6.0]
    config = {"keys": watch, "fault_after_s": 0.5, "motion_m": 0.01, "motion_rad": 0.1}
    monitor = StreamMonitorConfig.model_validate(config).build(SPEC, period_s)
    synchroniser, pool = Synchroniser(SPEC), itertools.cycle(_pool())
    for sequence in itertools.count():
        now_ns = clock.now_ns()
        vectors, images = next(pool)
        samples = {"arm": Observation(stamp_ns=now_ns, vectors=vectors)} | {
            name: Observation(stamp_ns=now_ns, vectors={}, images={key: images[key]})
            for name, key in zip(CAMERAS, SPEC.images, strict=True)
        }
        watched = monitor.watch(samples, now_ns)
        if watched.refusal:
            gate.hold(*watched.refusal)
        observation = synchroniser.align(watched.samples, now_ns)
        wish = np.full(6, 0.1 * (-1) ** sequence, np.float32)
        command = Command(
            action=wish,
            issued_ns=clock.now_ns(),
            source=Source.POLICY,
            epoch=lease.epoch,
            sequence=sequence,
        )
        gate.check(command, observation)
        yield


def _pool() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    rng = np.random.default_rng(0)
    pose = np.array([0.45, 0.0, 0.2, 1, 0, 0, 0])
    still = {JOINT_POSITION: np.array(HOME_RAD), TCP_POSE: pose, WRENCH: np.zeros(6)}
    return [
        (
            {k: (v + rng.normal(0, 1e-5, v.size)).astype(np.float32) for k, v in still.items()},
            {key: rng.integers(0, 256, (128, 128, 3), np.uint8) for key in SPEC.images},
        )
        for _ in range(POOL)
    ]


if __name__ == "__main__":
    print(json.dumps(measure(**json.loads(sys.argv[1]))))
