"""A cell as URDF: its chain, the bodies that the gate keeps apart, and where its cameras look.

Frames follow REP 103 and 105: `world`, `base_link`, one link for each joint, `flange`, `tcp`, and
for each camera `<name>_link` (x forward, z up) and `<name>_color_optical_frame` (z forward, x
right). Pure; where cameras are comes from whoever knows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import numpy as np
from numpy.typing import NDArray

from robot_rl.control.collision.shape import Box, Capsule, CollisionConfig, Shape, Sphere
from robot_rl.control.kinematics import SerialChainConfig
from robot_rl.control.limits import SafetyLimits
from robot_rl.core.errors import ConfigError
from robot_rl.core.geometry import matrix_from_quat, quat_from_matrix

Array = NDArray[np.float64]

WORLD, BASE, FLANGE, TCP = "world", "base_link", "flange", "tcp"
_DIGITS = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraMount:
    """Where a camera is.

    Args:
        name: of the camera.
        parent: the link that carries it.
        pose: of its optical frame in the parent's, position [m] and quaternion xyzw, float64[7].
    """

    name: str
    parent: str
    pose: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """An arm as its cell knows it.

    Args:
        name: of the robot.
        joints: names, from the base outwards; link i has the name of joint i with `link` in it.
        chain: its kinematics.
        limits: of its joints.
        effort_n_m: the most that each joint can give.
        collision: bodies of its links.
    """

    name: str
    joints: Sequence[str]
    chain: SerialChainConfig
    limits: SafetyLimits
    effort_n_m: Sequence[float]
    collision: CollisionConfig | None = None

    @property
    def links(self) -> tuple[str, ...]:
        """Names of the links that move with each joint."""
        return tuple(name.replace("joint", "link") for name in self.joints)


def urdf(arm: Arm, cameras: Sequence[CameraMount]) -> str:
    """Return the cell as URDF.

    Raises:
        ConfigError: if names, chain and limits are not of the same number of joints, or a camera
            hangs on a link that there is not.
    """
    count = len(arm.chain.a_m)
    counts = {len(arm.joints), len(arm.effort_n_m), len(arm.limits.joint_lower_rad), count}
    if counts != {count}:
        raise ConfigError(
            f"the chain has {count} joints; got {len(arm.joints)} names, "
            f"{len(arm.effort_n_m)} efforts and {len(arm.limits.joint_lower_rad)} limits"
        )
    robot = Element("robot", name=arm.name)
    bodies = _bodies(arm)
    _link(robot, WORLD, ())
    _link(robot, BASE, bodies.get(BASE, ()))
    _fixed(robot, "base_joint", WORLD, BASE, np.array([0, 0, 0, 0, 0, 0, 1.0]))
    parent = BASE
    for i, link in enumerate(arm.links):
        _link(robot, link, bodies.get(link, ()))
        _revolute(robot, arm, i, parent, link)
        parent = link
    _link(robot, FLANGE, ())
    _fixed(robot, "flange_joint", parent, FLANGE, np.array(arm.chain.flange_pose))
    _link(robot, TCP, bodies.get(TCP, ()))
    _fixed(robot, "tcp_joint", FLANGE, TCP, np.array(arm.chain.tcp_pose))
    links = {WORLD, BASE, *arm.links, FLANGE, TCP}
    for camera in cameras:
        if camera.parent not in links:
            raise ConfigError(
                f"camera {camera.name!r} hangs on {camera.parent!r}, which is no link"
            )
        _camera(robot, camera)
    ElementTree.indent(robot)
    return '<?xml version="1.0"?>\n' + ElementTree.tostring(robot, encoding="unicode") + "\n"


def _bodies(arm: Arm) -> Mapping[str, Sequence[tuple[str, Shape]]]:
    frames = (BASE, *arm.links)
    bodies: dict[str, list[tuple[str, Shape]]] = {}
    for body in arm.collision.links if arm.collision else ():
        link = TCP if body.link == "tool" else frames[body.link]
        bodies.setdefault(link, []).append((body.name, body.shape))
    return bodies


def _link(robot: Element, name: str, bodies: Sequence[tuple[str, Shape]]) -> None:
    link = SubElement(robot, "link", name=name)
    for what, shape in bodies:
        for place, geometry in _solids(shape):
            for kind in ("visual", "collision"):
                element = SubElement(link, kind, name=what)
                _origin(element, place)
                solid, sizes = geometry
                SubElement(SubElement(element, "geometry"), solid, sizes)


def _solids(shape: Shape) -> list[tuple[Array, tuple[str, dict[str, str]]]]:
    """What URDF has for a shape: a capsule is a cylinder between two balls."""
    if isinstance(shape, Box):
        return [(np.array(shape.pose), ("box", {"size": _text(shape.size_m)}))]
    if isinstance(shape, Sphere):
        return [(_at(shape.centre_m), _ball(shape.radius_m))]
    if not isinstance(shape, Capsule):
        raise ConfigError(f"a link cannot have the shape of a {type(shape).__name__}")
    start, end = np.array(shape.start_m), np.array(shape.end_m)
    length = float(np.linalg.norm(end - start))
    cylinder = {"radius": _text([shape.radius_m]), "length": _text([length])}
    along = np.concatenate([(start + end) / 2, _quat_of_z((end - start) / length)])
    ball = _ball(shape.radius_m)
    return [(along, ("cylinder", cylinder)), (_at(start), ball), (_at(end), ball)]


def _ball(radius_m: float) -> tuple[str, dict[str, str]]:
    return "sphere", {"radius": _text([radius_m])}


def _at(position: Sequence[float] | Array) -> Array:
    return np.array([*position, 0.0, 0.0, 0.0, 1.0])


def _quat_of_z(axis: Array) -> Array:
    """The turn of a frame whose z axis is `axis`, a unit vector."""
    aside = np.eye(3)[int(np.argmin(np.abs(axis)))]
    x = np.cross(aside, axis)
    x /= np.linalg.norm(x)
    return quat_from_matrix(np.stack([x, np.cross(axis, x), axis], axis=1))


def _revolute(robot: Element, arm: Arm, i: int, parent: str, child: str) -> None:
    a, d, alpha = arm.chain.a_m[i], arm.chain.d_m[i], arm.chain.alpha_rad[i]
    joint = SubElement(robot, "joint", name=arm.joints[i], type="revolute")
    # Rot_z(q) and Trans_z(d) of a modified Denavit-Hartenberg row commute.
    position = [a, -d * math.sin(alpha), d * math.cos(alpha)]
    SubElement(joint, "origin", xyz=_text(position), rpy=_text([alpha, 0.0, 0.0]))
    SubElement(joint, "parent", link=parent)
    SubElement(joint, "child", link=child)
    SubElement(joint, "axis", xyz="0 0 1")
    SubElement(
        joint,
        "limit",
        lower=_text([arm.limits.joint_lower_rad[i]]),
        upper=_text([arm.limits.joint_upper_rad[i]]),
        velocity=_text([arm.limits.max_joint_velocity_rad_s[i]]),
        effort=_text([arm.effort_n_m[i]]),
    )


def _camera(robot: Element, camera: CameraMount) -> None:
    link, optical = f"{camera.name}_link", f"{camera.name}_color_optical_frame"
    # A body's x is forward and its z up, an optical frame's z forward and its x right.
    body_from_optical = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    turn = matrix_from_quat(camera.pose[3:]) @ body_from_optical.T
    pose = np.concatenate([camera.pose[:3], quat_from_matrix(turn)])
    _link(robot, link, ())
    _fixed(robot, f"{camera.name}_joint", camera.parent, link, pose)
    _link(robot, optical, ())
    place = np.concatenate([np.zeros(3), quat_from_matrix(body_from_optical)])
    _fixed(robot, f"{camera.name}_color_optical_joint", link, optical, place)


def _fixed(robot: Element, name: str, parent: str, child: str, pose: Array) -> None:
    joint = SubElement(robot, "joint", name=name, type="fixed")
    _origin(joint, pose)
    SubElement(joint, "parent", link=parent)
    SubElement(joint, "child", link=child)


def _origin(element: Element, pose: Array) -> None:
    SubElement(element, "origin", xyz=_text(pose[:3]), rpy=_text(rpy_from_quat(pose[3:])))


def rpy_from_quat(quat: Array) -> tuple[float, float, float]:
    """Angles [rad] about the fixed axes x, y and z, in this order, of a quaternion xyzw."""
    m = matrix_from_quat(quat / np.linalg.norm(quat))
    level = math.hypot(m[0, 0], m[1, 0])
    pitch = math.atan2(-m[2, 0], level)
    if level < 1e-9:
        # Straight up or down, where yaw and roll are one.
        return math.atan2(-m[1, 2], m[1, 1]), pitch, 0.0
    return math.atan2(m[2, 1], m[2, 2]), pitch, math.atan2(m[1, 0], m[0, 0])


def _text(numbers: Sequence[float] | Array) -> str:
    # Adding zero makes a negative zero positive: equal files for equal cells.
    return " ".join(f"{round(float(n), _DIGITS) + 0.0:.{_DIGITS}g}" for n in numbers)
