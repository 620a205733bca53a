"""Peg insertion: a held 16 mm peg into a bore, felt rather than seen.

Perception gives the bore's position with a constant error, the peg sits a little wrong in the
hand, and the clearance is well under a millimetre: who inserts must feel their way by the wrist
force. Contact recipe: soft contacts, a rim of capsules and a compliant grasp keep the forces of a
real insertion (about 5 N) instead of the spikes of rigid bodies.
"""

# mujoco ships its core without type stubs.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from robot_rl.config.model import Config
from robot_rl.core.geometry import (
    pose_minus_pose,
    quat_conjugate,
    quat_from_rotvec,
    quat_multiply,
    quat_rotate,
    rotvec_from_quat,
)
from robot_rl.core.spec import ENVIRONMENT, TaskSpec, VectorSpec
from robot_rl_sim import fr3
from robot_rl_sim.arm import (
    TOOL_DOWN,
    add_cameras,
    add_sensors,
    arm_action_spec,
    arm_observation_spec,
    new_scene,
    solve_start,
)
from robot_rl_sim.backend import Array, Start, StateView
from robot_rl_sim.drive import ImpedanceDrive

PEG_RADIUS_M = 0.008
PEG_LENGTH_M = 0.05
RIM_M = 0.001
"""Radius of the rim's capsules: the rounded edge (chamfer) of the peg's tip."""
BORE_DEPTH_M = 0.025
BLOCK_TOP_M = 0.06
"""Height of the block's top face above the robot base's plane."""
SIDES = 12
_CONTACT = {"solref": [0.01, 1.0], "friction": [0.3, 0.005, 0.0001], "condim": 4}


class PegInsertConfig(Config):
    """Settings of the peg insertion task.

    Args:
        clearance_m: radial clearance between peg and bore; 0.05e-3 is the hardest.
        hole_range_m: the bore's position varies by +- this much in x and y.
        start_lateral_m, start_height_m: tip's start beside and above the bore's mouth.
        start_tilt_rad: start rotation about x, y and z varies by +- this much.
        estimate_error_m: standard deviation of perception's constant error in x and y (z gets a
            third), cut at two deviations.
        grasp_error_m: the peg sits off the hand's centre by up to this much in x and y.
        horizon: time limit in control periods.
        period_s: control period.
        translation_m, rotation_rad: what a normalised action of 1 moves the tcp target by.
        stiffness: Cartesian stiffness [N/m, N m/rad].
        cameras: observe `wrist` and `front` images, 128 x 128; needs OpenGL.
    """

    clearance_m: float = Field(default=0.4e-3, ge=0.05e-3, le=2e-3)
    hole_range_m: float = Field(default=0.03, ge=0, le=0.08)
    start_lateral_m: float = Field(default=0.015, ge=0, le=0.05)
    start_height_m: tuple[float, float] = (0.015, 0.03)
    start_tilt_rad: float = Field(default=0.04, ge=0, le=0.3)
    estimate_error_m: float = Field(default=1.5e-3, ge=0, le=5e-3)
    grasp_error_m: float = Field(default=1.0e-3, ge=0, le=3e-3)
    horizon: int = Field(default=80, ge=1)
    period_s: float = Field(default=0.1, gt=0)
    translation_m: float = Field(default=0.01, gt=0)
    rotation_rad: float = Field(default=0.06, gt=0)
    stiffness: tuple[float, float] = (800.0, 30.0)
    cameras: bool = False

    def build(self) -> PegInsert:
        """Compile the scene."""
        return PegInsert(self)


