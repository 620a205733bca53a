"""Picking a cube: reach it, turn with it, close on it, lift it and keep it.

The cube lies anywhere in a square of the table, turned by any angle; perception says where, with a
constant error. It is held by friction alone: soft pads, a limited grip, elliptic cones.
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
    quat_from_rotvec,
    quat_multiply,
    quat_rotate,
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
from robot_rl_sim.drive import GRIPPER_OPENING_M, ImpedanceDrive

CUBE_M = 0.04
CUBE_KG = 0.08
LIFT_M = 0.08
"""Success: the cube's underside is so far above the table."""
PLACE_M = (0.54, 0.0)
"""Middle of the square in which the cube lies: nearer to its base the arm, folded up and tilted to
grasp, comes close to a singular configuration."""
# The tcp grasps so far above the cube's centre [m]: the pads reach 8 mm further down.
_GRASP = np.array([0.0, 0.0, 0.014])
_CONTACT = {"solref": [0.01, 1.0], "friction": [1.0, 0.01, 0.001], "condim": 4}


class PickCubeConfig(Config):
    """Settings of the cube picking task.

    Args:
        cube_range_m: the cube's position varies by +- this much in x and y.
        cube_yaw_rad: its turn varies by +- this much; an eighth of a turn is everything.
        start_lateral_m: the tcp starts beside the middle of the square by up to this in x and y.
        start_height_m: the tcp's start above the table.
        estimate_error_m: standard deviation of perception's constant error in x and y (z gets a
            third), cut at two deviations.
        estimate_error_rad: the same for the cube's turn.
        horizon: time limit in control periods.
        period_s: control period.
        translation_m, rotation_rad: what a normalised action of 1 moves the tcp target by.
        stiffness: Cartesian stiffness [N/m, N m/rad].
        grip_n: force of the gripper.
        cameras: observe `wrist` and `front` images, 128 x 128; needs OpenGL.
    """

    cube_range_m: float = Field(default=0.08, ge=0, le=0.15)
    cube_yaw_rad: float = Field(default=np.pi / 4, ge=0, le=np.pi / 4)
    start_lateral_m: float = Field(default=0.05, ge=0, le=0.1)
    start_height_m: tuple[float, float] = (0.12, 0.18)
    estimate_error_m: float = Field(default=2e-3, ge=0, le=8e-3)
    estimate_error_rad: float = Field(default=0.03, ge=0, le=0.2)
    horizon: int = Field(default=80, ge=1)
    period_s: float = Field(default=0.1, gt=0)
    translation_m: float = Field(default=0.02, gt=0)
    rotation_rad: float = Field(default=0.1, gt=0)
    stiffness: tuple[float, float] = (1000.0, 30.0)
    grip_n: float = Field(default=20.0, gt=0, le=60)
    cameras: bool = False

    def build(self) -> PickCube:
        """Compile the scene."""
        return PickCube(self)


