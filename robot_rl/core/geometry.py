"""Rotations and poses in numpy. Quaternions are xyzw; a pose is position [m] then quaternion.

Small and without scipy on purpose: these run in every control tick, where scipy's `Rotation`
costs 20 times as much for a single rotation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def quat_multiply(a: Array, b: Array) -> Array:
    """Hamilton product a*b of quaternions xyzw, float64[..., 4]."""
    ax, ay, az, aw = np.moveaxis(a, -1, 0)
    bx, by, bz, bw = np.moveaxis(b, -1, 0)
    return np.stack(
        [
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
            aw * bw - ax * bx - ay * by - az * bz,
        ],
        axis=-1,
    )


def quat_conjugate(q: Array) -> Array:
    """Inverse of a unit quaternion xyzw."""
    return q * np.array([-1.0, -1.0, -1.0, 1.0])


def quat_rotate(q: Array, v: Array) -> Array:
    """Rotate vectors float64[..., 3] by unit quaternions xyzw float64[..., 4]."""
    u, w = q[..., :3], q[..., 3:]
    t = 2.0 * np.cross(u, v)
    return v + w * t + np.cross(u, t)


def quat_from_rotvec(rotvec: Array) -> Array:
    """Unit quaternion xyzw of a rotation vector [rad], float64[..., 3]."""
    angle: Array = np.linalg.norm(rotvec, axis=-1, keepdims=True)
    # np.sinc(x) is sin(pi x)/(pi x): exact at zero without a branch.
    xyz: Array = 0.5 * rotvec * np.sinc(angle / (2 * np.pi))
    return np.concatenate([xyz, np.cos(angle / 2)], -1)


def rotvec_from_quat(q: Array) -> Array:
    """Rotation vector [rad] of a unit quaternion xyzw, angle in [0, pi]."""
    q = np.where(q[..., 3:] < 0, -q, q)
    norm = np.linalg.norm(q[..., :3], axis=-1, keepdims=True)
    angle = 2.0 * np.arctan2(norm, q[..., 3:])
    factor = np.where(norm > 1e-9, angle / np.maximum(norm, 1e-9), 2.0)
    return q[..., :3] * factor


def quat_from_matrix(m: Array) -> Array:
    """Unit quaternion xyzw of a rotation matrix float64[3, 3] (Shepperd 1978)."""
    trace = float(np.trace(m))
    candidates = np.array([m[0, 0], m[1, 1], m[2, 2], trace])
    k = int(np.argmax(candidates))
    q = np.empty(4)
    if k == 3:
        q[:] = m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], 1.0 + trace
    else:
        i, j, l = k, (k + 1) % 3, (k + 2) % 3  # noqa: E741
        q[i] = 1.0 + 2.0 * m[i, i] - trace
        q[j] = m[j, i] + m[i, j]
        q[l] = m[l, i] + m[i, l]
        q[3] = m[l, j] - m[j, l]
    return q / np.linalg.norm(q)


def matrix_from_quat(q: Array) -> Array:
    """Rotation matrix float64[3, 3] of a unit quaternion xyzw."""
    return np.stack([quat_rotate(q, axis) for axis in np.eye(3)], axis=1)


def pose_plus_delta(pose: Array, delta: Array) -> Array:
    """Move a pose (position, quaternion xyzw) by a base-frame translation and rotation vector.

    Args:
        pose: float64[7].
        delta: float64[6], translation [m] and rotation vector [rad], both in the base frame.
    """
    q = quat_multiply(quat_from_rotvec(delta[3:6]), pose[3:7])
    return np.concatenate([pose[:3] + delta[:3], q / np.linalg.norm(q)])


def pose_minus_pose(target: Array, pose: Array) -> Array:
    """The base-frame delta float64[6] with which `pose_plus_delta` takes `pose` to `target`."""
    rotation = quat_multiply(target[3:7], quat_conjugate(pose[3:7]))
    return np.concatenate([target[:3] - pose[:3], rotvec_from_quat(rotation)])
