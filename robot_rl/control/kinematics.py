"""Forward kinematics and Jacobian of a serial arm with revolute joints. No inverse kinematics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from robot_rl.config.model import Config
from robot_rl.core.geometry import (
    matrix_from_quat,
    quat_from_matrix,
    quat_multiply,
    quat_rotate,
)

Array = NDArray[np.float64]
Pose = tuple[float, float, float, float, float, float, float]
Frame = tuple[float, ...]


class SerialChainConfig(Config):
    """Modified Denavit-Hartenberg rows (Craig, Introduction to Robotics, 1986), one per joint.

    Args:
        a_m, d_m, alpha_rad: link length, link offset and link twist of row i: joint frame i is
            joint frame i-1 moved by Rot_x(alpha) Trans_x(a) Rot_z(q) Trans_z(d).
        flange_pose: the flange in the last joint's frame, position [m] and quaternion xyzw.
        tcp_pose: the tool centre point in the flange frame, likewise.
    """

    a_m: tuple[float, ...]
    d_m: tuple[float, ...]
    alpha_rad: tuple[float, ...]
    flange_pose: Pose
    tcp_pose: Pose

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not len(self.a_m) == len(self.d_m) == len(self.alpha_rad) > 0:
            raise ValueError(
                f"one row per joint: got {len(self.a_m)} a_m, {len(self.d_m)} d_m, "
                f"{len(self.alpha_rad)} alpha_rad"
            )
        for name, pose in (("flange_pose", self.flange_pose), ("tcp_pose", self.tcp_pose)):
            norm = math.hypot(*pose[3:])
            if abs(norm - 1.0) > 1e-3:
                raise ValueError(f"{name}: quaternion xyzw has norm {norm:.4g}, expected 1")
        return self

    def build(self) -> SerialChain:
        """Return the chain; needs nothing else."""
        return SerialChain(self)


class SerialChain:
    """An arm's kinematics, everything in the base frame.

    Plain floats inside: a numpy call on 3 numbers costs more than the joint's whole arithmetic,
    and the safety gate needs a Jacobian in every tick.
    """

    def __init__(self, config: SerialChainConfig) -> None:
        self._rows = tuple(
            (a, d, math.cos(alpha), math.sin(alpha))
            for a, d, alpha in zip(config.a_m, config.d_m, config.alpha_rad, strict=True)
        )
        self.joints = len(self._rows)
        flange, tcp = _pose(config.flange_pose), _pose(config.tcp_pose)
        position = flange[:3] + quat_rotate(flange[3:], tcp[:3])
        self._tcp_position: list[float] = position.tolist()
        self._tcp_rotation = matrix_from_quat(quat_multiply(flange[3:], tcp[3:]))

    def forward(self, q: Sequence[float] | Array) -> Array:
        """Return the tcp pose float64[7] (m, quaternion xyzw) at joint positions q [rad]."""
        *_, last = self.frames(q)
        rotation = np.array(last[:9]).reshape(3, 3).T @ self._tcp_rotation
        return np.concatenate([self._tcp_in_base(last), quat_from_matrix(rotation)])

    def jacobian(self, q: Sequence[float] | Array) -> Array:
        """Return the geometric Jacobian float64[6, n] at the tcp.

        Rows: linear [m/s] then angular [rad/s] tcp velocity in the base frame, per rad/s of each
        joint. Column i is (z_i x (p - o_i), z_i).
        """
        frames = self.frames(q)
        px, py, pz = self._tcp_in_base(frames[-1])
        columns: list[Frame] = []
        for *_, zx, zy, zz, ox, oy, oz in frames:
            rx, ry, rz = px - ox, py - oy, pz - oz
            linear = (zy * rz - zz * ry, zz * rx - zx * rz, zx * ry - zy * rx)
            columns.append((*linear, zx, zy, zz))
        return np.array(columns).T

    def frames(self, q: Sequence[float] | Array) -> list[Frame]:
        """Return axes x, y, z and origin of each joint's frame in the base frame, 12 numbers."""
        xx, xy, xz, yx, yy, yz, zx, zy, zz = 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0
        px = py = pz = 0.0
        frames: list[Frame] = []
        for angle, (a, d, ca, sa) in zip(q, self._rows, strict=True):
            c, s = math.cos(angle), math.sin(angle)
            # Rot_x(alpha) turns y into u and z into the joint's axis ...
            ux, uy, uz = ca * yx + sa * zx, ca * yy + sa * zy, ca * yz + sa * zz
            zx, zy, zz = ca * zx - sa * yx, ca * zy - sa * yy, ca * zz - sa * yz
            px, py, pz = px + a * xx + d * zx, py + a * xy + d * zy, pz + a * xz + d * zz
            # ... about which Rot_z(q) turns x and u.
            yx, yy, yz = c * ux - s * xx, c * uy - s * xy, c * uz - s * xz
            xx, xy, xz = c * xx + s * ux, c * xy + s * uy, c * xz + s * uz
            frames.append((xx, xy, xz, yx, yy, yz, zx, zy, zz, px, py, pz))
        return frames

    def _tcp_in_base(self, frame: Frame) -> tuple[float, float, float]:
        xx, xy, xz, yx, yy, yz, zx, zy, zz, px, py, pz = frame
        x, y, z = self._tcp_position
        return (
            px + xx * x + yx * y + zx * z,
            py + xy * x + yy * y + zy * z,
            pz + xz * x + yz * y + zz * z,
        )


def _pose(pose: Pose) -> Array:
    position, quaternion = np.array(pose[:3]), np.array(pose[3:])
    return np.concatenate([position, quaternion / np.linalg.norm(quaternion)])
