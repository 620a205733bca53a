from __future__ import annotations

import numpy as np
import pytest

from robot_rl.core.clock import ManualClock
from robot_rl.sensing.intake import Arrival, Intake

MS = 1_000_000
KEY = "observation.wrench"


class Rig:
    """A device that takes 4 ms to deliver, with a clock of its own."""

    def __init__(self, offset_ns: int = 0) -> None:
        self.clock = ManualClock(start_ns=1000 * MS)
        self.intake = Intake("ft", self.clock, late_after_s=0.02)
        self.offset_ns = offset_ns

    def deliver(self, sequence: int, delay_ms: int = 4) -> Arrival:
        """A frame arrives 10 ms after the one before."""
        self.clock.advance_s(0.01)
        device_ns = self.clock.now_ns() - delay_ms * MS + self.offset_ns
        content = np.full(1, sequence, np.float32)
        return self.intake.put(sequence, device_ns, vectors={KEY: content})

    @property
    def newest(self) -> tuple[float, float]:
        """Content, and age [ms]."""
        sample = self.intake.latest()
        age_ms = (self.clock.now_ns() - sample.stamp_ns) / MS
        return float(sample.vectors[KEY][0]), age_ms


def counts(intake: Intake) -> dict[str, int]:
    found = intake.counts
    return {name: n for name in found.__slots__ if (n := getattr(found, name))}


def test_before_the_first_frame_there_is_none():
    assert Rig().intake.latest() is None


def test_frames_in_order_are_fresh():
    rig = Rig()
    assert [rig.deliver(n) for n in (5, 6, 7)] == [Arrival.FRESH] * 3
    assert rig.newest == (7.0, 0.0)
    assert counts(rig.intake) == {"fresh": 3}


def test_frame_that_comes_again_is_not_fresh_and_the_first_grows_old():
    rig = Rig()
    rig.deliver(5)
    assert [rig.deliver(5), rig.deliver(5)] == [Arrival.DUPLICATE] * 2
    assert rig.newest == (5.0, 20.0)
    assert counts(rig.intake) == {"fresh": 1, "duplicates": 2}


def test_gaps_are_counted_by_the_devices_own_numbers():
    rig = Rig()
    for sequence in (0, 3, 4, 14):
        rig.deliver(sequence)
    assert counts(rig.intake) == {"fresh": 4, "lost": 2 + 9}


def test_frame_that_others_have_overtaken_is_not_delivered_and_not_lost():
    rig = Rig()
    arrivals = [rig.deliver(n) for n in (0, 3, 1, 1)]
    assert arrivals[2:] == [Arrival.OUT_OF_ORDER, Arrival.DUPLICATE]
    assert rig.newest[0] == 3.0
    assert counts(rig.intake) == {"fresh": 2, "out_of_order": 1, "duplicates": 1, "lost": 1}


def test_number_that_jumps_by_billions_costs_no_memory():
    rig = Rig()
    for n in range(50):
        rig.deliver(n * 10**12)
    assert counts(rig.intake) == {"fresh": 50, "lost": 49 * (10**12 - 1)}


def test_frame_that_took_longer_than_the_quickest_is_older_by_as_much():
    rig = Rig()
    rig.deliver(0)
    assert rig.deliver(1, delay_ms=11) == Arrival.FRESH
    assert rig.newest == (1.0, 7.0)
    assert rig.deliver(2, delay_ms=44) == Arrival.LATE
    assert counts(rig.intake) == {"fresh": 2, "late": 1}


def test_stamps_grow_with_every_frame_that_is_delivered():
    rig = Rig()
    stamps = []
    for n, delay_ms in enumerate((4, 90, 4, 90, 91)):
        rig.deliver(n, delay_ms)
        stamps.append(rig.intake.latest().stamp_ns)
    assert stamps == sorted(set(stamps))


@pytest.mark.parametrize("hours", [-1.0, -1e-6, 1e-6, 1.0, 1e5])
def test_clock_of_the_device_may_be_off_by_any_amount(hours):
    rig = Rig(offset_ns=round(hours * 3600e9))
    rig.deliver(0)
    rig.deliver(1, delay_ms=11)
    assert rig.newest == (1.0, 7.0)


def test_device_that_sets_its_clock_back_is_old_until_its_new_time_is_known():
    rig = Rig()
    rig.deliver(0)
    rig.offset_ns = -(10**9)
    assert rig.deliver(1) == Arrival.LATE
    assert rig.newest[1] == pytest.approx(10.0)
    arrivals = [rig.deliver(n) for n in range(2, 2100)]
    # The second window after that instant knows nothing of before.
    assert set(arrivals[:900]) == {Arrival.LATE}
    assert set(arrivals[2000:]) == {Arrival.FRESH}


def test_device_that_was_opened_anew_begins_anew():
    rig = Rig()
    rig.deliver(500)
    rig.intake.restart()
    rig.offset_ns = 10**15
    assert rig.deliver(0) == Arrival.FRESH
    assert rig.newest == (0.0, 0.0)
    assert counts(rig.intake) == {"fresh": 2}
