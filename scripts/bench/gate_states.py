"""The fault matrix: each fault in each state of the gate, what follows, how soon, what ends it.

In the time of `gate_rig.py`, with an arm that does exactly what it is told, so that what is
measured is the gate's doing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from gate_rig import SIZE, Rig, heading, open_rig

from robot_rl.core.errors import HardwareError
from robot_rl.core.types import GateReason, GateState, Source
from robot_rl.runtime.gate.client import GateClient
from robot_rl.runtime.gate.message import Drive, Record, Report

TO, FRO = (heading(np.array([0.0, way, 0.0]), 0.5) for way in (1.0, -1.0))
_WATCHED = 120
"""Ticks for which the gate is watched after a fault: all that is to follow has followed then."""
_TO_COME_BACK = 30
_REST_M_S = 1e-3


class _Nonsense(Record, frozen=True, tag="nonsense"):
    """What nobody understands."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One cell of the matrix.

    Args:
        fault, state: what was done, and in which state.
        becomes, reason: the gravest state that followed, and its first reason.
        declared_s: from the fault to that state; None if it was that already.
        rest_s: from the fault to an arm at rest; None if it goes on, or nobody knows.
        ends_by: what it takes for the gate to run again: `itself`, or what a person must say.
    """

    fault: str
    state: str
    becomes: GateState
    reason: GateReason
    declared_s: float | None
    rest_s: float | None
    ends_by: str


class Scene:
    """A gate with an actor and a person, each of whom goes on talking or does not."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.actor = rig.seated()
        self.person: GateClient | None = None
        self.actor_talks = self.actor_lives = self.person_drives = self.person_lives = True
        rig.clear()
        self.tick(40)

    def tick(self, ticks: int = 1) -> Report:
        """Let whoever talks talk, and the gate have a tick."""
        for _ in range(ticks):
            turn = len(self.rig.reports) // 60 % 2
            if self.actor_lives:
                self._talk(self.actor, FRO if turn else TO, self.actor_talks)
            if self.person and self.person_lives:
                action = TO if turn else FRO
                self._talk(self.person, action if self.person_drives else None, True)
            report = self.rig.tick()
            for client in filter(None, (self.actor, self.person)):
                with contextlib.suppress(HardwareError):
                    client.latest()
        return report

    def take_over(self) -> None:
        """A person drives."""
        self.person = self.rig.seated("device", Source.HUMAN)
        self.tick(40)

    def as_actor(self, *action: float) -> None:
        """The actor commands what a policy in its right mind does not, and no more."""
        self.actor.command(np.array(action, np.float32))
        self.actor_talks = False

    def come_back(self) -> None:
        """The fault is over: whoever was lost is there again, the person with hands off."""
        self.rig.clock.turn = self.rig.turn
        if not self.actor.connected:
            self.actor = self.rig.commander()
        if self.person and not self.person.connected:
            self.person = self.rig.commander("device")
        for client, source in ((self.actor, Source.POLICY), (self.person, Source.HUMAN)):
            if client and not client.lease:
                self.rig.seat(client, source)
        self.actor_talks = self.actor_lives = self.person_lives = True
        self.person_drives = False
        self.tick(_TO_COME_BACK)

    @staticmethod
    def _talk(client: GateClient, action: np.ndarray | None, commands: bool) -> None:
        if commands and client.lease:
            client.command(action)
        else:
            client.beat()


def _stop(scene: Scene) -> None:
    scene.rig.server.gate.stop("somebody pressed stop")
    scene.tick(40)


def _hold(scene: Scene) -> None:
    scene.rig.server.gate.hold(GateReason.PEER_LOST, "somebody was lost")
    scene.tick(40)


STATES: Mapping[str, Callable[[Scene], None]] = {
    "policy drives": lambda scene: None,
    "person drives": Scene.take_over,
    "held": _hold,
    "stopped": _stop,
}


def _silence(scene: Scene) -> None:
    scene.actor_lives = False


def _hang(scene: Scene) -> None:
    scene.actor_talks = False


