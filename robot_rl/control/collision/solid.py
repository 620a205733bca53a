"""One shape as coal wants it: about its middle, in the frame of a joint."""

# coal ships without type stubs, through a .pth file that pyright does not follow.
# pyright: reportMissingImports=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import coal
import numpy as np
from numpy.typing import NDArray

from robot_rl.control.collision.shape import Box, Capsule, HalfSpace, LinkBody, Shape, Sphere
from robot_rl.control.kinematics import SerialChain
from robot_rl.core.errors import ConfigError
from robot_rl.core.geometry import matrix_from_quat

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Solid:
    """A shape as coal wants it.

    Args:
        link: number of joints that move it.
        geometry: coal's, about its middle.
        position, rotation: float64[3], float64[3, 3], of the middle in that joint's frame.
        reach_m: from the middle to the outermost point; infinite for a half-space.
    """

    link: int
    geometry: Any
    position: Array
    rotation: Array
    reach_m: float


def solid_on_link(body: LinkBody, chain: SerialChain) -> Solid:
    """Return a body of the arm.

    Raises:
        ConfigError: if the arm does not have its link.
    """
    if body.link != "tool":
        if body.link > chain.joints:
            raise ConfigError(
                f"collision body {body.name!r} stands on link {body.link}, expected 0 (the base) "
                f"to {chain.joints} or 'tool'"
            )
        return solid_of(body.link, body.shape)
    # Where the tcp is in the last joint's frame is the same in every position.
    zeros = [0.0] * chain.joints
    last, tcp = np.array(chain.frames(zeros)[-1]), chain.forward(zeros)
    joint_from_base = last[:9].reshape(3, 3)
    rotation = joint_from_base @ matrix_from_quat(tcp[3:])
    position = joint_from_base @ (tcp[:3] - last[9:])
    solid = solid_of(chain.joints, body.shape)
    return replace(
        solid,
        position=position + rotation @ solid.position,
        rotation=rotation @ solid.rotation,
    )


def solid_of(link: int, shape: Shape) -> Solid:
    """Return a shape in the frame of joint number `link`; 0 is the base."""
    match shape:
        case Capsule():
            start, end = np.array(shape.start_m), np.array(shape.end_m)
            length = float(np.linalg.norm(end - start))
            geometry = coal.Capsule(shape.radius_m, length)
            position, rotation = (start + end) / 2, _turned_to(end - start)
            reach_m = length / 2 + shape.radius_m
        case Sphere():
            geometry = coal.Sphere(shape.radius_m)
            position, rotation, reach_m = np.array(shape.centre_m), np.eye(3), shape.radius_m
        case Box():
            geometry = coal.Box(*shape.size_m)
            quaternion = np.array(shape.pose[3:])
            rotation = matrix_from_quat(quaternion / np.linalg.norm(quaternion))
            position, reach_m = np.array(shape.pose[:3]), math.hypot(*shape.size_m) / 2
        case HalfSpace():
            geometry = coal.Halfspace(np.array(shape.normal), shape.offset_m)
            position, rotation, reach_m = np.zeros(3), np.eye(3), math.inf
    return Solid(
        link=link, geometry=geometry, position=position, rotation=rotation, reach_m=reach_m
    )


def _turned_to(axis: Array) -> Array:
    """A rotation float64[3, 3] whose z axis points along `axis`; any, if that is zero."""
    norm = float(np.linalg.norm(axis))
    if norm == 0.0:
        return np.eye(3)
    z = axis / norm
    x = np.cross(np.eye(3)[int(np.argmin(np.abs(z)))], z)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z], axis=1)
