from __future__ import annotations

import threading
import time

import pytest

from robot_rl.core.clock import MonotonicClock
from robot_rl.core.errors import HardwareError
from robot_rl.core.types import Observation
from robot_rl.sensing.intake import Intake
from robot_rl_hardware.sampler import Sample, Sampler


class Script:
    """A reader that says what it is told to, then nothing."""

    def __init__(self, *said: Sample | Exception, open_error: Exception | None = None) -> None:
        self.said = list(said)
        self.open_error = open_error
        self.closed = threading.Event()

    def open(self) -> None:
        if self.open_error:
            raise self.open_error

    def read(self) -> Sample | None:
        if not self.said:
            time.sleep(0.01)
            return None
        said = self.said.pop(0)
        if isinstance(said, Exception):
            raise said
        return said

    def close(self) -> None:
        self.closed.set()


def sampler(reader: Script, silent_after_s: float = 60.0) -> Sampler:
    return Sampler(reader, Intake("thing", MonotonicClock(), 0.1), silent_after_s)


def sample(sequence: int, complaint: str = "") -> Sample:
    return Sample(sequence=sequence, device_ns=sequence * 1_000_000, complaint=complaint)


def failure_of(device: Sampler) -> str:
    end = time.monotonic() + 20
    while device.failure is None:
        assert time.monotonic() < end
        time.sleep(0.005)
    return str(device.failure)


def test_nothing_is_touched_before_it_is_entered() -> None:
    device = sampler(Script(open_error=HardwareError("touched")))
    assert device.latest() is None


def test_a_sample_is_stamped_by_the_local_clock() -> None:
    before_ns = time.monotonic_ns()
    with sampler(Script(sample(1))) as device:
        seen = device.wait_until_ready(20)
        assert before_ns <= seen.stamp_ns <= time.monotonic_ns()
        assert device.name == "thing"


def test_a_device_that_does_not_open_says_why_and_is_closed() -> None:
    reader = Script(open_error=HardwareError("is it plugged in?"))
    with sampler(reader) as device:
        with pytest.raises(HardwareError, match=r"thing: is it plugged in\?"):
            device.wait_until_ready(20)
        assert reader.closed.wait(20)
        with pytest.raises(HardwareError):
            device.latest()


def test_a_device_that_goes_while_it_is_read_says_why() -> None:
    with sampler(Script(sample(1), HardwareError("pulled out"))) as device:
        assert "pulled out" in failure_of(device)


def test_a_fault_of_a_driver_is_told_and_not_swallowed() -> None:
    with sampler(Script(ValueError("a mistake"))) as device:
        assert "its driver has failed: ValueError: a mistake" in failure_of(device)


def test_silence_is_failure() -> None:
    with sampler(Script(sample(1)), silent_after_s=0.05) as device:
        assert "silent for" in failure_of(device)


def test_a_driver_that_hangs_is_silent_too() -> None:
    hang = threading.Event()

    class Hanging(Script):
        def read(self) -> Sample | None:
            hang.wait(20)
            return None

    with sampler(Hanging(), silent_after_s=0.05) as device:
        assert "silent for" in failure_of(device)
        hang.set()


def test_no_sample_in_time_is_told_with_the_last_complaint() -> None:
    with (
        sampler(Script(sample(1, complaint="it is NaN"))) as device,
        pytest.raises(HardwareError, match=r"no sample within 0\.2 s: it is NaN"),
    ):
        device.wait_until_ready(0.2)


def test_what_is_complained_about_is_not_taken_in() -> None:
    heard: list[Observation] = []
    reader = Script(sample(1), sample(2, complaint="overloaded"), sample(3))
    device = sampler(reader)
    device.listener = heard.append
    with device:
        device.wait_until_ready(20)
        end = time.monotonic() + 20
        while len(heard) < 2 and time.monotonic() < end:
            time.sleep(0.005)
        assert len(heard) == 2
        assert device.refused == 1
        assert device.complaint == ""


def test_leaving_closes_the_device() -> None:
    reader = Script()
    with sampler(reader):
        pass
    assert reader.closed.is_set()
