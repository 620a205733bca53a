from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from robot_rl.app.run_config import CellConfig
from robot_rl.config.load import load
from robot_rl.core.errors import ContractError, HardwareError
from robot_rl.core.spec import GRIPPER, TCP_POSE, TCP_TWIST, WRENCH
from robot_rl.core.types import Outcome
from robot_rl_sim import fr3
from robot_rl_sim.arm import TOOL_DOWN, solve_start
from robot_rl_sim.driver import SimDriverConfig
from robot_rl_sim.homing import Homing
from robot_rl_sim.tasks.peg_insert import PegInsertConfig
from robot_rl_sim.tasks.pick_cube import PickCubeConfig
from robot_rl_sim.world import SimWorld

pytestmark = pytest.mark.sim

CELL = Path(__file__).resolve().parents[2] / "configs" / "cells" / "sim_fr3.yaml"


def world(task=None, **changes):
    return SimWorld(SimDriverConfig(task=task or PickCubeConfig(), **changes).build())


def run(world, run=None, seconds=20.0):
    """The samples until a reset has finished, or of so many seconds."""
    samples = []
    for _ in range(round(seconds / world.driver.period_s)):
        samples.append(world.tick().vectors)
        if run is not None and run.finished:
            break
    return samples


@pytest.mark.parametrize("task", [PickCubeConfig(), PegInsertConfig()])
def test_it_goes_back_to_the_start_of_a_seed_slowly_and_the_objects_are_there(task):
    arm = world(task, seed=1)
    fresh = world(task, seed=7)
    reset = arm.reset(7)
    samples = run(arm, reset)
    assert reset.finished
    assert reset.error == ""
    speeds = np.array([np.linalg.norm(s[TCP_TWIST][:3]) for s in samples])
    assert 0.05 < speeds.max() < 0.21
    away = arm.driver.backend.state().tcp_pose[0] - fresh.driver.backend.state().tcp_pose[0]
    assert np.abs(away[:3]).max() < 1e-3
    assert np.abs(away[3:]).max() < 4e-3
    for name in ("cube",) if isinstance(task, PickCubeConfig) else ("bore", "peg_tip"):
        there = arm.driver.backend.state().frames[name][0, :3]
        expected = fresh.driver.backend.state().frames[name][0, :3]
        np.testing.assert_allclose(there, expected, atol=1.5e-3)
    np.testing.assert_allclose(arm.estimate(), fresh.estimate(), atol=0.03)


def test_the_arm_does_not_jump_when_the_objects_are_put_to_their_start():
    arm = world()
    samples = run(arm, arm.reset(3)) + run(arm, seconds=0.2)
    steps = np.diff([s[TCP_POSE][:3] for s in samples], axis=0)
    assert np.abs(steps).max() < 0.21 * arm.driver.period_s
    assert arm.driver.speed_m_s < 1e-3


def test_an_inserted_peg_is_drawn_out_upwards_before_it_goes_sideways():
    arm = world(PegInsertConfig(grasp_error_m=0.0))
    bore = arm.driver.backend.state().frames["bore"][0, :3]
    sunk = np.array([*bore[:2], bore[2] - 0.02 + 0.05, *TOOL_DOWN])
    arm.driver.backend.qpos[0, :7] = solve_start(arm.driver.task.model, sunk)
    arm.driver.backend.qvel[0] = 0.0
    arm.driver.backend.ctrl[0, :6] = fr3.ctrl_from_pose(sunk)
    arm.driver._pose = sunk
    run(arm, seconds=0.5)
    samples = run(arm, arm.reset(5))
    path = np.array([s[TCP_POSE][:3] for s in samples])
    sideways = np.linalg.norm(path[:, :2] - path[0, :2], axis=1)
    assert path[np.argmax(sideways > 3e-3), 2] > bore[2] + 0.05
    force = np.array([np.linalg.norm(s[WRENCH][:3]) for s in samples])
    assert force.max() < 30.0


def insert(arm):
    """The samples of an insertion at 30 mm/s by one who sees everything."""
    samples = []
    for tick in range(3000):
        if tick % 25 == 0 and arm.judge().outcome is Outcome.SUCCESS:
            return samples
        ideal = arm.driver.task.correction(arm.driver.backend.state(), 0)
        velocity = np.clip(ideal / 0.1, -0.03, 0.03)
        arm.obey((velocity * 0.01).astype(np.float32), 0.01)
        samples.append(arm.tick().vectors)
    raise AssertionError("it was not inserted")


