"""Resets of the simulated FR3 through the cell's own gate, with what is really measured."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest

from robot_rl.control.kinematics import SerialChainConfig
from robot_rl.control.reset_motion import ResetMotionConfig
from robot_rl.control.safety import SafetyGate
from robot_rl.core.geometry import pose_minus_pose, pose_plus_delta
from robot_rl.core.spec import JOINT_POSITION, TCP_POSE, ActionSpec, RobotSpec
from robot_rl.core.types import Command, GateReason, Source
from robot_rl_sim import fr3
from robot_rl_sim.arm import add_sensors, arm_action_spec, arm_observation_spec
from robot_rl_sim.backend import MujocoBackend, Start
from robot_rl_sim.clock import SimClock
from robot_rl_sim.drive import ImpedanceDrive
from robot_rl_sim.fr3_joint import ServoDrive, servo_joints
from robot_rl_sim.robot import SimArm

pytestmark = pytest.mark.sim
HOME = np.array(fr3.HOME_Q)
# The cell's box ends below the home position.
ROOM = {"workspace_min_m": (0.2, -0.3, 0.03), "workspace_max_m": (0.7, 0.3, 0.65)}


@dataclass
class Cell:
    """A simulated arm, its gate and what its resets take."""

    arm: SimArm
    clock: SimClock
    gate: SafetyGate
    action: ActionSpec

    def reset_to(self, target, motion) -> Counter[GateReason]:
        """Drive until the reset is done; return how often the gate had which reason."""
        lease, reasons = self.gate.grant(Source.RESET), Counter()
        start_ns, observation = self.clock.now_ns(), self.arm.read()
        motion.begin(target, observation)
        for sequence in range(1000):
            action = motion.next(observation)
            command = Command(
                action=action,
                issued_ns=self.clock.now_ns(),
                source=Source.RESET,
                epoch=lease.epoch,
                sequence=sequence,
            )
            safe = self.gate.check(command, observation)
            self.arm.command(safe)
            if motion.done:
                break
            reasons[safe.reason] += 1
            period_ns = round(self.action.period_s * 1e9)
            self.clock.sleep_until_ns(start_ns + (sequence + 1) * period_ns)
            observation = self.arm.read()
        return reasons


@pytest.fixture
def make_cell(make_model, make_limits, cell_chain):
    def make(drive, change, action) -> Cell:
        model = make_model(drive=change, dress=lambda spec, _: add_sensors(spec, ()))
        backend = MujocoBackend(model, ())
        clock = SimClock(backend)
        spec = RobotSpec(name="fr3", observation=arm_observation_spec({}, ()), action=action)
        arm = SimArm(backend, drive, spec, clock)
        ctrl = fr3.ctrl_from_pose(home_pose()) if model.nu == 6 else HOME
        start = Start(qpos=HOME, ctrl=ctrl, mocap={}, model={}, estimate_error=np.zeros(0))
        backend.reset(0, start)
        arm.begin(np.random.default_rng(0))
        chain = SerialChainConfig.model_validate(cell_chain).build()
        gate = SafetyGate(make_limits(**ROOM), action, clock, chain)
        return Cell(arm=arm, clock=clock, gate=gate, action=action)

    def home_pose():
        return SerialChainConfig.model_validate(cell_chain).build().forward(HOME)

    return make


def build_motion(action, limits, chain):
    config = ResetMotionConfig(
        share=0.4,
        tolerance_rad=0.01,
        tolerance_m=0.002,
        max_error_rad=0.3,
        max_error_m=0.05,
        settle_s=3.0,
        plans=3,
    )
    return config.build(limits, action, chain)


def test_servos_reach_a_place_of_the_joints(make_cell, make_limits, cell_chain):
    names = tuple(f"joint{i}" for i in range(1, 8))
    action = ActionSpec(kind="joint_delta", names=names, scale=(0.06,) * 7, period_s=0.02)
    cell = make_cell(ServoDrive(), servo_joints, action)
    chain = SerialChainConfig.model_validate(cell_chain).build()
    motion = build_motion(action, make_limits(**ROOM), chain)
    target = HOME + np.array([0.3, 0.25, -0.1, -0.2, 0.15, 0.1, -0.4])
    reasons = cell.reset_to(target, motion)
    assert motion.done
    assert motion.plans == 1
    assert set(reasons) == {GateReason.PASSED}
    np.testing.assert_allclose(cell.arm.read().vectors[JOINT_POSITION], target, atol=0.01)


def test_an_impedance_reaches_a_pose(make_cell, make_limits):
    action = arm_action_spec(0.01, 0.06, 0.1, gripper=False)
    cell = make_cell(ImpedanceDrive(), lambda spec: None, action)
    motion = build_motion(action, make_limits(**ROOM), None)
    home = cell.arm.read().vectors[TCP_POSE].astype(np.float64)
    target = pose_plus_delta(home, np.array([0.05, 0.1, -0.1, 0.1, -0.1, 0.3]))
    reasons = cell.reset_to(target, motion)
    assert motion.done
    assert motion.plans == 1
    assert set(reasons) == {GateReason.PASSED}
    left = pose_minus_pose(target, cell.arm.read().vectors[TCP_POSE].astype(np.float64))
    assert np.linalg.norm(left[:3]) < 0.002
    assert np.linalg.norm(left[3:]) < 0.01
