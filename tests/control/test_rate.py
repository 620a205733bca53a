from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from robot_rl.control.rate import Rate, Tick
from robot_rl.core.clock import ManualClock

MS = 1_000_000
ON_TIME = Tick(lateness_s=0.0, missed=0)


def test_ticks_keep_the_absolute_schedule():
    clock = ManualClock(start_ns=7 * MS)
    rate = Rate(clock, 0.1)
    wakes = []
    for work_s in (0.03, 0.099, 0.0):
        clock.advance_s(work_s)
        assert rate.wait() == ON_TIME
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
    assert rate.wait() == Tick(lateness_s=0.2, missed=2)
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
    assert rate.wait() == ON_TIME
    assert rate.missed == 0


class LateClock(ManualClock):
    """Wakes after the deadline, as a busy machine does, by what is next in `late_ns`."""

    def __init__(self, *late_ns: int) -> None:
        super().__init__()
        self.late_ns = list(late_ns)

    def sleep_until_ns(self, deadline_ns: int) -> None:
        late_ns = self.late_ns.pop(0) if self.late_ns else 0
        super().sleep_until_ns(deadline_ns + late_ns)


def test_waking_late_is_reported_and_not_handed_on():
    clock = LateClock(3 * MS, 3 * MS)
    rate = Rate(clock, 0.1)
    assert [rate.wait(), rate.wait()] == [Tick(lateness_s=0.003, missed=0)] * 2
    assert clock.now_ns() == 203 * MS
    assert rate.missed == 0


def test_sleep_that_ends_half_a_period_late_at_most_is_a_tick():
    clock = LateClock(50 * MS)
    rate = Rate(clock, 0.1)
    assert rate.wait() == Tick(lateness_s=0.05, missed=0)
    assert clock.now_ns() == 150 * MS


def test_sleep_that_ends_later_goes_on_to_the_next_instant():
    clock = LateClock(250 * MS)
    rate = Rate(clock, 0.1)
    # Due at 0.1 s, awake at 0.35 s: 0.1, 0.2 and 0.3 are gone.
    assert rate.wait() == Tick(lateness_s=0.3, missed=3)
    assert clock.now_ns() == 400 * MS
    assert rate.wait() == ON_TIME


def test_clock_on_which_every_sleep_is_late_still_ticks():
    clock = LateClock(*[70 * MS] * 100)
    rate = Rate(clock, 0.1)
    ticks = [rate.wait() for _ in range(50)]
    # Awake at 0.17 s, again to 0.2 s, awake at 0.27 s; then 0.3 s, awake at 0.37 s, and so on.
    assert ticks[0] == Tick(lateness_s=0.17, missed=1)
    assert clock.now_ns() == (50 * 200 + 70) * MS
    assert rate.missed == 50


def test_start_begins_a_new_schedule():
    clock = ManualClock()
    rate = Rate(clock, 0.1)
    clock.advance_s(0.55)
    rate.start()
    assert rate.wait() == ON_TIME
    assert clock.now_ns() == 650 * MS
    assert rate.missed == 0


@given(
    period_ms=st.sampled_from([2.0, 10.0, 1000 / 30, 100.0]),
    work_ms=st.lists(st.floats(0, 500), min_size=1, max_size=30),
)
def test_work_of_any_length_leaves_whole_periods_between_ticks(period_ms, work_ms):
    clock = ManualClock(start_ns=3)
    rate = Rate(clock, period_ms / 1e3)
    number, wake_ns = 0, clock.now_ns()
    for milliseconds in work_ms:
        clock.advance_s(milliseconds / 1e3)
        busy_ns = clock.now_ns()
        tick = rate.wait()
        number += 1 + tick.missed
        assert clock.now_ns() == 3 + round(number * period_ms * MS)
        # The first instant that was not over: none is early, none waits longer than it must.
        assert busy_ns <= clock.now_ns() < busy_ns + period_ms * MS + 1
        assert clock.now_ns() - wake_ns >= period_ms * MS - 1
        wake_ns = clock.now_ns()
    assert rate.missed == number - len(work_ms)