class PegInsert:
    """The task; see the module's text."""

    drive = ImpedanceDrive()
    hold_s = 0.2
    frames = ("peg_tip", "bore")

    def __init__(self, config: PegInsertConfig) -> None:
        self.config = config
        self.cameras = ("wrist", "front") if config.cameras else ()
        self.model = _scene(config).compile()
        estimate = VectorSpec(
            names=("tip_x", "tip_y", "tip_z", "tilt_x", "tilt_y", "tilt_z"),
            unit="m, rad",
            frame="bore as perception estimates it",
        )
        self.spec = TaskSpec(
            name="peg_insert",
            horizon=config.horizon,
            instruction="insert the peg into the hole",
            observation=arm_observation_spec({ENVIRONMENT: estimate}, self.cameras),
            action=arm_action_spec(
                config.translation_m, config.rotation_rad, config.period_s, gripper=False
            ),
        )
        grasp = [self.model.joint(f"grasp_{axis}").qposadr[0] for axis in ("x", "y")]
        self._grasp = np.asarray(grasp)

    def start(self, rng: np.random.Generator) -> Start:
        """Draw bore, start pose, grasp error and perception's error."""
        c = self.config
        bore = np.array([0.5, 0.0, BLOCK_TOP_M, 0, 0, 0, 1.0])
        bore[:2] += rng.uniform(-c.hole_range_m, c.hole_range_m, 2)
        tip = np.array(
            [
                *rng.uniform(-c.start_lateral_m, c.start_lateral_m, 2),
                rng.uniform(*c.start_height_m),
            ]
        )
        tilt = rng.uniform(-c.start_tilt_rad, c.start_tilt_rad, 3)
        angle, radius = rng.uniform(0, 2 * np.pi), c.grasp_error_m * np.sqrt(rng.uniform())
        grasp = radius * np.array([np.cos(angle), np.sin(angle)])
        error = np.zeros(6)
        deviation = c.estimate_error_m * np.array([1, 1, 1 / 3])
        error[:3] = np.clip(rng.normal(0, 1, 3), -2, 2) * deviation
        rotation = quat_multiply(quat_from_rotvec(tilt), TOOL_DOWN)
        tcp = np.concatenate(
            [bore[:3] + tip - quat_rotate(rotation, np.array([0, 0, PEG_LENGTH_M])), rotation]
        )
        qpos, spring = self.model.qpos0.copy(), self.model.qpos_spring.copy()
        qpos[:7] = solve_start(self.model, tcp)
        qpos[self._grasp] = spring[self._grasp] = grasp
        return Start(
            qpos=qpos,
            ctrl=fr3.ctrl_from_pose(tcp),
            mocap={"block": bore},
            model={"qpos_spring": spring},
            estimate_error=error,
        )

    def estimate(self, state: StateView, error: Array) -> NDArray[np.float32]:
        """Where the peg's tip should be, seen from where the bore seems to be, float32[n, 6].

        The tip is computed from the tcp as if the peg sat perfectly in the hand.
        """
        tcp, bore = state.tcp_pose, state.frames["bore"]
        tip = tcp[:, :3] + quat_rotate(tcp[:, 3:], np.array([0, 0, PEG_LENGTH_M]))
        tilt = rotvec_from_quat(quat_multiply(tcp[:, 3:], quat_conjugate(TOOL_DOWN)))
        return (np.concatenate([tip - bore[:, :3], tilt], -1) + error).astype(np.float32)

    def success(self, state: StateView) -> NDArray[np.bool_]:
        """The tip is inside the bore and 80 % of its depth below the mouth."""
        tip = state.frames["peg_tip"][:, :3] - state.frames["bore"][:, :3]
        inside = np.hypot(tip[:, 0], tip[:, 1]) < PEG_RADIUS_M
        return inside & (tip[:, 2] < -0.8 * BORE_DEPTH_M)

    def distance(self, state: StateView) -> Array:
        """Distance of the tip to the inserted position [m]."""
        goal = state.frames["bore"][:, :3] - np.array([0, 0, BORE_DEPTH_M])
        return np.linalg.norm(state.frames["peg_tip"][:, :3] - goal, axis=-1)

    def correction(self, state: StateView, index: int) -> Array:
        """What one who sees everything would do: the tcp delta float64[6] towards the goal.

        First over the bore and upright, then down; the true tip and the true bore are used.
        """
        tip, bore = state.frames["peg_tip"][index], state.frames["bore"][index]
        lateral = bore[:2] - tip[:2]
        height = tip[2] - bore[2]
        off = float(np.hypot(*lateral))
        # Above the mouth one descends no further than the funnel |lateral| <= height / 2 allows.
        down = -BORE_DEPTH_M - height if off < 1.0e-3 or height < -2e-3 else 2 * off - height
        target = np.concatenate([tip[:3] + np.array([*lateral, down]), TOOL_DOWN])
        pose = np.concatenate([tip[:3], state.tcp_pose[index, 3:]])
        return pose_minus_pose(target, pose)


