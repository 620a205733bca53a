"""The figures of the gate's process: what follows from losses, deaths and stalls.

In the time of `gate_rig.py` unless said otherwise. Shared by the benchmark and the tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from gate_rig import PERIOD_S, Rig, heading, open_rig

from robot_rl.core.errors import HardwareError
from robot_rl.core.spec import TCP_POSE
from robot_rl.core.types import GateState, Vector
from robot_rl.runtime.gate.client import GateClient
from robot_rl.runtime.gate.message import Report

SPEED_M_S = 0.25
"""The cell's limit."""
TURN_M = 0.1
"""Who drives to and fro turns back so far from the middle."""
_PER_ACTION, _PER_BEAT = 10, 2
"""Ticks between two commands and between two beats of an actor."""
_AFTERWARDS_S = 0.6
_PATIENCE = 300

LossKind = Literal["killed", "silent"]
DeathKind = Literal["killed", "stopped"]


@dataclass(frozen=True, slots=True)
class Loss:
    """What followed when a commander was lost at full speed.

    Args:
        kind: its connection ended, or it fell silent.
        hold_s: from its last word to HOLD.
        rest_s: from its last word until the tool was below 1 mm/s for good.
        travel_m: what the tool moved by since the last word.
        ran_again: the gate ran by itself.
    """

    kind: LossKind
    hold_s: float
    rest_s: float
    travel_m: float
    ran_again: bool


@dataclass(frozen=True, slots=True)
class Death:
    """What followed when the gate died at full speed.

    Args:
        kind: killed, or stopped and let go on later.
        rest_s, travel_m: as in `Loss`, from the gate's last command.
        latched: the robot had stopped by itself, and so had the gate that came after.
        moved: the arm moved again before a person had cleared.
    """

    kind: DeathKind
    rest_s: float
    travel_m: float
    latched: bool
    moved: bool


@dataclass(frozen=True, slots=True)
class Stall:
    """What followed when the gate's loop was not let run.

    Args:
        stalled: instants of the schedule that passed meanwhile.
        counted: ticks that the gate says were missed.
        held: it declared OVERRUN.
        burst: the tick after came before its time.
    """

    stalled: int
    counted: int
    held: bool
    burst: bool


class ToAndFro:
    """An actor as a policy is: a command in each 0.1 s, and beats."""

    def __init__(self, rig: Rig, actor: GateClient) -> None:
        self.rig = rig
        self.actor = actor
        self.last_word_s = rig.now_s
        self._direction = 1.0

    def tick(self, ticks: int = 1) -> Report:
        """Talk as is due, and let the gate have a tick."""
        for _ in range(ticks):
            number = len(self.rig.reports)
            if number % _PER_ACTION == 0:
                self.command()
            elif number % _PER_BEAT == 0:
                self.actor.beat()
            if number % _PER_BEAT == 0:
                self.last_word_s = self.rig.now_s
            report = self.rig.tick()
            self.actor.latest()
        return report

    def command(self) -> None:
        """Send a command out of turn."""
        self.actor.command(self._action())

    def at_full_speed(self) -> None:
        """Drive until the tool is as fast as it may be."""
        for _ in range(_PATIENCE):
            if self.rig.driver.speed_m_s > 0.98 * SPEED_M_S:
                return
            self.tick()
        raise HardwareError(f"never at full speed: {self.rig.reports[-1]}")

    def _action(self) -> Vector:
        y_m = self.rig.reports[-1].vectors[TCP_POSE][1]
        if abs(y_m) > TURN_M:
            self._direction = -np.sign(y_m)
        return heading(np.array([0.0, self._direction, 0.0]))


def losses(count: int, seed: int = 0, *, physics: bool = True) -> list[Loss]:
    """Lose the commander at random moments at the speed limit."""
    rng = np.random.default_rng(seed)
    results: list[Loss] = []
    with open_rig(physics=physics) as rig:
        actor = ToAndFro(rig, rig.seated())
        rig.clear()
        for number in range(count):
            kind: LossKind = "killed" if number % 2 else "silent"
            results.append(_lose(rig, actor, kind, rng))
            if kind == "killed":
                actor = ToAndFro(rig, rig.seated())
            _resume(rig, actor)
    return results


