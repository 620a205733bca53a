from __future__ import annotations

from robot_rl.core.clock import ManualClock, MonotonicClock


def test_manual_clock_moves_only_when_told():
    clock = ManualClock(start_ns=5)
    assert clock.now_ns() == 5
    clock.advance_s(0.25)
    assert clock.now_ns() == 250_000_005


def test_sleeping_on_the_manual_clock_jumps_to_the_deadline_and_never_back():
    clock = ManualClock()
    clock.sleep_until_ns(100)
    clock.sleep_until_ns(40)
    assert clock.now_ns() == 100


def test_monotonic_clock_sleeps_until_the_deadline():
    clock = MonotonicClock()
    deadline_ns = clock.now_ns() + 2_000_000
    clock.sleep_until_ns(deadline_ns)
    assert clock.now_ns() >= deadline_ns


def test_a_deadline_in_the_past_returns_at_once():
    clock = MonotonicClock()
    before_ns = clock.now_ns()
    clock.sleep_until_ns(before_ns - 10**12)
    assert clock.now_ns() - before_ns < 10**9
