"""Things to run into, and starts some way before them, as tasks of the simulated FR3.

The table, the fixture of the peg insertion from above and from beside, with the peg in its rubber
grasp; and a person's hand that lies on the table, hit with a rigid rod (ISO/TS 15066, table A.3:
0.6 kg on 75 N/mm).
"""

# mujoco ships its core without type stubs.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import mujoco
import numpy as np
from numpy.typing import NDArray

from robot_rl.config.model import Config
from robot_rl.control.limits import SafetyLimits
from robot_rl.core.geometry import quat_from_rotvec, quat_multiply, quat_rotate
from robot_rl.core.spec import ENVIRONMENT, TaskSpec, VectorSpec
from robot_rl_sim import arm, fr3
from robot_rl_sim.backend import Array, Start, StateView
from robot_rl_sim.drive import ImpedanceDrive
from robot_rl_sim.tasks.peg_insert import BLOCK_TOP_M, PEG_LENGTH_M, PegInsertConfig

Obstacle = Literal["table", "fixture from above", "fixture from beside", "hand"]
OBSTACLES: tuple[Obstacle, ...] = get_args(Obstacle)

PERIOD_S = 0.1
TIMESTEP_S = 0.001
"""Half the tasks', which alone adds a tenth to the force of an impact."""
_HAND_N_M, _HAND_KG = 75e3, 0.6
CONTACT_N_M = {
    "table": 40e3,
    "fixture from above": 40e3,
    "fixture from beside": 40e3,
    "hand": _HAND_N_M,
}
"""Stiffness of what gives way: the grasp's stiffest direction, or the hand."""
_BLOCK = np.array([0.5, 0.0, BLOCK_TOP_M, 0.0, 0.0, 0.0, 1.0])
_FAR = np.array([0.2, 0.45, BLOCK_TOP_M, 0.0, 0.0, 0.0, 1.0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """How one approach begins.

    Args:
        qpos: float64[7] of the arm.
        tcp: float64[7], its pose there.
        direction: float64[3], unit vector in the base frame.
    """

    qpos: Array
    tcp: Array
    direction: Array


class Approach:
    """A task without an end: one obstacle, and starts some way before it."""

    drive = ImpedanceDrive()
    frames = ()
    cameras = ()
    hold_s = PERIOD_S

    def __init__(self, config: ApproachConfig) -> None:
        self.config = config
        peg = PegInsertConfig(stiffness=config.stiffness)
        with_hand = config.obstacle == "hand"
        self.model = _hand_scene(config.stiffness) if with_hand else peg.build().model
        self.model.opt.timestep = TIMESTEP_S
        nothing = VectorSpec(names=("nothing",), unit="-", frame="-")
        self.spec = TaskSpec(
            name="contact",
            horizon=60,
            instruction="run into it",
            observation=arm.arm_observation_spec({ENVIRONMENT: nothing}, ()),
            action=arm.arm_action_spec(
                config.limits.max_tcp_speed_m_s * PERIOD_S, 0.06, PERIOD_S, gripper=False
            ),
        )

    def aim(self, rng: np.random.Generator) -> Aim:
        """Draw a start from which the obstacle is hit; equal generators draw equally."""
        while True:
            tip, direction = self._draw(rng)
            tilt = quat_from_rotvec(rng.uniform(-0.15, 0.15, 3))
            rotation = quat_multiply(tilt, arm.TOOL_DOWN)
            rod = quat_rotate(rotation, np.array([0.0, 0.0, PEG_LENGTH_M]))
            tcp = np.concatenate([tip - rod, rotation])
            qpos = arm.solve_start(self.model, tcp)
            # Elsewhere the spring on joint 3 would turn the arm over first.
            if abs(qpos[2]) < 0.3 and self._is_within_limits(qpos):
                return Aim(qpos=qpos, tcp=tcp, direction=direction / np.linalg.norm(direction))

    def start(self, rng: np.random.Generator) -> Start:
        """See `SimTask`."""
        aim = self.aim(rng)
        qpos = self.model.qpos0.copy()
        qpos[:7] = aim.qpos
        away = {"block": _FAR} if self.config.obstacle == "table" else {"block": _BLOCK}
        return Start(
            qpos=qpos,
            ctrl=fr3.ctrl_from_pose(aim.tcp),
            mocap={} if self.config.obstacle == "hand" else away,
            model={},
            estimate_error=np.zeros(1),
        )

    def estimate(self, state: StateView, error: Array) -> NDArray[np.float32]:
        """See `SimTask`; there is nothing to see."""
        return np.zeros((len(state.tcp_pose), 1), np.float32)

    def success(self, state: StateView) -> NDArray[np.bool_]:
        """See `SimTask`; nobody wins."""
        return np.zeros(len(state.tcp_pose), np.bool_)

    def distance(self, state: StateView) -> Array:
        """See `SimTask`."""
        return np.zeros(len(state.tcp_pose))

    def correction(self, state: StateView, index: int) -> Array:
        """See `SimTask`."""
        return np.zeros(6)

    def _is_within_limits(self, qpos: Array) -> bool:
        limits = self.config.limits
        low, high = np.array([limits.joint_lower_rad, limits.joint_upper_rad])
        return bool(((qpos > low + 0.1) & (qpos < high - 0.1)).all())

    def _draw(self, rng: np.random.Generator) -> tuple[Array, Array]:
        """Position of the tool's tip [m] and the way to go."""
        middle = _BLOCK[:2]
        match self.config.obstacle:
            case "table":
                tip = [*rng.uniform((0.38, -0.18), (0.6, 0.18)), rng.uniform(0.04, 0.09)]
                return np.array(tip), np.array([*rng.uniform(-0.3, 0.3, 2), -1.0])
            case "fixture from beside":
                angle, away = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(0.08, 0.11)
                out = np.array([math.cos(angle), math.sin(angle), 0.0])
                tip = np.array([*middle, rng.uniform(0.025, 0.045)]) + away * out
                return tip, -out
            case _:
                height = BLOCK_TOP_M + rng.uniform(0.04, 0.09)
                tip = np.array([*(middle + rng.uniform(-0.018, 0.018, 2)), height])
                return tip, np.array([0.0, 0.0, -1.0])


class ApproachConfig(Config):
    """An approach as a task.

    Args:
        obstacle: what to run into.
        limits: of the cell; the greatest command asks for its greatest speed.
        stiffness: of the impedance law [N/m, N m/rad].
    """

    obstacle: Obstacle
    limits: SafetyLimits
    stiffness: tuple[float, float]

    def build(self) -> Approach:
        """Compile the scene."""
        return Approach(self)


def _hand_scene(stiffness: tuple[float, float]) -> mujoco.MjModel:
    """The arm with a rigid rod of the peg's size, and a hand that gives way downwards."""
    spec = arm.new_scene()
    handles = fr3.add_fr3(spec, gripper=False, stiffness=stiffness)
    contact = {"solref": [0.01, 1.0], "condim": 4, "friction": [0.3, 0.005, 0.0001]}
    handles.hand.add_geom(
        type=mujoco.mjtGeom.mjGEOM_CAPSULE,
        fromto=[0, 0, fr3.HAND_TCP_M, 0, 0, fr3.HAND_TCP_M + PEG_LENGTH_M - 0.008],
        size=[0.008, 0, 0],
        mass=0.08,
        contype=0,
        conaffinity=1,
        **contact,
    )
    half = 0.015
    hand = spec.worldbody.add_body(
        name="hand_of_a_person", pos=[*_BLOCK[:2], BLOCK_TOP_M - half], gravcomp=1.0
    )
    joint = hand.add_joint(name="flesh", type=mujoco.mjtJoint.mjJNT_SLIDE, axis=[0, 0, 1])
    fr3.set_linear(joint, "stiffness", _HAND_N_M)
    fr3.set_linear(joint, "damping", 0.2 * math.sqrt(_HAND_N_M * _HAND_KG))
    hand.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[0.05, 0.05, half],
        mass=_HAND_KG,
        contype=1,
        conaffinity=0,
        **contact,
    )
    arm.add_sensors(spec, ())
    return spec.compile()