def _scene(config: PegInsertConfig) -> mujoco.MjSpec:
    spec = new_scene()
    arm = fr3.add_fr3(spec, gripper=False, stiffness=config.stiffness)
    _add_peg(arm.hand)
    _add_block(spec, config.clearance_m)
    add_sensors(spec, PegInsert.frames)
    add_cameras(spec, arm.hand, close_up_m=fr3.HAND_TCP_M + PEG_LENGTH_M)
    return spec


def _add_peg(hand: mujoco.MjsBody) -> None:
    peg = hand.add_body(name="peg", pos=[0, 0, fr3.HAND_TCP_M], gravcomp=1.0)
    slide, hinge = mujoco.mjtJoint.mjJNT_SLIDE, mujoco.mjtJoint.mjJNT_HINGE
    # 5-dof grasp compliance: a peg in rubber fingertips, free only about its own axis.
    for name, kind, axis, stiffness, damping in (
        ("grasp_x", slide, (1, 0, 0), 20e3, 60.0),
        ("grasp_y", slide, (0, 1, 0), 20e3, 60.0),
        ("grasp_z", slide, (0, 0, 1), 40e3, 80.0),
        ("grasp_rx", hinge, (1, 0, 0), 20.0, 0.02),
        ("grasp_ry", hinge, (0, 1, 0), 20.0, 0.02),
    ):
        joint = peg.add_joint(name=name, type=kind, axis=axis)
        fr3.set_linear(joint, "stiffness", stiffness)
        fr3.set_linear(joint, "damping", damping)
    radius = PEG_RADIUS_M - RIM_M
    for angle in np.arange(8) * np.pi / 4:
        x, y = radius * np.cos(angle), radius * np.sin(angle)
        peg.add_geom(
            type=mujoco.mjtGeom.mjGEOM_CAPSULE,
            fromto=[x, y, 0.0, x, y, PEG_LENGTH_M - RIM_M],
            size=[RIM_M, 0, 0],
            mass=0.009,
            rgba=[0.85, 0.55, 0.2, 1],
            contype=0,
            conaffinity=1,
            **_CONTACT,
        )
    peg.add_geom(
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        fromto=[0, 0, -0.01, 0, 0, PEG_LENGTH_M - RIM_M],
        size=[PEG_RADIUS_M - 0.0005, 0, 0],
        mass=0.008,
        contype=0,
        conaffinity=0,
        rgba=[0.85, 0.55, 0.2, 1],
    )
    peg.add_site(name="peg_tip", pos=[0, 0, PEG_LENGTH_M])


def _add_block(spec: mujoco.MjSpec, clearance_m: float) -> None:
    block = spec.worldbody.add_body(name="block", mocap=True)
    bore, outer = PEG_RADIUS_M + clearance_m, 0.03
    half = (outer - bore) / 2
    for angle in np.arange(SIDES) * 2 * np.pi / SIDES:
        block.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=[(bore + half) * np.cos(angle), (bore + half) * np.sin(angle), -BLOCK_TOP_M / 2],
            quat=[np.cos(angle / 2), 0, 0, np.sin(angle / 2)],
            size=[half, outer * np.tan(np.pi / SIDES), BLOCK_TOP_M / 2],
            rgba=[0.25, 0.45, 0.65, 1],
            contype=1,
            conaffinity=0,
            **_CONTACT,
        )
    block.add_site(name="bore", pos=[0, 0, 0])