# As a policy presses on that has learned on a softer arm.
@pytest.mark.parametrize(
    ("seed", "press"),
    [
        (0, (0.01, 0, 0, 0, 0, 0)),
        (1, (0.02, 0.02, -0.02, 0.05, 0.05, 0)),
        (2, (0, -0.03, -0.01, 0, 0.1, 0)),
    ],
)
def test_a_peg_pressed_askew_in_its_bore_stops_no_gate_and_comes_out_below_the_cells_limit(
    seed, press
):
    arm = world(PegInsertConfig(clearance_m=0.4e-3), seed=seed)
    samples = insert(arm)
    for velocity, ticks in ((press, 100), (np.zeros(6), 50)):
        for _ in range(ticks):
            arm.obey((np.array(velocity) * 0.01).astype(np.float32), 0.01)
            samples.append(arm.tick().vectors)
    reset = arm.reset(seed + 100)
    back = run(arm, reset) + run(arm, seconds=0.2)
    assert reset.error == ""
    most_n = load(CELL, CellConfig).limits.max_force_n
    assert max(np.linalg.norm(s[WRENCH][:3]) for s in back) < most_n
    # At twice its limit the gate latches STOP.
    assert max(np.linalg.norm(s[WRENCH][:3]) for s in samples) < 1.5 * most_n


def test_the_gripper_is_opened_before_the_arm_moves():
    arm = world()
    for _ in range(200):
        arm.obey(np.array([0, 0, 0, 0, 0, 0, -1], np.float32), 0.01)
        arm.tick()
    assert arm.tick().vectors[GRIPPER] < 0.01
    start = arm.driver.position_m
    samples = run(arm, arm.reset(2))
    moved = np.array([np.linalg.norm(s[TCP_POSE][:3] - start) > 1e-3 for s in samples])
    assert samples[int(np.argmax(moved))][GRIPPER] > 0.07


def test_commands_are_heard_but_not_obeyed_on_the_way():
    arm = world()
    reset = arm.reset(4)
    target = np.zeros(7, np.float32)
    target[2] = -0.002
    while not reset.finished:
        arm.obey(target, 0.01)
        arm.tick()
    assert reset.error == ""
    assert arm.commands > 100


def test_afterwards_nobody_has_to_command_it():
    arm = world()
    run(arm, arm.reset(4))
    run(arm, seconds=0.5)
    assert arm.driver.fault == ""


def test_a_stop_on_the_way_ends_it():
    arm = world()
    reset = arm.reset(4)
    run(arm, seconds=0.5)
    arm.driver.stop("somebody came near")
    run(arm, reset)
    assert "somebody came near" in reset.error
    run(arm, seconds=0.3)
    assert arm.driver.speed_m_s < 1e-3
    with pytest.raises(HardwareError, match="recover it first"):
        arm.reset(4)


def test_one_way_at_a_time_and_it_can_be_given_up():
    arm = world()
    reset = arm.reset(4)
    run(arm, seconds=0.3)
    with pytest.raises(HardwareError, match="on its way to the start of seed 4"):
        arm.reset(5)
    arm.cancel()
    assert (reset.finished, reset.error) == (True, "cancelled")
    run(arm, seconds=0.5)
    assert arm.driver.speed_m_s < 1e-3


def test_an_arm_that_does_not_move_gives_up_and_says_how_far_it_is(monkeypatch):
    arm = world()
    monkeypatch.setattr(arm.driver, "obey", lambda values, period_s: None)
    reset = arm.reset(4)
    run(arm, reset)
    assert "the arm has not come to" in reset.error
    assert "mm and" in reset.error


def test_success_counts_once_it_has_been_held():
    arm = world(PegInsertConfig())
    assert arm.judge().outcome is Outcome.UNKNOWN
    arm.driver.task = type("Reached", (), {"success": lambda s, state: np.array([True])})()
    arm._goal._task = arm.driver.task
    assert [arm.judge().reward for _ in range(3)] == [0.0, 1.0, 1.0]


def test_a_command_of_another_length_is_refused():
    with pytest.raises(ContractError, match=r"shape \[6\], expected \[7\]"):
        world().obey(np.zeros(6, np.float32), 0.01)


def test_homing_never_exceeds_its_speed_and_slows_down_before_the_end():
    homing, pose = Homing(np.array([0.3, 0, 0, 0, 0, 0, 1.0]), 0.01), np.zeros(7)
    pose[6] = 1.0
    speeds = []
    while (twist := homing.next(pose)) is not None:
        speeds.append(float(np.linalg.norm(twist[:3])))
        pose[:3] += twist[:3] * 0.01
    # 0.5 m/s^2 from rest, 0.2 m/s at most, and five times what is left near the end.
    assert speeds[0] == pytest.approx(0.005)
    assert max(speeds) == pytest.approx(0.2)
    assert speeds[-1] == pytest.approx(5 * (0.3 - pose[0]) / 0.95, rel=0.01)
    assert 0.3 - pose[0] < 0.5e-3
