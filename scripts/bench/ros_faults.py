"""Faults on a running ROS graph, and how soon the gate's process reacts.

    .venv/bin/python scripts/bench/ros_faults.py [--quick] [--json FILE]

A gate's node, a robot and a commander each run as a process of their own and drive; then
something goes wrong. A reaction is the time from there to the first tick of the gate that does
not run any more; it is promised within what the watchdogs bear and one tick of 10 ms. The
operating system's part is in all of it: `late_ms` is the longest that two ticks were apart.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from report import Claim, Row, at_most, publish
from ros_peers import Commander, Rogue
from ros_rig import Rig

from robot_rl.control.watchdog import watched
from robot_rl_nodes.gate.desk import FIRST_WORD_S

TICK_S = 0.01
ACTOR_S = watched("actor", "gate").limit_s
STATE_S = 0.2
"""Age of the robot's state that the cell bears."""
LATENCY_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What may be chosen.

    Args:
        quick: each fault 5 times, instead of 50.
        file: where the result goes as JSON.
    """

    quick: bool = False
    file: Annotated[Path | None, tyro.conf.arg(name="json")] = None


@dataclass(frozen=True, slots=True)
class Result:
    """What was seen of one kind of fault.

    Args:
        name: of the fault.
        target_s: within which the gate is to react.
        took_s: each reaction.
        late_s: the longest that two ticks of the gate were apart.
    """

    name: str
    target_s: float
    took_s: list[float]
    late_s: float


def measure(rig: Rig, name: str, target_s: float, count: int, once: Callable[[], float]) -> Result:
    """Bring a fault about again and again, at random moments."""
    rng = np.random.default_rng(0)
    rig.ticks.clear()
    took_s: list[float] = []
    for _ in range(count):
        time.sleep(rng.uniform(0.0, 0.1))
        took_s.append(once())
    stamps = np.array([tick.heard_s for tick in rig.ticks])
    return Result(name, target_s, took_s, float(np.diff(stamps).max(initial=0.0)))


def on_wall_time(count: int, domain: int) -> tuple[list[Result], list[float]]:
    """Faults of commander, robot and graph; and the latencies of an undisturbed gate [s]."""
    with Rig(domain) as rig:
        rig.start("robot")
        rig.start_gate()
        rig.start("actor")
        rig.run()
        latencies = _latencies(rig)
        faults: tuple[tuple[str, float, Callable[[Rig], float]], ...] = (
            ("command loss", ACTOR_S, partial(_silenced, peer="actor")),
            ("robot/state freezes", STATE_S, partial(_silenced, peer="robot")),
            ("policy SIGSTOP", ACTOR_S, _stopped),
            ("policy SIGKILL", ACTOR_S, _killed),
            ("second publisher on the controller's topic", ACTOR_S, _intruded),
        )
        results = [
            measure(rig, name, limit_s + TICK_S, count, partial(once, rig))
            for name, limit_s, once in faults
        ]
        rig.end(rig.started("actor")[0])
        limit_s = FIRST_WORD_S + ACTOR_S + TICK_S
        once = partial(_mismatched, rig)
        results.append(measure(rig, "policy of another QoS", limit_s, count, once))
        rig.start("actor")
        once = partial(_asked_to_end, rig)
        results.append(measure(rig, "gate SIGINT", ACTOR_S + TICK_S, count, once))
    return results, latencies


def on_simulated_time(count: int, domain: int) -> list[Result]:
    """Faults of /clock, by which everybody lives."""
    with Rig(domain, sim_time=True) as rig:
        for start in (partial(rig.start, "robot"), rig.start_gate, partial(rig.start, "actor")):
            start()
        rig.run()
        return [
            measure(rig, "/clock stands still", STATE_S + TICK_S, count, partial(_stood, rig)),
            measure(rig, "/clock jumps back", ACTOR_S + TICK_S, count, partial(_jumped, rig)),
        ]


def _latencies(rig: Rig) -> list[float]:
    """From the stamp of each state of the robot to that of the first command after it."""
    rig.ticks.clear()
    rig.commands.clear()
    time.sleep(LATENCY_S)
    stamps = np.array([command.stamp_s for command in rig.commands])
    first = {tick.sample_s: tick.stamp_s for tick in reversed(rig.ticks[:-5])}
    return [
        float(stamps[at] - sample_s)
        for sample_s, tick_s in first.items()
        if (at := int(np.searchsorted(stamps, tick_s))) < len(stamps)
    ]


def _silenced(rig: Rig, peer: str) -> float:
    rig.run()
    (process,) = rig.started(peer)
    took_s = rig.held_s(lambda: process.send_signal(signal.SIGUSR1))
    process.send_signal(signal.SIGUSR2)
    return took_s


def _stopped(rig: Rig) -> float:
    rig.run()
    (actor,) = rig.started("actor")
    took_s = rig.held_s(lambda: actor.send_signal(signal.SIGSTOP))
    rig.until(lambda: not rig.control.actor, "the actor is lost")
    actor.send_signal(signal.SIGCONT)
    return took_s


def _killed(rig: Rig) -> float:
    rig.run()
    (actor,) = rig.started("actor")
    took_s = rig.held_s(actor.kill)
    rig.end(actor)
    rig.until(lambda: not rig.control.actor, "the actor is lost")
    rig.start("actor")
    return took_s


def _intruded(rig: Rig) -> float:
    rig.run()
    made: list[Rogue] = []
    took_s = rig.held_s(lambda: made.append(rig.add(Rogue)))
    rig.remove(made[0])
    rig.until(lambda: not rig.safety.fault, "the intruder has gone")
    return took_s


def _mismatched(rig: Rig) -> float:
    rig.until(lambda: not rig.control.actor, "the seat is free")
    rig.allow(lambda: rig.safety.state == 0 and not rig.control.actor)
    peer = rig.add(partial(Commander, "mismatched", reliable=False))
    rig.until(lambda: peer.epoch, "it has the seat")
    peer.asks = False
    took_s = rig.held_s(lambda: None)
    rig.remove(peer)
    return took_s


def _asked_to_end(rig: Rig) -> float:
    rig.run()
    gate = rig.started("robot_rl_nodes.command_gate_node")[0]
    took_s = rig.held_s(lambda: gate.send_signal(signal.SIGINT))
    gate.wait()
    time.sleep(0.1)
    if rig.commands[-1].speed:
        took_s = float("inf")
    rig.end(gate)
    rig.start_gate()
    return took_s


def _stood(rig: Rig) -> float:
    rig.run()
    assert rig.clock is not None
    took_s = rig.held_s(lambda: setattr(rig.clock, "stands", True), by_stamp=False)
    rig.clock.stands = False
    return took_s


def _jumped(rig: Rig) -> float:
    rig.run()
    assert rig.clock is not None
    back_s = rig.clock.jumped_s - 10.0
    return rig.held_s(lambda: setattr(rig.clock, "jumped_s", back_s), by_stamp=False)


def main(options: Options) -> None:
    """Bring everything about, and print reactions and claims."""
    logging.disable()
    count = 5 if options.quick else 50
    domain = 1 + os.getpid() % 90
    results, latencies = on_wall_time(count, domain)
    results += on_simulated_time(count, domain)
    rows: list[Row] = [
        {
            "name": r.name,
            "repeats": len(r.took_s),
            "median_ms": 1e3 * float(np.median(r.took_s)),
            "longest_ms": 1e3 * max(r.took_s),
            "target_ms": 1e3 * r.target_s,
            "late_ms": 1e3 * r.late_s,
        }
        for r in results
    ]
    claims: list[Claim] = [
        at_most(f"{r.name}: the gate reacts, longest", 1e3 * max(r.took_s), "ms", 1e3 * r.target_s)
        for r in results
    ]
    p50, p99 = (1e3 * float(np.percentile(latencies, q)) for q in (50, 99))
    rows.append({"name": "robot/state to command", "median_ms": p50, "longest_ms": p99})
    claims += [
        at_most("robot/state to command, median", p50, "ms", 5.0),
        at_most("robot/state to command, 99th percentile", p99, "ms", 15.0),
    ]
    columns = ("name", "repeats", "median_ms", "longest_ms", "target_ms", "late_ms")
    publish("reactions of the gate in a ROS graph", rows, claims, options.file, columns)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
