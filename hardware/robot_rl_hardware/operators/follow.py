"""How the robot follows a leader arm: relative to where both were when the clutch closed.

The first target is where the robot is measured to be, wherever the leader is. No limits here:
those are the gate's. What is returned is normalised as the task's action is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from robot_rl.config.model import Config
from robot_rl.core.errors import ContractError
from robot_rl.core.geometry import (
    pose_minus_pose,
    quat_conjugate,
    quat_from_rotvec,
    quat_multiply,
    quat_rotate,
    rotvec_from_quat,
)
from robot_rl.core.spec import JOINT_POSITION, TCP_POSE
from robot_rl.core.types import Observation

Array = NDArray[np.float64]
Angles = Mapping[str, float]
"""What the leader's motors say [rad], by name."""
Positive = Annotated[float, Field(gt=0)]
Triple = tuple[float, float, float]


class Follow(Protocol):
    """A clutch between leader and robot."""

    size: int
    """Elements of what `action` returns."""

    def close(self, angles: Angles, observation: Observation) -> None:
        """Begin to follow from here.

        Raises:
            ContractError: naming what the leader or the robot does not tell.
        """
        ...

    def action(self, angles: Angles, observation: Observation) -> Array:
        """Return float64[size] in [-1, 1], from where the robot is to where it should be."""
        ...


class FollowConfig(Config):
    """Root of the ways to follow."""

    def build(self) -> Follow:
        """Return an open clutch."""
        raise NotImplementedError


class JointConfig(Config):
    """One joint of the robot.

    Args:
        motor: of the leader that it follows.
        ratio: of its angle to the leader's; negative if they turn in opposite ways.
    """

    motor: str
    ratio: float = 1.0


class JointFollowConfig(FollowConfig):
    """Joint by joint, for a leader that is built like the robot, and `joint_delta` actions.

    Args:
        joints: of the robot, in the order of its action.
        scale_rad: angle of a normalised 1, per joint, as the task's action has it.
    """

    joints: tuple[JointConfig, ...] = Field(min_length=1)
    scale_rad: tuple[Positive, ...]

    def build(self) -> JointFollow:
        """Return an open clutch.

        Raises:
            ContractError: if there is not one scale for each joint.
        """
        return JointFollow(self)


class JointFollow:
    """Implements `Follow`."""

    def __init__(self, config: JointFollowConfig) -> None:
        self.size = len(config.joints)
        if len(config.scale_rad) != self.size:
            raise ContractError(
                f"scale_rad has {len(config.scale_rad)} elements, joints has {self.size}"
            )
        self._motors = [joint.motor for joint in config.joints]
        self._ratios = np.array([joint.ratio for joint in config.joints])
        self._scale = np.array(config.scale_rad)
        self._offset = np.zeros(self.size)

    def close(self, angles: Angles, observation: Observation) -> None:
        """Begin to follow from here."""
        self._offset = self._measured(observation) - self._ratios * _told(self._motors, angles)

    def action(self, angles: Angles, observation: Observation) -> Array:
        """Return what takes the joints to where the leader's have gone."""
        target = self._offset + self._ratios * _told(self._motors, angles)
        return np.clip((target - self._measured(observation)) / self._scale, -1.0, 1.0)

    def _measured(self, observation: Observation) -> Array:
        return _vector(observation, JOINT_POSITION, self.size)


class LinkConfig(Config):
    """One joint of the leader and what carries it, as a URDF's `joint` has it.

    Args:
        motor: that turns it; empty for a joint that is fixed, such as that of the handle.
        xyz: from the joint before [m].
        rpy: rotation from the joint before [rad].
        axis: about which it turns.
    """

    motor: str = ""
    xyz: Triple
    rpy: Triple = (0.0, 0.0, 0.0)
    axis: Triple = (0.0, 0.0, 1.0)


class TcpFollowConfig(FollowConfig):
    """The tool follows the leader's handle, for `tcp_delta` actions and a leader of any build.

    Args:
        chain: from the leader's foot to its handle.
        scale_m, scale_rad: of a normalised 1, as the task's action has it.
        gain: metres of the tool for one metre of the handle; angles are as they are.
        yaw_rad: how far the leader's foot is turned about z against the robot's base.
    """

    chain: tuple[LinkConfig, ...] = Field(min_length=1)
    scale_m: float = Field(gt=0)
    scale_rad: float = Field(gt=0)
    gain: float = Field(default=1.0, gt=0)
    yaw_rad: float = Field(default=0.0, ge=-math.pi, le=math.pi)

    def build(self) -> TcpFollow:
        """Return an open clutch."""
        return TcpFollow(self)


class TcpFollow:
    """Implements `Follow`."""

    size = 6

    def __init__(self, config: TcpFollowConfig) -> None:
        self._config = config
        self._turn = quat_from_rotvec(np.array([0.0, 0.0, config.yaw_rad]))
        self._scale = np.repeat([config.scale_m, config.scale_rad], 3)
        self._handle = self._tcp = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0])

    def close(self, angles: Angles, observation: Observation) -> None:
        """Begin to follow from here."""
        self._handle, self._tcp = self._pose(angles), _tcp(observation)

    def action(self, angles: Angles, observation: Observation) -> Array:
        """Return what takes the tool to where the handle has gone."""
        handle = self._pose(angles)
        moved = quat_rotate(self._turn, handle[:3] - self._handle[:3]) * self._config.gain
        change = quat_multiply(handle[3:], quat_conjugate(self._handle[3:]))
        turned = quat_from_rotvec(quat_rotate(self._turn, rotvec_from_quat(change)))
        target = np.concatenate([self._tcp[:3] + moved, quat_multiply(turned, self._tcp[3:])])
        delta = pose_minus_pose(target, _tcp(observation))
        return np.clip(delta / self._scale, -1.0, 1.0)

    def _pose(self, angles: Angles) -> Array:
        """Where the handle is on the leader's foot, float64[7]."""
        position, quat = np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0])
        for link in self._config.chain:
            position = position + quat_rotate(quat, np.array(link.xyz))
            quat = quat_multiply(quat, _quat_from_rpy(link.rpy))
            if link.motor:
                (angle,) = _told([link.motor], angles)
                axis = np.array(link.axis) / np.linalg.norm(link.axis)
                quat = quat_multiply(quat, quat_from_rotvec(angle * axis))
        return np.concatenate([position, quat])


def _quat_from_rpy(rpy: Triple) -> Array:
    """Fixed axes, x first, as URDF has it."""
    x, y, z = (quat_from_rotvec(angle * axis) for angle, axis in zip(rpy, np.eye(3), strict=True))
    return quat_multiply(z, quat_multiply(y, x))


def _told(motors: list[str], angles: Angles) -> Array:
    for motor in motors:
        if motor not in angles:
            raise ContractError(
                f"the leader arm has no motor {motor!r}; it has: {', '.join(sorted(angles))}"
            )
    return np.array([angles[motor] for motor in motors])


def _vector(observation: Observation, key: str, size: int) -> Array:
    vector = observation.vectors.get(key)
    if vector is None or vector.shape != (size,):
        got = "nothing" if vector is None else f"{vector.size} elements"
        raise ContractError(f"to follow the leader arm needs {key}, {size} elements; got {got}")
    return vector.astype(np.float64)


def _tcp(observation: Observation) -> Array:
    pose = _vector(observation, TCP_POSE, 7)
    return np.concatenate([pose[:3], pose[3:] / max(float(np.linalg.norm(pose[3:])), 1e-9)])
