"""What all of a person's devices are built by: the bench that they are held at."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from robot_rl.config.load import load
from robot_rl.config.model import Config
from robot_rl.core.clock import ManualClock, MonotonicClock
from robot_rl.core.errors import ConfigError
from robot_rl.core.types import Observation
from robot_rl_hardware.operators.fake import FakeOperator, FakeOperatorConfig, Part
from robot_rl_hardware.operators.leader_arm import LeaderArmConfig

FOLDER = Path("configs/devices")
HELD = ("gamepad", "keyboard", "leader_arm", "spacemouse")


def device(name: str) -> Any:
    return load(FOLDER / f"{name}.yaml", Config)


def bench(clock: Any) -> Any:
    return SimpleNamespace(clock=clock)


@pytest.mark.parametrize("name", HELD)
def test_a_bench_in_another_time_than_the_persons_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"s apart: .*set `cell\.bench\.real_time: true`"):
        device(name).build(bench(ManualClock()))


@pytest.mark.parametrize("name", HELD)
def test_a_bench_in_the_machines_time_is_sat_at(name: str) -> None:
    assert device(name).build(bench(MonotonicClock())).name == name


class Pedal(Config):
    """Remembers what it was built at."""

    seen: ClassVar[list[object]] = []

    def build(self, at: object = None) -> FakeOperator:
        self.seen.append(at)
        return FakeOperatorConfig(parts=(), size=1).build()


def test_the_device_in_the_other_hand_is_held_at_the_same_bench() -> None:
    Pedal.seen.clear()
    config: LeaderArmConfig = device("leader_arm")
    at = bench(MonotonicClock())
    config.model_copy(update={"dead_man": Pedal()}).build(at)
    assert Pedal.seen == [at]


def test_a_script_goes_by_any_benchs_time() -> None:
    clock = ManualClock(5)
    parts = (Part(lasts_s=1.0), Part(lasts_s=1.0, action=(1.0,)))
    person = FakeOperatorConfig(parts=parts, size=1).build(bench(clock))
    nothing = Observation(stamp_ns=0, vectors={})
    assert not person.poll(nothing).active
    clock.advance_s(1.5)
    assert person.poll(nothing).active