class PickCube:
    """The task; see the module's text."""

    drive = ImpedanceDrive(gripper=True)
    hold_s = 0.3
    frames = ("cube",)

    def __init__(self, config: PickCubeConfig) -> None:
        self.config = config
        self.cameras = ("wrist", "front") if config.cameras else ()
        self.model = _scene(config).compile()
        self._cube = int(self.model.joint("cube").qposadr[0])
        estimate = VectorSpec(
            names=("cube_x", "cube_y", "cube_z", "yaw_sin", "yaw_cos"),
            unit="m from the tcp, sine and cosine of 4 times the turn left to the nearest face",
            frame="robot base",
        )
        self.spec = TaskSpec(
            name="pick_cube",
            horizon=config.horizon,
            instruction="pick up the cube",
            observation=arm_observation_spec({ENVIRONMENT: estimate}, self.cameras, gripper=True),
            action=arm_action_spec(
                config.translation_m, config.rotation_rad, config.period_s, gripper=True
            ),
        )

    def start(self, rng: np.random.Generator) -> Start:
        """Draw the cube's pose, the arm's pose and perception's error."""
        c = self.config
        cube = np.array([*PLACE_M, CUBE_M / 2])
        cube[:2] += rng.uniform(-c.cube_range_m, c.cube_range_m, 2)
        yaw = rng.uniform(-c.cube_yaw_rad, c.cube_yaw_rad)
        lateral = rng.uniform(-c.start_lateral_m, c.start_lateral_m, 2)
        tcp = np.array([*(PLACE_M + lateral), rng.uniform(*c.start_height_m), *TOOL_DOWN])
        deviation = np.array([*c.estimate_error_m * np.array([1, 1, 1 / 3]), c.estimate_error_rad])
        qpos = self.model.qpos0.copy()
        qpos[:7] = solve_start(self.model, tcp)
        qpos[7:9] = fr3.FINGER_TRAVEL_M
        # MuJoCo's quaternion, wxyz.
        qpos[self._cube : self._cube + 7] = [*cube, np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)]
        return Start(
            qpos=qpos,
            ctrl=np.array([*fr3.ctrl_from_pose(tcp), GRIPPER_OPENING_M]),
            mocap={},
            model={},
            estimate_error=np.clip(rng.normal(0, 1, 4), -2, 2) * deviation,
        )

    def estimate(self, state: StateView, error: Array) -> NDArray[np.float32]:
        """The cube as perception sees it from the tcp, float32[n, 5].

        The turn is told by the sine and cosine of four times its angle, for a quarter of a turn
        makes no difference to a cube.
        """
        away = state.frames["cube"][:, :3] - state.tcp_pose[:, :3] + error[:, :3]
        turn = 4 * (_turn_left(state) + error[:, 3])
        return np.column_stack([away, np.sin(turn), np.cos(turn)]).astype(np.float32)

    def success(self, state: StateView) -> NDArray[np.bool_]:
        """The cube is in the hand and its underside `LIFT_M` above the table."""
        height = state.frames["cube"][:, 2] - CUBE_M / 2
        return (height >= LIFT_M) & (_reach(state) < CUBE_M)

    def distance(self, state: StateView) -> Array:
        """Way of the tcp to the cube and of the cube to its height [m]."""
        height = state.frames["cube"][:, 2] - CUBE_M / 2
        return _reach(state) + np.maximum(LIFT_M - height, 0.0)

    def correction(self, state: StateView, index: int) -> Array:
        """Above the cube, turn with it, down, close, up; float64[7], the gripper last."""
        tcp, cube = state.tcp_pose[index], state.frames["cube"][index]
        opening, turn = state.gripper[index], _turn_left(state)[index]
        way = cube[:3] + _GRASP - tcp[:3]
        off = float(np.hypot(way[0], way[1]))
        closing = opening < 0.9 * GRIPPER_OPENING_M
        # A grip once begun is not given up for a little slip beside the cube.
        around = np.hypot(off, way[2]) < (0.02 if closing else 0.008) and abs(turn) < 0.15
        if around:
            held = opening < 1.15 * CUBE_M
            way = np.array([0, 0, LIFT_M + CUBE_M - cube[2]]) if held else np.zeros(3)
            turn = 0.0
        elif off > 0.005 or abs(turn) > 0.1 or closing:
            # One descends no further than the funnel allows whose walls clear the cube.
            way[2] += min(3 * off + 0.1 * abs(turn) + 0.03, 0.1) if off > 0.005 else 0.03
        upright = quat_multiply(quat_from_rotvec(np.array([0, 0, turn + _yaw(tcp)])), TOOL_DOWN)
        target = np.concatenate([tcp[:3] + way, upright])
        return np.append(pose_minus_pose(target, tcp), -1.0 if around else 1.0)


def _reach(state: StateView) -> Array:
    """Distance of the tcp to where it grasps the cube [m], float64[n]."""
    goal = state.frames["cube"][:, :3] + _GRASP
    return np.linalg.norm(goal - state.tcp_pose[:, :3], axis=-1)


def _yaw(pose: Array) -> Array:
    """Direction of a pose's x axis about the base's z axis [rad], float64[...]."""
    forward = quat_rotate(pose[..., 3:], np.array([1.0, 0.0, 0.0]))
    return np.arctan2(forward[..., 1], forward[..., 0])


def _turn_left(state: StateView) -> Array:
    """Turn about z that brings the fingers' faces onto the cube's nearest faces [rad]."""
    turn = _yaw(state.frames["cube"]) - _yaw(state.tcp_pose)
    return (turn + np.pi / 4) % (np.pi / 2) - np.pi / 4


def _scene(config: PickCubeConfig) -> mujoco.MjSpec:
    spec = new_scene()
    # Stiffer friction: at 1 a held cube creeps out of the hand by half a millimetre a second.
    spec.option.impratio = 10.0
    arm = fr3.add_fr3(spec, gripper=True, stiffness=config.stiffness)
    spec.actuator("gripper").forcerange = [-config.grip_n, config.grip_n]
    cube = spec.worldbody.add_body(name="cube", pos=[*PLACE_M, CUBE_M / 2])
    cube.add_freejoint(name="cube")
    cube.add_site(name="cube")
    cube.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[CUBE_M / 2] * 3,
        mass=CUBE_KG,
        rgba=[0.85, 0.3, 0.25, 1],
        contype=1,
        conaffinity=1,
        **_CONTACT,
    )
    add_sensors(spec, PickCube.frames, gripper=True)
    add_cameras(spec, arm.hand)
    return spec