def _old_command(scene: Scene) -> None:
    stranger = scene.rig.commander(name="stranger")
    for sequence in range(10**6, 10**6 + 10):
        stranger.say(Drive(epoch=1, sequence=sequence, active=True, action=(1.0,) * SIZE))


def _repeat(scene: Scene) -> None:
    assert scene.actor.lease
    epoch = scene.actor.lease.epoch
    for _ in range(10):
        scene.actor.say(Drive(epoch=epoch, sequence=1, active=True, action=(1.0,) * SIZE))


def _lose_person(scene: Scene) -> None:
    if scene.person:
        scene.person.hang_up()
        scene.person_lives = False


def _silence_person(scene: Scene) -> None:
    scene.person_lives = False


def _freeze_robot(scene: Scene) -> None:
    scene.rig.clock.turn = lambda: None


def _replace_gate(scene: Scene) -> None:
    scene.rig.kill_gate()
    scene.rig.let_pass(0.5)
    scene.rig.start_gate()
    scene.actor_lives = scene.person_lives = False


def _stall(seconds: float) -> Callable[[Scene], None]:
    return lambda scene: scene.rig.let_pass(seconds)


FAULTS: Mapping[str, Callable[[Scene], None]] = {
    "actor killed": lambda scene: scene.actor.hang_up(),
    "actor silent": _silence,
    "actor hangs, but beats": _hang,
    "actor speaks nonsense": lambda scene: scene.actor.say(_Nonsense()),
    "action not finite": lambda scene: scene.as_actor(*[float("nan")] * SIZE),
    "action of wrong length": lambda scene: scene.as_actor(1.0),
    "command of another lease": _old_command,
    "command repeated": _repeat,
    "person killed": _lose_person,
    "person silent": _silence_person,
    "robot stops by itself": lambda scene: scene.rig.driver.stop("test"),
    "robot says nothing new": _freeze_robot,
    "gate stalls 25 ms": _stall(0.025),
    "gate stalls 60 ms": _stall(0.06),
    "gate stalls 300 ms": _stall(0.3),
    "gate killed, then another": _replace_gate,
}


def matrix(faults: Iterable[str] = FAULTS) -> list[Outcome]:
    """Bring about every fault in every state where it means anything."""
    return [
        measure(fault, state)
        for fault in faults
        for state in STATES
        if "person" not in fault or state == "person drives"
    ]


def measure(fault: str, state: str) -> Outcome:
    """Bring about one fault in one state."""
    with open_rig() as rig:
        scene = Scene(rig)
        STATES[state](scene)
        before, start_s = len(rig.reports), rig.now_s
        FAULTS[fault](scene)
        last = scene.tick(_WATCHED)
        reports = rig.reports[before:]
        gravest = max(report.state for report in reports)
        graver = [report for report in reports if report.state == gravest]
        # Silence slows the arm before it counts as a loss.
        declared = next((r for r in graver if r.reason == GateReason.PEER_LOST), graver[0])
        runs = last.state == GateState.RUN
        changed = gravest != rig.reports[before - 1].state
        return Outcome(
            fault=fault,
            state=state,
            becomes=gravest,
            reason=declared.reason,
            declared_s=declared.stamp_ns / 1e9 - start_s if changed else None,
            rest_s=None if runs else _rest_s(rig, start_s),
            ends_by=("itself" if changed else "") if runs else _ends_by(scene),
        )


def _rest_s(rig: Rig, start_s: float) -> float | None:
    """None where nobody hears any more what the arm does."""
    return rig.track_since(start_s).rest_s if rig.clock.turn == rig.turn else None


def _ends_by(scene: Scene) -> str:
    """What it takes for the gate to run again, from the least to the most."""
    scene.come_back()
    if scene.tick().state == GateState.RUN:
        return "itself, once over"
    for word, spoken in (("resume", scene.rig.resume), ("clear", scene.rig.clear)):
        spoken()
        if scene.tick(5).state == GateState.RUN:
            return word
    return "nothing"
