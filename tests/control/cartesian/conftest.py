"""The FR3 of the simulated cell: its limits, and its model as a library of kinematics."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import mujoco
import numpy as np
import pytest
import yaml

from robot_rl.control.cartesian.arm_model import ArmModel
from robot_rl.control.cartesian.differential_ik import DifferentialIk, DifferentialIkConfig
from robot_rl.control.limits import SafetyLimits
from robot_rl_sim import fr3, fr3_joint

CELL = Path(__file__).parents[3] / "configs" / "cells" / "sim_fr3.yaml"
HOME = np.array(fr3.HOME_Q)


@pytest.fixture(scope="session")
def make_limits() -> Callable[..., SafetyLimits]:
    cell = yaml.safe_load(CELL.read_text())["limits"]

    def make(**changes: object) -> SafetyLimits:
        return SafetyLimits.model_validate(cell | changes)

    return make


@pytest.fixture(scope="session")
def cell_chain() -> dict[str, object]:
    return yaml.safe_load(CELL.read_text())["chain"]


@pytest.fixture(scope="session")
def make_model() -> Callable[..., mujoco.MjModel]:
    """Of the FR3; `drive` gives its joints servos or motors, `dress` adds to the scene."""

    def make(drive=fr3_joint.servo_joints, dress=None, timestep_s=0.002) -> mujoco.MjModel:
        spec = mujoco.MjSpec()
        spec.option.timestep = timestep_s
        spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
        arm = fr3.add_fr3(spec, gripper=False, stiffness=(800.0, 30.0))
        drive(spec)
        if dress:
            dress(spec, arm)
        return spec.compile()

    return make


@pytest.fixture
def make_ik(make_limits, make_model) -> Callable[..., DifferentialIk]:
    def make(period_s=0.002, model=None, extra=(), **tighter: object) -> DifferentialIk:
        arm = ArmModel(model or make_model(), "tcp", "base")
        config = DifferentialIkConfig(posture_rad=fr3.HOME_Q)
        return config.build(arm, make_limits(**tighter), period_s, extra)

    return make
