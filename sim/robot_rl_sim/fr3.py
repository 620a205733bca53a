"""The Franka Research 3 with its hand as a MuJoCo model, obeying a Cartesian impedance law.

`add_fr3` writes the arm into a scene's `MjSpec`, its base frame being the world frame. The numbers
are in `fr3_facts.py`; tables, parts and cameras belong to the scenes.

The impedance law runs inside MuJoCo, with no Python in a substep. Six actuators act on the site
`tcp` as seen from the site `impedance_frame`, a frame at the base origin turned like a tool that
points straight down (x forward, y right, z down). With the tcp position p and the rotation vector
r = log(R) in that frame, and V its twist, each actuator gives

    wrench = kp * (ctrl - (p, r)) - kd * V        (axes of impedance_frame, acting at the tcp)

so `ctrl` is a desired pose (`ctrl_from_pose`). r jumps half a turn away from
straight down and x forward, so a command stays within some 2.5 rad of that.

The seventh degree of freedom is held by a weak spring on joint 3 alone. One spring for one
redundant degree of freedom relaxes to q3 = 0 (within seconds), and no torque is then left to pull
the tcp away; springs on all joints would cost it millimetres.

The sensors `ft_force` and `ft_torque` at the site `ft` (the flange, axes of the tcp) give what the
arm exerts on everything distal of the flange, its weight included even where `gravcomp` is set.
`wrench_at_tcp` makes of them the tared wrench of the environment on the tool. The tare must be
read at rest: after a reset, set `ctrl` before the first `mj_forward`, or let a moment pass.
"""

# mujoco ships its core without type stubs.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from robot_rl.core.errors import ConfigError
from robot_rl.core.geometry import (
    quat_conjugate,
    quat_from_rotvec,
    quat_multiply,
    quat_rotate,
    rotvec_from_quat,
)
from robot_rl_sim import fr3_facts as facts
from robot_rl_sim.fr3_facts import (
    DH,
    FINGER_TRAVEL_M,
    FLANGE_M,
    HAND_TCP_M,
    HAND_YAW_RAD,
    HOME_Q,
    JOINT_ACCELERATION,
    JOINT_LOWER,
    JOINT_TORQUE,
    JOINT_UPPER,
    JOINT_VELOCITY,
)

__all__ = [
    "ACTUATORS", "DH", "FINGER_TRAVEL_M", "FLANGE_M", "HAND_TCP_M", "HOME_Q",
    "JOINT_ACCELERATION", "JOINT_LOWER", "JOINT_NAMES", "JOINT_TORQUE", "JOINT_UPPER",
    "JOINT_VELOCITY", "Fr3Handles", "add_fr3", "ctrl_from_pose",
    "pose_from_ctrl", "set_linear", "wrench_at_tcp",
]  # fmt: skip

Array = NDArray[np.float64]

JOINT_NAMES = tuple(f"joint{i}" for i in range(1, 8))
ACTUATORS = tuple(f"impedance_{axis}" for axis in ("x", "y", "z", "rx", "ry", "rz"))

# impedance_frame from base: half a turn about x, so that the z axis points down (xyzw).
_DOWN = np.array([1.0, 0.0, 0.0, 0.0])
# Inertia felt at the tcp along x y z [kg] and about them [kg m^2], about the diagonal of
# (J M^-1 J^T)^-1 at home: with it a damping ratio of 1 is close to critical there.
APPARENT_INERTIA = (10.0, 6.0, 8.0, 0.3, 0.4, 0.1)
# Rotor inertia seen at the joint [kg m^2] and viscous friction [N m s/rad].
_ARMATURE = 0.1
_DAMPING = (1.0, 1.0, 5.0, 1.0, 0.5, 0.5, 0.5)
_ELBOW_STIFFNESS = 8.0  # N m/rad

_GRIP_STIFFNESS_N_M = 1000.0
_GRIP_DAMPING_N_S_M = 100.0
_GRIP_FORCE_N = 60.0
_FINGER_ARMATURE_KG = 0.3
# Where the fingers of a hand without actuator stand, each from the middle [m].
_FIXED_FINGER_M = 0.008


@dataclass(frozen=True, slots=True, kw_only=True)
class Fr3Handles:
    """What a scene builds on.

    Args:
        hand: the hand's body, to hang tools below. Its origin is the flange, its axes are those
            of the tcp, which lies at (0, 0, `HAND_TCP_M`) in it. A body directly below it never
            collides with the hand.
        tcp: the site the impedance law moves.
    """

    hand: mujoco.MjsBody
    tcp: mujoco.MjsSite


