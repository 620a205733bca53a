from __future__ import annotations

import math
import shutil

import control_loop
import lateness
import pytest
from control_loop import measure, run_apart, run_c_loop

from robot_rl.core.clock import NS_PER_S, MonotonicClock


def test_row_tells_percentiles_in_milliseconds():
    late_s = [k / 1e5 for k in range(101)]
    found = lateness.row("a loop", 100.0, late_s, missed=3)
    assert found == {
        "name": "a loop",
        "rate_hz": 100.0,
        "p50_ms": pytest.approx(0.5),
        "p99_ms": pytest.approx(0.99),
        "max_ms": pytest.approx(1.0),
        "ticks": 101,
        "missed": 3,
    }


def test_loop_is_held_against_the_c_loop_of_its_rate_and_priority():
    rows = [
        lateness.row("C", 100.0, [0.001] * 10),
        lateness.row("C", 500.0, [0.5] * 10),
        lateness.row("C, real time", 100.0, [0.0005] * 10),
        lateness.row("loop, learner", 100.0, [0.0015] * 10),
        lateness.row("loop, learner, real time", 100.0, [0.0025] * 10),
    ]
    plain, real_time, actor, add = lateness.claims(rows)
    assert (plain.value, plain.holds) == (pytest.approx(0.5), True)
    assert (real_time.value, real_time.holds) == (pytest.approx(2.0), False)
    assert math.isnan(actor.value)
    assert not actor.holds
    assert not add.holds


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler `cc`")
def test_c_loop_ticks_as_often_as_asked_and_never_early(tmp_path):
    late_s = run_c_loop(tmp_path, rate_hz=200.0, seconds=0.1)
    assert len(late_s) == 20
    assert all(0 <= late < 10 for late in late_s)


def test_machine_without_a_compiler_skips_the_c_loop_and_says_so(monkeypatch):
    monkeypatch.setattr(control_loop.shutil, "which", lambda name: None)
    assert lateness.c_loops("C", 0.01) == [
        {"name": "C, 100 Hz", "skipped": "no C compiler `cc` in the path"},
        {"name": "C, 500 Hz", "skipped": "no C compiler `cc` in the path"},
    ]


def test_every_instant_of_the_loop_is_a_tick_or_missed():
    found = measure(rate_hz=50.0, seconds=0.4)
    assert len(found["late_s"]) + found["missed"] >= 20
    assert min(found["late_s"]) >= 0
    assert found["work_us"] > 0


def test_loop_in_a_process_of_its_own_reports_what_the_system_refused():
    found = run_apart(rate_hz=50.0, seconds=0.1, realtime={"cores": [4000]})
    (refused,) = found["refused"]
    assert refused.startswith("cores [4000]: ")


@pytest.mark.parametrize("clock", [MonotonicClock(), control_loop.SpinningClock(200)])
def test_clocks_that_are_compared_wake_no_earlier_than_asked(clock):
    deadline_ns = clock.now_ns() + NS_PER_S // 500
    clock.sleep_until_ns(deadline_ns)
    assert clock.now_ns() >= deadline_ns
