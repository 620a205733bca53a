"""Real processes, killed and stopped at random moments: the same figures as in `gate_figures.py`.

The operating system's part is in them: how soon a death is known, and how late a loop is let run.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
from gate_live import CELL, Live, Relay, open_live

from robot_rl.core.types import GateState
from robot_rl.runtime.gate.channel import private_folder
from robot_rl.runtime.gate.message import Report, Sample

LossKind = Literal["killed", "stopped", "swallowed"]
_AFTERWARDS_S = 0.8
_BEFORE_CLEAR_S = 0.5
_START_S = 30.0


@dataclass(frozen=True, slots=True)
class LiveLoss:
    """What followed when a commander's process was lost at full speed.

    Args:
        kind: SIGKILL, SIGSTOP, or all that it says is swallowed on the way.
        hold_s, rest_s, travel_m: from the moment of the loss to HOLD and to a tool below 1 mm/s,
            and what the tool moved by.
        late_s: how late the gate's loop woke at most meanwhile.
        ran_again: the gate ran by itself.
    """

    kind: LossKind
    hold_s: float
    rest_s: float
    travel_m: float
    late_s: float
    ran_again: bool


@dataclass(frozen=True, slots=True)
class LiveDeath:
    """What followed when the gate's process died at full speed.

    Args:
        kind: SIGKILL and another gate, or SIGSTOP and SIGCONT.
        rest_s, travel_m: as for `LiveLoss`.
        latched: robot and gate were stopped afterwards.
        moved_m: by how much the arm moved before a person had cleared.
    """

    kind: Literal["killed", "stopped"]
    rest_s: float
    travel_m: float
    latched: bool
    moved_m: float


def live_losses(count: int, seed: int = 0) -> list[LiveLoss]:
    """Lose the commander's process at random moments at the speed limit."""
    rng = np.random.default_rng(seed)
    kinds: tuple[LossKind, ...] = ("killed", "stopped", "swallowed")
    with (
        open_live() as live,
        TemporaryDirectory(prefix="rrl-") as name,
        private_folder(Path(name), "relay") as folder,
    ):
        return [_lose(live, folder, kinds[k % 3], rng) for k in range(count)]


def _lose(live: Live, folder: Path, kind: LossKind, rng: np.random.Generator) -> LiveLoss:
    relay = Relay(folder, live.folder) if kind == "swallowed" else None
    epoch = live.report().actor[0]
    commander = live.start_commander(folder if relay else None)
    live.until(lambda: live.report().actor[0] > epoch, "the commander has the seat")
    live.at_full_speed()
    time.sleep(rng.uniform(0.0, 0.2))
    live.at_full_speed()
    start_s = time.monotonic()
    if relay:
        relay.swallows = True
    else:
        os.kill(commander.pid, signal.SIGKILL if kind == "killed" else signal.SIGSTOP)
    time.sleep(_AFTERWARDS_S)
    reports = [r for r in live.person.of(Report) if r.stamp_ns >= start_s * 1e9]
    held = next((r.stamp_ns / 1e9 for r in reports if r.state != GateState.RUN), float("inf"))
    track = live.track(start_s)
    commander.kill()
    commander.wait()
    if relay:
        relay.close()
    return LiveLoss(
        kind=kind,
        hold_s=held - start_s,
        rest_s=track.rest_s,
        travel_m=track.travel_m,
        late_s=max(report.late_s for report in reports),
        ran_again=reports[-1].state == GateState.RUN,
    )


def live_deaths(count: int, seed: int = 0) -> list[LiveDeath]:
    """Kill, or stop for a while, the gate's process at random moments at the speed limit."""
    rng = np.random.default_rng(seed)
    with open_live() as live:
        return [_die(live, k % 2 == 0, rng) for k in range(count)]


def _die(live: Live, killed: bool, rng: np.random.Generator) -> LiveDeath:
    commander = live.start_commander()
    live.at_full_speed()
    time.sleep(rng.uniform(0.0, 0.2))
    live.at_full_speed()
    start_s = time.monotonic()
    os.kill(live.gate.pid, signal.SIGKILL if killed else signal.SIGSTOP)
    time.sleep(_AFTERWARDS_S)
    track = live.track(start_s)
    again_s = time.monotonic()
    if killed:
        live.gate.wait()
        live.start_gate()
        commander.kill()
        commander.wait()
        commander = live.start_commander()
    else:
        os.kill(live.gate.pid, signal.SIGCONT)
    time.sleep(_BEFORE_CLEAR_S)
    fault = live.robot.of(Sample)[-1].fault
    latched = bool(fault) and live.report().state == GateState.STOP
    moved_m = live.track(again_s).travel_m
    commander.kill()
    commander.wait()
    return LiveDeath(
        kind="killed" if killed else "stopped",
        rest_s=track.rest_s,
        travel_m=track.travel_m,
        latched=latched,
        moved_m=moved_m,
    )


def second_gates(count: int) -> list[str]:
    """What second gates are told: in the same folder, and by the robot itself; "" if let in."""
    with open_live() as live, TemporaryDirectory(prefix="rrl-") as name:
        other = Path(name)
        (other / "driver.sock").symlink_to(live.folder / "driver.sock")
        return [_second_gate((live.folder, other)[k % 2]) for k in range(count)]


def _second_gate(folder: Path) -> str:
    command = [sys.executable, "-m", "robot_rl.runtime.gate", "--cell", str(CELL)]
    process = subprocess.Popen([*command, "--folder", str(folder)], stderr=subprocess.PIPE)
    try:
        _, said = process.communicate(timeout=_START_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return ""
    return said.decode().strip().splitlines()[-1] if process.returncode == 1 else ""
