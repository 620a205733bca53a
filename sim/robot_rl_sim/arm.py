"""What every task on the FR3 shares: its spec and the inverse kinematics of start states."""

# mujoco ships its core without type stubs.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Mapping

import mujoco
import numpy as np

from robot_rl.core.errors import ConfigError
from robot_rl.core.geometry import pose_minus_pose
from robot_rl.core.spec import (
    GRIPPER,
    IMAGE_PREFIX,
    JOINT_POSITION,
    JOINT_VELOCITY,
    TCP_POSE,
    TCP_TWIST,
    WRENCH,
    ActionSpec,
    ImageSpec,
    ObservationSpec,
    VectorSpec,
)
from robot_rl_sim import fr3
from robot_rl_sim.backend import Array

TOOL_DOWN = np.array([1.0, 0.0, 0.0, 0.0])
"""Quaternion xyzw of a tool that points straight down with its x axis forward."""

IMAGE_SIZE = 128
_JOINTS = tuple(f"joint{i}" for i in range(1, 8))
_AXES = ("x", "y", "z")
_MOST_STEPS = 200


def arm_observation_spec(
    task: Mapping[str, VectorSpec], cameras: tuple[str, ...], *, gripper: bool = False
) -> ObservationSpec:
    """The arm's own vectors, then the task's, and one image for each camera."""
    base = "robot base"
    vectors = {
        JOINT_POSITION: VectorSpec(names=_JOINTS, unit="rad"),
        JOINT_VELOCITY: VectorSpec(names=_JOINTS, unit="rad/s"),
        TCP_POSE: VectorSpec(names=(*_AXES, "qx", "qy", "qz", "qw"), unit="m, xyzw", frame=base),
        TCP_TWIST: VectorSpec(
            names=(*(f"v{a}" for a in _AXES), *(f"w{a}" for a in _AXES)),
            unit="m/s, rad/s",
            frame=base,
        ),
        WRENCH: VectorSpec(
            names=(*(f"f{a}" for a in _AXES), *(f"t{a}" for a in _AXES)),
            unit="N, N m",
            frame="tcp",
        ),
    }
    if gripper:
        vectors[GRIPPER] = VectorSpec(names=("opening",), unit="m")
    image = ImageSpec(height=IMAGE_SIZE, width=IMAGE_SIZE)
    return ObservationSpec(
        vectors={**vectors, **task}, images={f"{IMAGE_PREFIX}{name}": image for name in cameras}
    )


def arm_action_spec(
    translation_m: float, rotation_rad: float, period_s: float, *, gripper: bool
) -> ActionSpec:
    """A tcp delta, optionally with the gripper as last element."""
    names = (*(f"d{a}" for a in _AXES), *(f"r{a}" for a in _AXES))
    scale = (translation_m,) * 3 + (rotation_rad,) * 3
    if gripper:
        names, scale = (*names, "gripper"), (*scale, 1.0)
    return ActionSpec(kind="tcp_delta", names=names, scale=scale, period_s=period_s)


def new_scene() -> mujoco.MjSpec:
    """An empty scene with a table and the solver settings that contact needs (2 ms steps).

    Fixtures and objects have `contype` 1; arm and tools `conaffinity` 1, so that the arm touches
    the scene and nothing of the arm touches itself.
    """
    spec = mujoco.MjSpec()
    spec.option.timestep = 0.002
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 1.0
    spec.visual.global_.offwidth, spec.visual.global_.offheight = 1280, 960
    spec.worldbody.add_geom(
        name="table",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        pos=[0.45, 0.0, -0.02],
        size=[0.45, 0.5, 0.02],
        rgba=[0.75, 0.72, 0.68, 1],
        contype=1,
        conaffinity=0,
    )
    spec.worldbody.add_light(pos=[0.2, -0.6, 1.6], dir=[0.2, 0.4, -1.0], diffuse=[0.8] * 3)
    spec.worldbody.add_light(pos=[1.2, 0.8, 1.4], dir=[-0.6, -0.6, -1.0], diffuse=[0.4] * 3)
    return spec


