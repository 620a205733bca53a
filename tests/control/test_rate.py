from __future__ import annotations

from robot_rl.control.rate import Rate
from robot_rl.core.clock import ManualClock

MS = 1_000_000


def test_ticks_keep_the_absolute_schedule():
    clock = ManualClock(start_ns=7 * MS)
    rate = Rate(clock, 0.1)
    wakes = []
    for work_s in (0.03, 0.099, 0.0):
        clock.advance_s(work_s)
        assert rate.wait() == 0.0
        wakes.append(clock.now_ns())
    assert wakes == [107 * MS, 207 * MS, 307 * MS]
    assert rate.missed == 0


def test_schedule_does_not_drift_where_the_period_is_no_whole_nanosecond():
    clock = ManualClock()
    rate = Rate(clock, 1 / 30)
    for _ in range(3000):
        rate.wait()
    assert clock.now_ns() == 100_000 * MS


def test_overrun_wakes_at_the_next_instant_and_counts_what_it_missed():
    clock = ManualClock()
    rate = Rate(clock, 0.1)
    clock.advance_s(0.25)
    # Due at 0.1 s; 0.1 and 0.2 are gone, so it wakes at 0.3 s.
    assert rate.wait() == 0.2
    assert clock.now_ns() == 300 * MS
    assert rate.missed == 2


def test_no_burst_follows_an_overrun():
    clock = ManualClock()
    rate = Rate(clock, 0.1)
    clock.advance_s(1.05)
    wakes = []
    for _ in range(4):
        rate.wait()
        wakes.append(clock.now_ns())
    assert wakes == [1100 * MS, 1200 * MS, 1300 * MS, 1400 * MS]
    assert rate.missed == 10


def test_a_tick_that_ends_on_time_to_the_nanosecond_is_not_missed():
    clock = ManualClock()
    rate = Rate(clock, 0.1)
    clock.advance_s(0.1)
    assert rate.wait() == 0.0
    assert rate.missed == 0


class LateClock(ManualClock):
    """Wakes 3 ms after the deadline, as a busy machine does."""

    def sleep_until_ns(self, deadline_ns: int) -> None:
        super().sleep_until_ns(deadline_ns + 3 * MS)


def test_waking_late_is_reported_and_not_handed_on():
    clock = LateClock()
    rate = Rate(clock, 0.1)
    assert [rate.wait(), rate.wait()] == [0.003, 0.003]
    assert clock.now_ns() == 203 * MS
    assert rate.missed == 0


def test_start_begins_a_new_schedule():
    clock = ManualClock()
    rate = Rate(clock, 0.1)
    clock.advance_s(0.55)
    rate.start()
    assert rate.wait() == 0.0
    assert clock.now_ns() == 650 * MS
    assert rate.missed == 0
