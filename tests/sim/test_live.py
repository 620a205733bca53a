from __future__ import annotations

import time

import numpy as np
import pytest

from robot_rl.core.errors import ConfigError, HardwareError
from robot_rl.core.spec import TCP_TWIST
from robot_rl_sim.driver import SimDriverConfig
from robot_rl_sim.live import LiveWorld
from robot_rl_sim.tasks.pick_cube import PickCubeConfig
from robot_rl_sim.world import SimWorld

pytestmark = pytest.mark.sim


@pytest.fixture
def live():
    samples = []
    world = SimWorld(SimDriverConfig(task=PickCubeConfig()).build())
    live = LiveWorld(world, 100.0, samples.append)
    live.samples = samples
    live.start()
    yield live
    live.close()


def until(happened, timeout_s=20.0):
    end = time.monotonic() + timeout_s
    while not happened():
        assert time.monotonic() < end, "it has not happened"
        time.sleep(0.005)


def test_time_passes_at_the_machines_pace_and_samples_are_stamped_with_it(live):
    until(lambda: len(live.samples) > 100)
    stamps = np.array([s.stamp_ns for s in live.samples[:100]])
    # A machine that is too busy leaves some out.
    in_time = np.isin(np.diff(stamps), [8_000_000, 12_000_000])
    assert in_time.mean() > 0.9
    assert np.diff(stamps)[in_time].mean() == pytest.approx(10e6, rel=0.03)
    assert time.monotonic_ns() - live.samples[-1].stamp_ns < 1e9
    judged = [s for s in live.samples[:100] if s.judgement is not None]
    assert len(judged) == pytest.approx(10, abs=2)


def test_a_command_is_obeyed_and_counted(live):
    values = np.array([5e-4, 0, 0, 0, 0, 0, 0], np.float32)

    def drives():
        live.obey(values, 0.01)
        return live.samples and live.samples[-1].vectors[TCP_TWIST][0] > 0.04

    until(drives)
    assert live.samples[-1].commands > 0


def test_what_is_asked_is_answered_by_the_world_or_its_error(live):
    assert live.ask(lambda world: world.commands) == 0
    with pytest.raises(HardwareError, match="on its way"):
        live.ask(lambda world: (world.reset(1), world.reset(2)))


def test_a_world_that_ends_says_why(live):
    def break_down(world):
        world.tick = None

    live.ask(break_down)
    until(lambda: live.error is not None)
    with pytest.raises(HardwareError, match="the simulation has ended: 'NoneType' object"):
        live.ask(lambda world: world.commands)


def test_a_world_that_is_busy_is_not_waited_for_for_ever(live):
    with pytest.raises(HardwareError, match=r"has not answered for 0\.1 s"):
        live.ask(lambda world: time.sleep(0.5), timeout_s=0.1)


def test_more_samples_than_periods_are_refused():
    world = SimWorld(SimDriverConfig(task=PickCubeConfig()).build())
    with pytest.raises(ConfigError, match="300 samples a second, expected at most 250"):
        LiveWorld(world, 300.0, print)


def test_a_world_that_was_not_let_run_stops_an_arm_that_was_commanded_and_no_other(live):
    live.ask(lambda world: time.sleep(1.2))
    assert live.ask(lambda world: world.driver.fault) == ""
    live.ask(lambda world: world.obey(np.zeros(7, np.float32), 10.0))
    live.ask(lambda world: time.sleep(1.2))
    until(lambda: "the simulation was not let run for" in live.samples[-1].fault)


def test_while_it_is_not_let_run_the_world_stands_still_and_its_watchdog_too(live):
    live.ask(lambda world: world.obey(np.zeros(7, np.float32), 0.01))
    live.ask(lambda world: time.sleep(0.3))
    until(lambda: live.stood_still_s > 0.25)
    assert live.ask(lambda world: world.driver.fault) == ""
