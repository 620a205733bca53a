"""The FR3 that the Cartesian benchmark drives: its kinematics, and in MuJoCo with servos."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import mujoco
import numpy as np
import yaml
from numpy.typing import NDArray

from robot_rl.control.cartesian.arm_model import ArmModel
from robot_rl.control.cartesian.differential_ik import DifferentialIk, DifferentialIkConfig
from robot_rl.control.limits import SafetyLimits
from robot_rl_sim import fr3, fr3_joint

Array = NDArray[np.float64]
Dress = Callable[[mujoco.MjSpec, mujoco.MjsBody], None]

HOME = np.array(fr3.HOME_Q)
LOWER, UPPER = np.array(fr3.JOINT_LOWER), np.array(fr3.JOINT_UPPER)
CELL = Path(__file__).parents[2] / "configs" / "cells" / "sim_fr3.yaml"
RADIAN_M = 0.3
"""What makes one number of metres and radians, as in the inverse kinematics."""


@functools.cache
def cell_limits() -> SafetyLimits:
    """Of the simulated FR3."""
    return SafetyLimits.model_validate(yaml.safe_load(CELL.read_text())["limits"])


def servo_model(dress: Dress | None = None) -> mujoco.MjModel:
    """The FR3 with position servos, 2 ms steps; `dress` adds to scene and hand."""
    spec = mujoco.MjSpec()
    spec.option.timestep = 0.002
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    hand = fr3.add_fr3(spec, gripper=False, stiffness=(800.0, 30.0)).hand
    fr3_joint.servo_joints(spec)
    if dress:
        dress(spec, hand)
    return spec.compile()


def new_ik(period_s: float) -> DifferentialIk:
    """The arm's inverse kinematics within the cell's limits."""
    arm = ArmModel(servo_model(), "tcp", "base")
    return DifferentialIkConfig(posture_rad=fr3.HOME_Q, radian_m=RADIAN_M).build(
        arm, cell_limits(), period_s
    )


class ServoArm:
    """The arm in MuJoCo, from home; one `step` is 2 ms."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self.model, self.data = model, mujoco.MjData(model)
        self.data.qpos[:7] = HOME
        self.data.ctrl[:7] = HOME
        mujoco.mj_forward(model, self.data)
        self._tare = self._reading()

    def step(self, q: Array) -> None:
        """Ask the joints to be at q [rad]."""
        self.data.ctrl[:7] = q
        mujoco.mj_step(self.model, self.data)

    def tcp_pose(self) -> Array:
        """Measured, float64[7] in the base frame."""
        wxyz = np.empty(4)
        mujoco.mju_mat2Quat(wxyz, self.data.site("tcp").xmat)
        return np.concatenate([self.data.site("tcp").xpos, wxyz[[1, 2, 3, 0]]])

    def wrench(self) -> Array:
        """Measured at the wrist, tared, float64[6] in the tcp frame."""
        return fr3.wrench_at_tcp(self._reading(), self._tare)

    def jacobian(self) -> Array:
        """Of the tool, float64[6, 7], linear then angular in the base frame."""
        mujoco.mj_forward(self.model, self.data)
        rows, site = np.zeros((6, self.model.nv)), self.model.site("tcp").id
        mujoco.mj_jacSite(self.model, self.data, rows[:3], rows[3:], site)
        return rows[:, :7]

    def compliance(self) -> Array:
        """Of the tool, what the servos yield [m/N, rad/(N m)], float64[6, 6] in the base frame."""
        stiffness = np.array([self.model.actuator(n).gainprm[0] for n in fr3.JOINT_NAMES])
        return self.jacobian() @ np.diag(1.0 / stiffness) @ self.jacobian().T

    def _reading(self) -> Array:
        return np.concatenate([self.data.sensor(n).data for n in ("ft_force", "ft_torque")])
