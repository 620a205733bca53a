from __future__ import annotations

import numpy as np
import pytest

from robot_rl.core.errors import ConfigError
from robot_rl.core.spec import GRIPPER, TCP_POSE, TCP_TWIST
from robot_rl_sim.driver import SimDriverConfig
from robot_rl_sim.tasks.pick_cube import PickCubeConfig
from robot_rl_sim.tasks.point_reach import PointReachConfig

pytestmark = pytest.mark.sim

PERIOD_S = 0.01


def driver(**changes):
    return SimDriverConfig(task=PickCubeConfig(), **changes).build()


def command(vx=0.0, wz=0.0, gripper=1.0):
    values = np.zeros(7, np.float32)
    values[0], values[5], values[6] = vx * PERIOD_S, wz * PERIOD_S, gripper
    return values


def drive(arm, periods: int, **velocity):
    """The samples of so many periods of a gate at 100 Hz."""
    samples = []
    for k in range(periods):
        arm.obey(command(**velocity), PERIOD_S)
        samples += [arm.tick() for _ in range(2 + k % 2)]
    return samples


def settle(arm, seconds=0.3):
    return [arm.tick() for _ in range(round(seconds / arm.period_s))]


def test_a_command_is_carried_out_as_a_velocity():
    arm = driver()
    samples = drive(arm, 40, vx=0.05, wz=0.3)
    twist = np.array([s.vectors[TCP_TWIST] for s in samples[50:]])
    # At the end of a period the arm is a little ahead of its mean speed.
    np.testing.assert_allclose(twist[:, 0], 0.05, rtol=0.03)
    np.testing.assert_allclose(twist[:, 5], 0.3, rtol=0.05)


def test_what_it_moves_by_is_what_it_was_told():
    arm = driver()
    start = arm.position_m
    drive(arm, 50, vx=0.1)
    drive(arm, 30)
    np.testing.assert_allclose(arm.position_m - start, [0.05, 0, 0], atol=1.5e-3)
    assert arm.speed_m_s < 1e-3


def test_without_another_command_it_slows_down_and_then_stays_until_a_person_speaks():
    arm = driver(watchdog_s=0.1, brake_m_s2=4.0)
    drive(arm, 30, vx=0.2)
    x_m = arm.position_m[0]
    # The last command of `drive` was followed by 3 periods.
    settle(arm, 0.1 - 3 * arm.period_s)
    assert arm.fault == ""
    settle(arm, 0.02)
    assert arm.fault == "PROTECTIVE_STOP: no command for 0.104 s"
    # One period of patience is left for a late command, then 0.2 m/s at 4 m/s^2: 0.8 + 5 mm.
    assert arm.position_m[0] - x_m == pytest.approx(0.0058, abs=0.001)
    drive(arm, 30, vx=0.2)
    assert arm.speed_m_s < 1e-3
    arm.clear("Ada")
    assert arm.fault == ""
    drive(arm, 30, vx=0.2)
    assert arm.speed_m_s == pytest.approx(0.2, rel=0.02)


def test_nobody_can_clear_it_while_it_moves():
    arm = driver()
    drive(arm, 30, vx=0.2)
    arm.stop("test")
    arm.tick()
    arm.clear("Ada")
    assert arm.fault == "PROTECTIVE_STOP: test"


def test_the_first_cause_of_a_stop_stands():
    arm = driver()
    arm.stop("first")
    arm.stop("second")
    assert arm.fault == "PROTECTIVE_STOP: first"


def test_it_expects_no_commands_before_the_first_and_after_it_was_left():
    arm = driver()
    settle(arm)
    drive(arm, 5)
    arm.rest()
    settle(arm)
    assert arm.fault == ""


def test_a_command_that_is_not_finite_stops_it():
    arm = driver()
    drive(arm, 30, vx=0.1)
    arm.obey(np.full(7, np.nan, np.float32), PERIOD_S)
    settle(arm)
    assert arm.fault == "PROTECTIVE_STOP: a command was not finite"
    assert arm.speed_m_s < 1e-3


def test_the_gripper_closes_and_opens_while_the_arm_moves():
    arm = driver()
    closed = drive(arm, 40, vx=0.05, gripper=-1.0)[-1].vectors[GRIPPER]
    opened = drive(arm, 40, vx=0.05, gripper=1.0)[-1].vectors[GRIPPER]
    assert closed < 0.01 < 0.07 < opened


def test_an_arm_that_is_held_back_is_not_pulled_ever_harder():
    arm = driver()
    # Down into the table, which it reaches after some 15 cm.
    values = np.array([0, 0, -0.2 * PERIOD_S, 0, 0, 0, -1], np.float32)
    forces = []
    for _ in range(250):
        arm.obey(values, PERIOD_S)
        for _ in range(3):
            arm.tick()
        force = arm.backend.state().force_torque[0, :3] - arm._tare[0, :3]
        forces.append(float(np.linalg.norm(force)))
    # 25 N and what its model of the arm's inertia gets wrong; it neither grows nor shakes loose.
    assert max(forces[-50:]) < 40.0
    assert np.linalg.norm(arm.tick().vectors[TCP_POSE][:3] - arm._pose[:3]) < 5e-3


def test_only_an_fr3_can_be_driven():
    with pytest.raises(ConfigError, match="the task's arm is 'planar_sim', expected an FR3"):
        SimDriverConfig(task=PointReachConfig()).build()


def test_its_period_is_made_of_whole_steps_of_physics():
    with pytest.raises(ConfigError, match=r"period_s is 0\.003, expected a multiple of 0\.002"):
        driver(period_s=0.003)
