"""Reaching a point with two joints in the plane: small enough to be learnt in seconds, for tests.

Not the FR3: two links of 0.25 m on joints about z, position-controlled, obeying joint deltas.
"""

# mujoco ships its core without type stubs.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from robot_rl.config.model import Config
from robot_rl.core.spec import (
    ENVIRONMENT,
    JOINT_POSITION,
    JOINT_VELOCITY,
    ActionSpec,
    ObservationSpec,
    TaskSpec,
    VectorSpec,
)
from robot_rl_sim.arm import add_sensors
from robot_rl_sim.backend import Array, Start, StateView
from robot_rl_sim.drive import JointDrive

LINK_M = 0.25
HEIGHT_M = 0.05
LOWER = np.array([-1.2, 0.4])
UPPER = np.array([1.2, 2.2])
"""Joint positions of starts and of targets [rad]: the elbow is always bent the same way."""
_JOINTS = ("joint1", "joint2")
_STIFFNESS, _DAMPING = 40.0, 3.0
_TOUCHES_NOTHING = {"contype": 0, "conaffinity": 0}


class PointReachConfig(Config):
    """Settings of the planar reaching task.

    Args:
        nearest_m: targets lie at least so far from the start.
        reached_m: the target is reached within this.
        start_spread: starts lie in so large a part of the joints' range, about its middle.
        horizon: time limit in control periods.
        period_s: control period.
        step_rad: what a normalised action of 1 moves a joint's target by.
    """

    nearest_m: float = Field(default=0.08, ge=0, le=0.2)
    reached_m: float = Field(default=0.02, gt=0)
    start_spread: float = Field(default=1.0, ge=0, le=1)
    horizon: int = Field(default=40, ge=1)
    period_s: float = Field(default=0.1, gt=0)
    step_rad: float = Field(default=0.2, gt=0)

    def build(self) -> PointReach:
        """Compile the scene."""
        return PointReach(self)


class PointReach:
    """The task; see the module's text."""

    drive = JointDrive(name="planar_sim", joints=2)
    hold_s = 0.2
    frames = ("target",)
    cameras = ()

    def __init__(self, config: PointReachConfig) -> None:
        self.config = config
        self.model = _scene().compile()
        way = VectorSpec(names=("target_x", "target_y"), unit="m from the tip", frame="robot base")
        self.spec = TaskSpec(
            name="point_reach",
            horizon=config.horizon,
            instruction="reach the point",
            observation=ObservationSpec(
                vectors={
                    JOINT_POSITION: VectorSpec(names=_JOINTS, unit="rad"),
                    JOINT_VELOCITY: VectorSpec(names=_JOINTS, unit="rad/s"),
                    ENVIRONMENT: way,
                }
            ),
            action=ActionSpec(
                kind="joint_delta",
                names=_JOINTS,
                scale=(config.step_rad,) * 2,
                period_s=config.period_s,
            ),
        )

    def start(self, rng: np.random.Generator) -> Start:
        """Draw the joints and a target that other joints would reach."""
        kept = (1 - self.config.start_spread) * (UPPER - LOWER) / 2
        q = rng.uniform(LOWER + kept, UPPER - kept)
        target = tip(rng.uniform(LOWER, UPPER))
        while np.linalg.norm(target - tip(q)) < self.config.nearest_m:
            target = tip(rng.uniform(LOWER, UPPER))
        return Start(
            qpos=q,
            ctrl=q,
            mocap={"target": np.array([*target, HEIGHT_M, 0, 0, 0, 1])},
            model={},
            estimate_error=np.zeros(0),
        )

    def estimate(self, state: StateView, error: Array) -> NDArray[np.float32]:
        """The way from the tip to the target, without error, float32[n, 2]."""
        return _way(state).astype(np.float32)

    def success(self, state: StateView) -> NDArray[np.bool_]:
        """The tip is within `reached_m` of the target."""
        return self.distance(state) < self.config.reached_m

    def distance(self, state: StateView) -> Array:
        """Distance of the tip to the target [m]."""
        return np.linalg.norm(_way(state), axis=-1)

    def correction(self, state: StateView, index: int) -> Array:
        """The joint delta float64[2] to the joints whose tip is the target, the elbow bent."""
        target = state.frames["target"][index, :2]
        elbow = 2 * np.arccos(np.linalg.norm(target) / (2 * LINK_M))
        shoulder = np.arctan2(target[1], target[0]) - elbow / 2
        return np.array([shoulder, elbow]) - state.joint_position[index]


def tip(q: Array) -> Array:
    """Position of the tip float64[2] in the base frame [m] for joint positions float64[2]."""
    angles = np.cumsum(q)
    return LINK_M * np.array([np.cos(angles).sum(), np.sin(angles).sum()])


def _way(state: StateView) -> Array:
    return state.frames["target"][:, :2] - state.tcp_pose[:, :2]


def _scene() -> mujoco.MjSpec:
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    spec.option.timestep = 0.005
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.visual.global_.offwidth, spec.visual.global_.offheight = 1280, 960
    parent, place = spec.worldbody, [0.0, 0.0, HEIGHT_M]
    for name, low, high in zip(_JOINTS, LOWER - 0.3, UPPER + 0.3, strict=True):
        parent = parent.add_body(name=name.replace("joint", "link"), pos=place)
        parent.add_joint(name=name, axis=[0, 0, 1], range=[low, high], armature=0.02)
        parent.add_geom(
            type=mujoco.mjtGeom.mjGEOM_CAPSULE,
            fromto=[0, 0, 0, LINK_M, 0, 0],
            size=[0.02, 0, 0],
            mass=0.2,
            rgba=[0.9, 0.9, 0.92, 1],
            **_TOUCHES_NOTHING,
        )
        _add_servo(spec, name)
        place = [LINK_M, 0.0, 0.0]
    parent.add_site(name="tcp", pos=place)
    target = spec.worldbody.add_body(name="target", mocap=True)
    target.add_geom(size=[0.02, 0, 0], rgba=[0.85, 0.3, 0.25, 1], **_TOUCHES_NOTHING)
    target.add_site(name="target")
    add_sensors(spec, PointReach.frames)
    spec.worldbody.add_geom(
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=[1, 1, 0.1],
        rgba=[0.75, 0.72, 0.68, 1],
        **_TOUCHES_NOTHING,
    )
    spec.worldbody.add_light(pos=[0.2, -0.6, 1.6], dir=[0.1, 0.4, -1.0], diffuse=[0.8] * 3)
    spec.worldbody.add_camera(name="front", pos=[0.2, 0, 1.2], fovy=50)
    return spec


def _add_servo(spec: mujoco.MjSpec, joint: str) -> None:
    spec.add_actuator(
        name=joint,
        trntype=mujoco.mjtTrn.mjTRN_JOINT,
        target=joint,
        gaintype=mujoco.mjtGain.mjGAIN_FIXED,
        gainprm=[_STIFFNESS] + [0.0] * 9,
        biastype=mujoco.mjtBias.mjBIAS_AFFINE,
        biasprm=[0.0, -_STIFFNESS, -_DAMPING] + [0.0] * 7,
    )
