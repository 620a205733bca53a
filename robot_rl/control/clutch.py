"""From the pose of something held in the hand to deltas of the tcp, without a jump at the start.

For devices that say where they are: a phone, a tracked controller, a leader arm. A SpaceMouse
says how it is pushed and needs none of this. No limits here: those are the gate's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

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

Array = NDArray[np.float64]

_UNIT_TOLERANCE = 1e-2


class ClutchConfig(Config):
    """How a hand's motion becomes the tool's.

    Args:
        base_from_device: rotation, quaternion xyzw, from the frame in which the device tells its
            pose to the robot base frame.
        scale: metres of the tool for one metre of the hand.
        rotation_scale: likewise for angles.
        axes: which of x, y, z and the rotations about them, in the base frame, follow the hand;
            the others stay where they were when the clutch closed.
        dead_band_m, dead_band_rad: motion of the hand that the tool does not follow; beyond it,
            it follows what is more.
    """

    base_from_device: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 1.0)
    scale: float = Field(default=1.0, gt=0)
    rotation_scale: float = Field(default=1.0, gt=0)
    axes: tuple[bool, bool, bool, bool, bool, bool] = (
        True,
        True,
        True,
        True,
        True,
        True,
    )
    dead_band_m: float = Field(default=0.0, ge=0)
    dead_band_rad: float = Field(default=0.0, ge=0)

    @field_validator("base_from_device")
    @classmethod
    def _is_unit(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        norm = float(np.linalg.norm(value))
        if abs(norm - 1.0) > 1e-3:
            raise ValueError(f"quaternion {value} has norm {norm:.4g}, expected 1")
        return value

    def build(self) -> Clutch:
        """Return an open clutch."""
        return Clutch(self)


class Clutch:
    """Refers the hand's motion to where hand and tool were when the clutch closed.

    Whoever reads the device closes it in the tick in which the person takes over, and opens it
    on the release: then the first target of the tool is where it is measured to be, wherever the
    hand is. Poses are position [m] and quaternion xyzw, float64[7]; the device's in its own
    frame, the tool's in the robot base frame.
    """

    def __init__(self, config: ClutchConfig) -> None:
        self._config = config
        self._turn = np.asarray(config.base_from_device) / np.linalg.norm(config.base_from_device)
        self._axes = np.asarray(config.axes, np.float64)
        self._device: Array | None = None
        self._tcp = np.zeros(7)
        self._rotvec = np.zeros(3)

    @property
    def closed(self) -> bool:
        """Whether the tool follows the hand."""
        return self._device is not None

    def close(self, device: Array, tcp: Array) -> None:
        """Begin to follow from here: the device's pose and the measured tcp pose of now.

        Raises:
            ContractError: if one of them is no pose.
        """
        self._tcp = _pose("tcp", tcp)
        self._device = _pose("device", device)
        self._rotvec = np.zeros(3)

    def open(self) -> None:
        """Follow no more."""
        self._device = None

    def delta(self, device: Array, tcp: Array) -> Array:
        """Return what takes the tool from where it is to where the hand wants it.

        Args:
            device: where the device is now.
            tcp: where the tool is measured to be now.

        Returns:
            float64[6], translation [m] and rotation vector [rad] in the base frame.

        Raises:
            ContractError: if the clutch is open, or one of them is no pose.
        """
        start = self._device
        if start is None:
            raise ContractError("the clutch is open: close it when the person takes over")
        device, tcp = _pose("device", device), _pose("tcp", tcp)
        c = self._config
        moved = quat_rotate(self._turn, device[:3] - start[:3])
        moved = c.scale * _beyond(moved, c.dead_band_m) * self._axes[:3]
        turned = c.rotation_scale * _beyond(self._turned(start, device), c.dead_band_rad)
        rotation = quat_from_rotvec(turned * self._axes[3:])
        target = np.concatenate([self._tcp[:3] + moved, quat_multiply(rotation, self._tcp[3:])])
        return pose_minus_pose(target, tcp)

    def _turned(self, start: Array, device: Array) -> Array:
        """The hand's rotation since the clutch closed, float64[3] [rad] in the base frame."""
        change = quat_multiply(device[3:], quat_conjugate(start[3:]))
        rotvec = quat_rotate(self._turn, rotvec_from_quat(change))
        angle = float(np.linalg.norm(rotvec))
        if angle > 0:
            # Half a turn is the same the other way round; what is nearer to before is meant.
            axis = rotvec / angle
            turns = np.round((axis @ self._rotvec - angle) / (2 * np.pi))
            rotvec = (angle + 2 * np.pi * turns) * axis
        self._rotvec = rotvec
        return rotvec


def _pose(what: str, pose: Array) -> Array:
    """Return the pose as float64 with a quaternion of norm 1."""
    pose = np.asarray(pose, np.float64)
    if pose.shape != (7,) or not np.isfinite(pose).all():
        raise ContractError(f"{what} pose: got {pose.tolist()}, expected 7 finite numbers")
    norm = float(np.linalg.norm(pose[3:]))
    if abs(norm - 1.0) > _UNIT_TOLERANCE:
        raise ContractError(f"{what} pose: its quaternion xyzw has norm {norm:.4g}, expected 1")
    return np.concatenate([pose[:3], pose[3:] / norm])


def _beyond(vector: Array, band: float) -> Array:
    """Shorten a vector by the dead band, to zero at most: there is no step at its edge."""
    length = float(np.linalg.norm(vector))
    return vector * (max(0.0, length - band) / length) if length > 0 else vector