def add_fr3(
    spec: mujoco.MjSpec,
    *,
    gripper: bool,
    stiffness: tuple[float, float],
    damping_ratio: float = 1.0,
) -> Fr3Handles:
    """Add the arm to a scene: joints, sites, sensors and the impedance actuators.

    Bodies added below the hand are the scene's: set their `gravcomp` if the controller knows
    their weight. Stable at a time step of 2 ms with the implicitfast and Euler integrators.

    Args:
        spec: the scene.
        gripper: whether the fingers move (`finger_joint1/2`, actuator `gripper` whose ctrl is
            the opening between the pads [m], 0 to 0.08). Otherwise they are rigid and nv is 7.
        stiffness: of the tcp, translation [N/m] and rotation [N m/rad].
        damping_ratio: 1 is critical at home.

    Raises:
        ConfigError: a stiffness or the damping ratio is not positive.
    """
    if min(*stiffness, damping_ratio) <= 0.0:
        raise ConfigError(
            f"the impedance law needs positive gains, got stiffness {stiffness} and "
            f"damping_ratio {damping_ratio}; expected e.g. (600.0, 30.0) and 1.0"
        )
    base = spec.worldbody.add_body(name="link0")
    base.add_site(name="base", size=[0.005] * 3, group=5)
    base.add_site(name="impedance_frame", quat=[0.0, 1.0, 0.0, 0.0], size=[0.005] * 3, group=5)
    _dress(base, facts.LINKS[0], facts.LINK_SHAPES[0])
    wrist = _add_links(base, degrees=spec.compiler.degree)
    hand = wrist.add_body(
        name="hand",
        pos=[0.0, 0.0, FLANGE_M],
        quat=[math.cos(HAND_YAW_RAD / 2), 0.0, 0.0, math.sin(HAND_YAW_RAD / 2)],
    )
    _dress(hand, facts.HAND, facts.HAND_SHAPES)
    tcp = hand.add_site(name="tcp", pos=[0.0, 0.0, HAND_TCP_M], size=[0.005] * 3, group=5)
    _add_force_sensor(spec, hand)
    _add_fingers(hand, moving=gripper)
    _add_impedance(spec, stiffness, damping_ratio)
    if gripper:
        _add_gripper(spec)
    return Fr3Handles(hand=hand, tcp=tcp)


def ctrl_from_pose(pose: Array) -> Array:
    """The six impedance controls that ask for a tcp pose.

    Args:
        pose: float64[..., 7], position [m] and quaternion xyzw of the tcp in the base frame.

    Returns:
        float64[..., 6], position [m] and rotation vector [rad] in `impedance_frame`.
    """
    inverse = quat_conjugate(_DOWN)
    rotvec = rotvec_from_quat(quat_multiply(inverse, pose[..., 3:7]))
    return np.concatenate([quat_rotate(inverse, pose[..., :3]), rotvec], -1)


def pose_from_ctrl(ctrl: Array) -> Array:
    """The tcp pose float64[7] in the base frame that impedance controls float64[6] ask for."""
    quat = quat_multiply(_DOWN, quat_from_rotvec(ctrl[3:6]))
    return np.concatenate([quat_rotate(_DOWN, ctrl[:3]), quat])


def wrench_at_tcp(reading: Array, tare: Array) -> Array:
    """The wrench of the environment on the tool, at the tcp and in its axes.

    MuJoCo reports what the arm exerts on the hand, so what the environment adds appears with the
    opposite sign. Gravity is tared only for the orientation at which `tare` was read.

    Args:
        reading: float64[..., 6], `ft_force` [N] then `ft_torque` [N m] at the flange.
        tare: float64[..., 6], the reading with nothing touched.

    Returns:
        float64[..., 6], force [N] and torque [N m].
    """
    force, torque = np.split(tare - reading, 2, axis=-1)
    lever = np.array([0.0, 0.0, HAND_TCP_M])
    return np.concatenate([force, torque - np.cross(lever, force)], -1)


def _add_links(parent: mujoco.MjsBody, *, degrees: bool) -> mujoco.MjsBody:
    # A spec reads hinge ranges in its own unit of angle, whose default is the degree.
    unit = math.degrees(1.0) if degrees else 1.0
    for i, (a, d, alpha) in enumerate(DH):
        body = parent.add_body(
            name=f"link{i + 1}",
            pos=[a, -d * math.sin(alpha), d * math.cos(alpha)],
            quat=[math.cos(alpha / 2), math.sin(alpha / 2), 0.0, 0.0],
        )
        joint = body.add_joint(
            name=JOINT_NAMES[i],
            axis=[0.0, 0.0, 1.0],
            range=[JOINT_LOWER[i] * unit, JOINT_UPPER[i] * unit],
            actfrcrange=[-JOINT_TORQUE[i], JOINT_TORQUE[i]],
            armature=_ARMATURE,
        )
        # The real joints also carry the weight within their torque limit.
        joint.actgravcomp = True
        set_linear(joint, "damping", _DAMPING[i])
        if i == 2:
            set_linear(joint, "stiffness", _ELBOW_STIFFNESS)
        _dress(body, facts.LINKS[i + 1], facts.LINK_SHAPES[i + 1])
        parent = body
    parent.add_site(name="flange", pos=[0.0, 0.0, FLANGE_M], size=[0.005] * 3, group=5)
    return parent