def add_sensors(spec: mujoco.MjSpec, frames: tuple[str, ...], *, gripper: bool = False) -> None:
    """Add what `MujocoBackend` reads: poses of tcp and tracked sites, twist and opening."""
    sensors = mujoco.mjtSensor
    kinds = {"pos": sensors.mjSENS_FRAMEPOS, "quat": sensors.mjSENS_FRAMEQUAT}
    twist = {"linvel": sensors.mjSENS_FRAMELINVEL, "angvel": sensors.mjSENS_FRAMEANGVEL}
    for site in ("tcp", *frames):
        for suffix, kind in (kinds | twist if site == "tcp" else kinds).items():
            spec.add_sensor(
                name=f"{site}_{suffix}",
                type=kind,
                objtype=mujoco.mjtObj.mjOBJ_SITE,
                objname=site,
            )
    if gripper:
        spec.add_sensor(
            name="gripper_opening",
            type=sensors.mjSENS_TENDONPOS,
            objtype=mujoco.mjtObj.mjOBJ_TENDON,
            objname="finger_opening",
        )


def add_cameras(
    spec: mujoco.MjSpec, hand: mujoco.MjsBody, *, close_up_m: float | None = None
) -> None:
    """Add `wrist`, which looks along the tool, and `front`, which sees the table.

    Args:
        spec: the scene.
        hand: carries the wrist camera.
        close_up_m: the wrist camera looks at this point of the hand's z axis alone, from before
            the hand, 10 cm wide; without it, it sees the hand and what is around.
    """
    if close_up_m is None:
        hand.add_camera(name="wrist", pos=[0.07, 0, 0.02], quat=[0, 0.966, 0, 0.259], fovy=70)
    else:
        above, before = 0.1, 0.085
        tilt = np.arctan2(before, above)
        # Its picture's top is towards the hand.
        x_axis, y_axis = [0, -1, 0], [-np.cos(tilt), 0, -np.sin(tilt)]
        hand.add_camera(
            name="wrist",
            pos=[before, 0, close_up_m - above],
            xyaxes=[*x_axis, *y_axis],
            fovy=38,
        )
    spec.worldbody.add_camera(
        name="front",
        pos=[0.76, -0.26, 0.22],
        xyaxes=[0.707, 0.707, 0, -0.25, 0.25, 0.935],
        fovy=42,
    )


def solve_start(model: mujoco.MjModel, tcp: Array, tolerance_m: float = 1e-5) -> Array:
    """Joint positions float64[7] that put the tcp at a pose, found from the home position.

    Damped least squares on MuJoCo's Jacobian; start states lie near home, so it converges in a
    few iterations, unless the first of them overshoot.

    Raises:
        ConfigError: if the pose cannot be reached.
    """
    data = mujoco.MjData(model)
    data.qpos[:] = model.qpos0
    data.qpos[:7] = fr3.HOME_Q
    site = model.site("tcp").id
    jacobian = np.zeros((6, model.nv))
    wxyz = np.zeros(4)
    for _ in range(_MOST_STEPS):
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mju_mat2Quat(wxyz, data.site_xmat[site])
        error = pose_minus_pose(tcp, np.concatenate([data.site_xpos[site], wxyz[[1, 2, 3, 0]]]))
        if np.abs(error).max() < tolerance_m:
            return data.qpos[:7].copy()
        mujoco.mj_jacSite(model, data, jacobian[:3], jacobian[3:], site)
        j = jacobian[:, :7]
        data.qpos[:7] += j.T @ np.linalg.solve(j @ j.T + 1e-6 * np.eye(6), error)
    raise ConfigError(f"the arm cannot reach the start pose {np.round(tcp, 3).tolist()}")
