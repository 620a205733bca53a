"""The simulated cell's description: the arm of its YAML, the cameras of its MuJoCo scene."""

# mujoco ships its core without type stubs.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from robot_rl.config.load import load
from robot_rl.core.errors import ConfigError
from robot_rl.core.geometry import quat_from_matrix
from robot_rl.runtime.gate.cell import GateCell
from robot_rl_description.urdf import BASE, FLANGE, Arm, CameraMount, urdf
from robot_rl_sim import fr3
from robot_rl_sim.tasks.pick_cube import PickCubeConfig

JOINTS = tuple(f"fr3_joint{i}" for i in range(1, 8))
"""As the FR3's own driver names them."""


def described(cell: Path | str) -> str:
    """Return the URDF of a cell with an FR3, with the cameras of the tasks' scenes.

    Raises:
        ConfigError: if the cell has no chain, or one of another arm.
    """
    config = load(cell, GateCell)
    if config.chain is None:
        raise ConfigError(f"cell {cell}: it has no chain to describe")
    arm = Arm(
        name=config.name,
        joints=JOINTS,
        chain=config.chain,
        limits=config.limits,
        effort_n_m=fr3.JOINT_TORQUE,
        collision=config.collision,
    )
    return urdf(arm, camera_mounts(PickCubeConfig().build().model))


def camera_mounts(model: Any) -> list[CameraMount]:
    """Where a scene's cameras are: on the flange, or at the robot base where they stand still."""
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    flange = model.site("flange").id
    mounts: list[CameraMount] = []
    for i in range(model.ncam):
        position, axes = data.cam_xpos[i], data.cam_xmat[i].reshape(3, 3)
        parent = BASE
        if model.cam_bodyid[i] != 0:
            parent = FLANGE
            turn = data.site_xmat[flange].reshape(3, 3).T
            position, axes = turn @ (position - data.site_xpos[flange]), turn @ axes
        mounts.append(
            CameraMount(
                name=model.camera(i).name, parent=parent, pose=_optical_pose(position, axes)
            )
        )
    return mounts


def _optical_pose(position: NDArray[np.float64], axes: NDArray[np.float64]) -> Any:
    # MuJoCo's cameras look along -z with y up; optical frames along z with y down.
    return np.concatenate([position, quat_from_matrix(axes @ np.diag([1.0, -1.0, -1.0]))])
