"""Physics that keeps up with the machine's clock, in parts, and is what it would be in one go."""

import numpy as np
import pytest

from robot_rl.core.clock import NS_PER_S
from robot_rl_sim import clock as clock_module
from robot_rl_sim.backend import MujocoBackend
from robot_rl_sim.clock import RealTimeSimClock
from robot_rl_sim.tasks.peg_insert import PegInsertConfig

pytestmark = pytest.mark.sim

MS = NS_PER_S // 1000


class Machine:
    """The machine's time: it passes while somebody sleeps, or is busy."""

    def __init__(self):
        self.now_ns = 0

    def monotonic_ns(self):
        return self.now_ns

    def sleep(self, seconds):
        self.now_ns += round(seconds * NS_PER_S)


class Physics:
    """Notes when it was stepped, how far, and whether as a part of the step before."""

    timestep_s = 0.002

    def __init__(self, machine, takes_ns=0):
        self.machine = machine
        self.takes_ns = takes_ns
        self.parts = []

    def step(self, substeps):
        self._note(substeps, "new")

    def step_on(self, substeps):
        self._note(substeps, "on")

    def _note(self, substeps, how):
        self.parts.append((self.machine.now_ns // MS, substeps, how))
        self.machine.now_ns += self.takes_ns

    @property
    def substeps(self):
        return sum(substeps for _, substeps, _ in self.parts)


@pytest.fixture
def machine(monkeypatch):
    machine = Machine()
    monkeypatch.setattr(clock_module, "time", machine)
    return machine


def test_physics_goes_along_with_time_and_is_done_before_the_deadline(machine):
    physics = Physics(machine)
    clock = RealTimeSimClock(physics)
    clock.sleep_until_ns(100 * MS)
    assert physics.parts == [(0, 5, "new"), *((10 * k, 5, "on") for k in range(1, 10))]
    assert machine.now_ns == 100 * MS
    clock.sleep_until_ns(150 * MS)
    assert physics.parts[10:] == [(100, 5, "new"), *((100 + 10 * k, 5, "on") for k in range(1, 5))]


def test_who_comes_late_makes_up_at_once_for_what_time_has_passed_and_no_more(machine):
    physics = Physics(machine)
    clock = RealTimeSimClock(physics)
    machine.now_ns = 70 * MS
    clock.sleep_until_ns(100 * MS)
    # 70 ms have passed and one part is ahead of time, the rest comes with it.
    assert physics.parts == [(70, 40, "new"), (80, 5, "on"), (90, 5, "on")]
    machine.now_ns = 230 * MS
    clock.sleep_until_ns(200 * MS)
    assert physics.parts[3:] == [(230, 50, "new")]
    assert machine.now_ns == 230 * MS


def test_slow_physics_is_stepped_in_larger_parts_and_never_further(machine):
    physics = Physics(machine, takes_ns=25 * MS)
    clock = RealTimeSimClock(physics)
    for tick in range(1, 5):
        clock.sleep_until_ns(tick * 100 * MS)
        assert physics.substeps == 50 * tick
    assert len(physics.parts) <= 20


def test_what_a_reset_took_is_not_made_up_for(machine):
    physics = Physics(machine)
    clock = RealTimeSimClock(physics)
    machine.now_ns = 5 * NS_PER_S
    clock.resume()
    clock.sleep_until_ns(machine.now_ns + 20 * MS)
    assert physics.substeps == 10


def test_steps_in_parts_give_bit_by_bit_what_one_step_gives():
    task = PegInsertConfig().build()
    whole, parted = (MujocoBackend(task.model, task.frames) for _ in range(2))
    for backend in (whole, parted):
        backend.reset(0, task.start(np.random.default_rng(3)))
    for _ in range(4):
        for backend in (whole, parted):
            # Down, into contact.
            backend.ctrl[:, 2] -= 0.03
        whole.step(50)
        parted.step(5)
        for substeps in (1, 4, 33, 7):
            parted.step_on(substeps)
        np.testing.assert_array_equal(whole.row(0), parted.row(0))
        np.testing.assert_array_equal(whole.force_history(), parted.force_history())
        a, b = whole.state(), parted.state()
        np.testing.assert_array_equal(a.force_torque, b.force_torque)
        np.testing.assert_array_equal(a.tcp_pose, b.tcp_pose)
    assert np.abs(whole.state().force_torque).max() > 1.0
