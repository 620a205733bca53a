from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from robot_rl.core.clock import ManualClock
from robot_rl.core.errors import HardwareError
from robot_rl.core.types import Observation
from robot_rl_hardware.operators.fake import FakeOperator, FakeOperatorConfig, Part

NOTHING = Observation(stamp_ns=0, vectors={})
PARTS = (Part(lasts_s=1.0), Part(lasts_s=2.0, action=(0.5, -0.5)))


def operator(clock: ManualClock, **changes: Any) -> FakeOperator:
    config = FakeOperatorConfig(**({"parts": PARTS, "size": 2} | changes))
    bench: Any = SimpleNamespace(clock=clock)
    return config.build(bench)


def test_the_script_is_followed() -> None:
    clock = ManualClock()
    person = operator(clock)
    assert not person.poll(NOTHING).active
    clock.advance_s(1.5)
    said = person.poll(NOTHING)
    assert said.active
    assert said.action.tolist() == [0.5, -0.5]
    assert said.action.dtype == np.float32
    assert said.heard_ns == clock.now_ns()
    clock.advance_s(2.0)
    assert not person.poll(NOTHING).active


def test_a_script_may_loop() -> None:
    clock = ManualClock()
    person = operator(clock, loops=True)
    person.poll(NOTHING)
    clock.advance_s(3.0 * 100 + 1.5)
    assert person.poll(NOTHING).active


def test_a_device_that_is_gone_raises() -> None:
    clock = ManualClock()
    person = operator(clock, gone_after_s=1.0)
    person.poll(NOTHING)
    clock.advance_s(1.0)
    with pytest.raises(HardwareError, match="gone after 1 s"):
        person.poll(NOTHING)


def test_a_silent_device_was_heard_last_when_it_fell_silent() -> None:
    clock = ManualClock()
    person = operator(clock, silent_after_s=1.0)
    person.poll(NOTHING)
    clock.advance_s(1.5)
    assert person.poll(NOTHING).heard_ns == 1_000_000_000