def _lose(rig: Rig, actor: ToAndFro, kind: LossKind, rng: np.random.Generator) -> Loss:
    actor.at_full_speed()
    actor.tick(int(rng.integers(1, 20)))
    actor.at_full_speed()
    rig.let_pass(rng.uniform(0.0, 0.9) * PERIOD_S)
    if kind == "killed":
        actor.actor.hang_up()
    before = len(rig.reports)
    rig.tick(round(_AFTERWARDS_S / PERIOD_S))
    after = rig.reports[before:]
    held = next(r for r in after if r.state == GateState.HOLD)
    track = rig.track_since(actor.last_word_s)
    return Loss(
        kind=kind,
        hold_s=round(held.stamp_ns / 1e9 - actor.last_word_s, 6),
        rest_s=track.rest_s,
        travel_m=track.travel_m,
        ran_again=after[-1].state == GateState.RUN,
    )


def deaths(count: int, seed: int = 0, *, physics: bool = True) -> list[Death]:
    """Kill and stop the gate at random moments at the speed limit."""
    rng = np.random.default_rng(seed)
    results: list[Death] = []
    with open_rig(physics=physics) as rig:
        actor = ToAndFro(rig, rig.seated())
        rig.clear()
        for number in range(count):
            kind: DeathKind = "killed" if number % 2 else "stopped"
            actor.at_full_speed()
            actor.tick(int(rng.integers(1, 20)))
            actor.at_full_speed()
            results.append(_die(rig, actor, kind, rng))
            if kind == "killed":
                actor = ToAndFro(rig, rig.seated())
            rig.clear()
            _resume(rig, actor)
    return results


def _die(rig: Rig, actor: ToAndFro, kind: DeathKind, rng: np.random.Generator) -> Death:
    last_command_s = rig.now_s
    rig.let_pass(rng.uniform(0.0, 0.9) * PERIOD_S)
    if kind == "killed":
        rig.kill_gate()
    rig.let_pass(_AFTERWARDS_S)
    track = rig.track_since(last_command_s)
    faulted = bool(rig.driver.fault)
    if kind == "killed":
        rig.start_gate()
    again_s = rig.now_s
    rig.tick()
    for _ in range(30):
        actor.actor.beat()
        if actor.actor.lease:
            actor.actor.command(heading(np.array([0.0, 1.0, 0.0])))
        state = rig.tick().state
    return Death(
        kind=kind,
        rest_s=track.rest_s,
        travel_m=track.travel_m,
        latched=faulted and state == GateState.STOP,
        moved=rig.track_since(again_s).travel_m > 1e-4,
    )


def stalls(count: int, seed: int = 0) -> list[Stall]:
    """Let the gate's loop do nothing for 1 to 500 ms, again and again, while the actor goes on."""
    rng = np.random.default_rng(seed)
    results: list[Stall] = []
    with open_rig() as rig:
        actor = ToAndFro(rig, rig.seated())
        rig.clear()
        for _ in range(count):
            actor.command()
            actor.tick(int(rng.integers(4, 8)))
            results.append(_stall(rig, actor, rng.uniform(0.001, 0.5)))
            if rig.reports[-1].state == GateState.STOP:
                rig.clear()
            _resume(rig, actor)
    return results


def _stall(rig: Rig, actor: ToAndFro, stall_s: float) -> Stall:
    missed, state = rig.reports[-1].missed, rig.reports[-1].state
    if state != GateState.RUN:
        raise HardwareError(f"the gate did not run before the stall: {rig.reports[-1]}")
    start_ns = rig.clock.now_ns()
    while (rig.clock.now_ns() - start_ns) / 1e9 < stall_s - 0.02:
        rig.let_pass(0.02)
        actor.actor.beat()
    rig.let_pass(stall_s - (rig.clock.now_ns() - start_ns) / 1e9)
    report = rig.tick()
    rig.tick()
    # The loop had just run at an instant; one that is reached exactly is kept, not missed.
    passed = int(np.ceil((stall_s - 1e-9) / PERIOD_S)) - 1
    return Stall(
        stalled=max(0, passed),
        counted=report.missed - missed,
        held=report.state != GateState.RUN
        and any("OVERRUN" in e.reason for e in rig.server.gate.events if e.stamp_ns >= start_ns),
        burst=rig.reports[-1].stamp_ns - rig.reports[-2].stamp_ns < round(0.5e9 * PERIOD_S),
    )


def _resume(rig: Rig, actor: ToAndFro) -> None:
    """A person resumes; an actor who was lost meanwhile sits down again."""
    actor.actor.latest()
    if actor.actor.lease is None:
        rig.seat(actor.actor)
    actor.actor.beat()
    rig.resume()
