"""Wall clocks that jump and loops that stall: promises C1 and C3."""

from __future__ import annotations

import ast
import time
from pathlib import Path

import numpy as np
import pytest
from point_cell import PointCell, Wanderer, build_env

from robot_rl.core.types import GateReason, GateState

ROOT = Path(__file__).parents[2] / "robot_rl"
PERIOD_S = 0.01
PERIOD_NS = 10_000_000


class WallClock:
    """Jumps by up to an hour, either way, each time that it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._rng = np.random.default_rng(0)
        self._off_s = 0.0
        true_s, true_ns = time.time, time.time_ns
        monkeypatch.setattr(time, "time", lambda: true_s() + self._off_s)
        monkeypatch.setattr(time, "time_ns", lambda: true_ns() + round(self._off_s * 1e9))

    def jump(self) -> None:
        size_s = 10.0 ** self._rng.uniform(-3, np.log10(3600))
        self._off_s += float(self._rng.choice([-1, 1])) * size_s


def drive(steps: int, each_step) -> tuple[bytes, list[GateState]]:
    """Everything that was commanded, and the gate's states, with RUN, HOLD and STOP among them."""
    cell = PointCell(PERIOD_S)
    env, _ = build_env(cell)
    wanderer, rng = Wanderer(0), np.random.default_rng(1)
    observation = env.reset(0)
    states = []
    for n in range(steps):
        each_step()
        if n % 50 == 10:
            cell.clock.advance_s(float(rng.uniform(0.0, 0.5)))
        if n % 200 == 190:
            env.gate.stop("a button")
        result = env.step(wanderer.act(observation))
        observation = result.observation
        states.append(result.gate_state)
        if result.truncated:
            env.gate.clear("Ada")
            observation = env.reset(n)
    stream = b"".join(
        stamp_ns.to_bytes(8) + bytes([a.state, a.reason, a.changed]) + a.values.tobytes()
        for stamp_ns, a in cell.commands
    )
    return stream, states


def test_wall_clock_that_jumps_changes_no_bit_of_what_is_commanded(monkeypatch, repeats, report):
    jumps = repeats(1000, 10_000)
    calm, states = drive(jumps, lambda: None)
    assert {GateState.RUN, GateState.HOLD, GateState.STOP} <= set(states)
    before_s = time.time()
    shaken, _ = drive(jumps, WallClock(monkeypatch).jump)
    assert abs(time.time() - before_s) > 3600
    assert shaken == calm
    report("wall clock jumps", injected=jumps, bits_changed=0)


@pytest.mark.parametrize("folder", ["core", "sensing", "control", "envs"])
def test_nothing_beside_the_robot_asks_the_wall_clock(folder):
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute):
                name = f"{getattr(node.value, 'id', '')}.{node.attr}"
                assert name not in {"time.time", "time.time_ns", "time.localtime"}, file
            if isinstance(node, ast.ImportFrom | ast.Import):
                modules = {getattr(node, "module", None), *(alias.name for alias in node.names)}
                assert not modules & {"datetime", "localtime", "time_ns"}, file


@pytest.mark.parametrize("where", ["inference", "sleep"])
def test_stalls_are_counted_exactly_held_for_and_never_made_up_for(where, repeats, report):
    count = repeats(1000, 10_000)
    cell = PointCell(PERIOD_S)
    # Ages are the subject of other tests: here the loop's own count is to find the stall.
    env, _ = build_env(cell, max_observation_age_s=9.0, max_command_age_s=9.0)
    wanderer, observation = Wanderer(0), env.reset(0)
    origin_ns = observation.stamp_ns
    ticks, held, shortest_ns = 0, 0, 10**18
    # From 1 to 500 ms, as many short ones as long ones.
    for stall_s in np.random.default_rng(2).permutation(np.linspace(0.001, 0.5, count)).tolist():
        cell.clock.advance_s(stall_s if where == "inference" else 0.0)
        cell.clock.late_s = stall_s if where == "sleep" else 0.0
        missed_before, reasons = env.missed, []
        for _ in range(5):
            result = env.step(wanderer.act(observation))
            ticks += 1
            shortest_ns = min(shortest_ns, result.observation.stamp_ns - observation.stamp_ns)
            observation = result.observation
            reasons.append(result.gate_reason)
            # Every instant of the schedule has either had its tick or been counted as missed.
            late_ns = observation.stamp_ns - origin_ns - (ticks + env.missed) * PERIOD_NS
            assert 0 <= late_ns <= (PERIOD_NS // 2 if where == "sleep" else 0)
        missed = missed_by(stall_s, where)
        assert env.missed - missed_before == missed
        held += missed > 3
        assert (GateReason.OVERRUN in reasons) == (missed > 3)
        assert env.gate.state == GateState.RUN
    assert shortest_ns >= (PERIOD_NS if where == "inference" else PERIOD_NS // 2)
    report(
        f"stalls of 1 to 500 ms in {where}",
        injected=count,
        periods_missed=env.missed,
        held_for=held,
        shortest_tick_ms=shortest_ns / 1e6,
    )


def missed_by(stall_s: float, where: str) -> int:
    """Periods that one stall costs; an instant that is just reached has not been missed."""
    stall_ns = round(stall_s * 1e9)
    if where == "inference":
        return -(-stall_ns // PERIOD_NS) - 1
    # A sleep that ends up to half a period late is a tick; after that, the next instant is.
    return 0 if stall_ns <= PERIOD_NS // 2 else -(-stall_ns // PERIOD_NS)