def _add_force_sensor(spec: mujoco.MjSpec, hand: mujoco.MjsBody) -> None:
    # The site is on the hand, not on link 7: MuJoCo measures between a site's body and its parent.
    hand.add_site(name="ft", size=[0.005] * 3, group=5)
    for name, kind in (
        ("ft_force", mujoco.mjtSensor.mjSENS_FORCE),
        ("ft_torque", mujoco.mjtSensor.mjSENS_TORQUE),
    ):
        spec.add_sensor(name=name, type=kind, objtype=mujoco.mjtObj.mjOBJ_SITE, objname="ft")


def _add_impedance(
    spec: mujoco.MjSpec, stiffness: tuple[float, float], damping_ratio: float
) -> None:
    for i, name in enumerate(ACTUATORS):
        kp = stiffness[i // 3]
        kd = 2.0 * damping_ratio * math.sqrt(kp * APPARENT_INERTIA[i])
        gear = np.zeros(6)
        gear[i] = 1.0
        spec.add_actuator(
            name=name,
            trntype=mujoco.mjtTrn.mjTRN_SITE,
            target="tcp",
            refsite="impedance_frame",
            gear=gear,
            gaintype=mujoco.mjtGain.mjGAIN_FIXED,
            gainprm=[kp] + [0.0] * 9,
            biastype=mujoco.mjtBias.mjBIAS_AFFINE,
            biasprm=[0.0, -kp, -kd] + [0.0] * 7,
        )


def _add_fingers(hand: mujoco.MjsBody, *, moving: bool) -> None:
    for number, quat in ((1, [1.0, 0.0, 0.0, 0.0]), (2, [0.0, 0.0, 0.0, 1.0])):
        side = 1.0 if number == 1 else -1.0
        offset = 0.0 if moving else side * _FIXED_FINGER_M
        finger = hand.add_body(
            name=f"finger{number}", pos=[0.0, offset, facts.FINGER_ROOT_M], quat=quat
        )
        _dress(finger, facts.FINGER, facts.FINGER_SHAPES)
        if moving:
            finger.add_joint(
                name=f"finger_joint{number}",
                type=mujoco.mjtJoint.mjJNT_SLIDE,
                axis=[0.0, 1.0, 0.0],
                range=[0.0, FINGER_TRAVEL_M],
                armature=_FINGER_ARMATURE_KG,
            )


def _add_gripper(spec: mujoco.MjSpec) -> None:
    opening = spec.add_tendon(name="finger_opening")
    opening.wrap_joint("finger_joint1", 1.0)
    opening.wrap_joint("finger_joint2", 1.0)
    # A stiff spring keeps the fingers symmetric: an equality would cost a solver call per step.
    coupling = spec.add_tendon(name="finger_coupling", springlength=[0.0, 0.0])
    coupling.wrap_joint("finger_joint1", 1.0)
    coupling.wrap_joint("finger_joint2", -1.0)
    set_linear(coupling, "stiffness", 3000.0)
    set_linear(coupling, "damping", 50.0)
    spec.add_actuator(
        name="gripper",
        trntype=mujoco.mjtTrn.mjTRN_TENDON,
        target="finger_opening",
        gaintype=mujoco.mjtGain.mjGAIN_FIXED,
        gainprm=[_GRIP_STIFFNESS_N_M] + [0.0] * 9,
        biastype=mujoco.mjtBias.mjBIAS_AFFINE,
        biasprm=[0.0, -_GRIP_STIFFNESS_N_M, -_GRIP_DAMPING_N_S_M] + [0.0] * 7,
        ctrllimited=True,
        ctrlrange=[0.0, 2 * FINGER_TRAVEL_M],
        forcelimited=True,
        forcerange=[-_GRIP_FORCE_N, _GRIP_FORCE_N],
    )


def _dress(body: mujoco.MjsBody, inertial: facts.Inertial, shapes: Sequence[facts.Shape]) -> None:
    body.explicitinertial = True
    body.mass = inertial.mass
    body.ipos = inertial.com
    body.fullinertia = inertial.inertia
    body.gravcomp = 1.0
    for shape in shapes:
        # contype 0: the arm touches the scene (contype 1) but never itself.
        geom = body.add_geom(rgba=shape.rgba, contype=0, conaffinity=int(shape.collides))
        if isinstance(shape, facts.Box):
            geom.type = mujoco.mjtGeom.mjGEOM_BOX
            geom.pos, geom.size = shape.centre, shape.half
        else:
            kinds = mujoco.mjtGeom.mjGEOM_CYLINDER, mujoco.mjtGeom.mjGEOM_CAPSULE
            geom.type = kinds[shape.round_ends]
            geom.fromto = (*shape.start, *shape.end)
            geom.size = [shape.radius, 0.0, 0.0]


def set_linear(element: mujoco.MjsJoint | mujoco.MjsTendon, name: str, value: float) -> None:
    """Set `damping` or `stiffness`, whether MuJoCo holds a number (3) or a polynomial (4)."""
    current = getattr(element, name)
    if isinstance(current, np.ndarray):
        current[0] = value
    else:
        setattr(element, name, value)
