"""Figures of the gate's process where it is lied to: by the wall clock, and by an actor.

In the time of `gate_rig.py`. Shared by the benchmark and the tests.
"""

from __future__ import annotations

import time

import numpy as np
from gate_figures import ToAndFro
from gate_rig import SIZE, Rig, open_rig

from robot_rl.core.types import GateReason, GateState, Source
from robot_rl.runtime.gate.channel import connect
from robot_rl.runtime.gate.client import ACTOR_SOCKET
from robot_rl.runtime.gate.message import (
    MAX_TOLD_BYTES,
    Ask,
    Beat,
    Clear,
    Drive,
    Leave,
    Report,
    Resume,
    encode,
)

_PER_TICK = 50


def wall_clock_jumps(count: int, seed: int = 0) -> int:
    """Let the wall clock jump by up to an hour before each tick; how many ticks that changed."""
    steady, jumping = (_stream(count, seed, most_s) for most_s in (0.0, 3600.0))
    return sum(a != b for a, b in zip(steady, jumping, strict=True))


def _stream(count: int, seed: int, most_s: float) -> list[Report]:
    rng = np.random.default_rng(seed)
    wall_s = [1e9]
    before = time.time, time.time_ns
    time.time, time.time_ns = lambda: wall_s[0], lambda: round(wall_s[0] * 1e9)
    try:
        with open_rig() as rig:
            actor = ToAndFro(rig, rig.seated())
            rig.clear()
            for number in range(count):
                wall_s[0] += most_s * rng.uniform(-1.0, 1.0)
                actor.tick()
                if number % 100 == 50:
                    rig.server.gate.stop("test")
                if number % 100 == 75:
                    rig.clear()
            return rig.reports
    finally:
        time.time, time.time_ns = before


def forged(count: int, seed: int = 0) -> int:
    """Say as an actor what only a person may, well formed or not; how often it had an effect."""
    rng = np.random.default_rng(seed)
    done = 0
    with open_rig() as rig:
        for state in (GateState.STOP, GateState.HOLD):
            if state == GateState.HOLD:
                rig.clear()
                rig.server.gate.hold(GateReason.PEER_LOST, "somebody was lost")
            cause = rig.tick().cause
            said = [
                Clear(by="Ada", cause=cause),
                Resume(by="Ada"),
                Drive(epoch=1, sequence=1, active=True, action=(1.0,) * SIZE),
                Ask(source=Source.HUMAN, kind="device", name="Ada"),
                Ask(source=Source.POLICY, kind="actor", name="actor"),
                Beat(),
                Leave(),
            ]
            frames = [encode(message) for message in said]
            done += sum(_forge(rig, frames, state, rng) for _ in range(count // 2 // _PER_TICK))
    return done


def _forge(rig: Rig, frames: list[bytes], state: GateState, rng: np.random.Generator) -> bool:
    """Send some frames, each on a line of its own for as long as that one lasts."""
    channel = connect(rig.folder / ACTOR_SOCKET, MAX_TOLD_BYTES)
    for _ in range(_PER_TICK):
        frame = bytearray(frames[rng.integers(len(frames))])
        if rng.random() < 0.5:
            frame[rng.integers(4, len(frame))] = rng.integers(256)
        channel.send(bytes(frame))
        rig.desk.hear()
        channel.receive()
        if channel.closed:
            channel = connect(rig.folder / ACTOR_SOCKET, MAX_TOLD_BYTES)
    report = rig.tick()
    channel.close()
    return report.state != state
