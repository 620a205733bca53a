"""Pairs of vectors (a twist, a wrench, a delta) in one frame's axes or another's."""

from __future__ import annotations

import numpy as np

from robot_rl.control.cartesian.refusal import Array

PerAxis = tuple[float, float, float, float, float, float]
"""Three translations, then three rotations."""


def base_from_tcp(tcp_pose: Array) -> Array:
    """The rotation matrix float64[3, 3] of a tcp pose float64[7].

    In plain floats: this runs at the rate of force control, where numpy's cross products would
    cost ten times as much.
    """
    x, y, z, w = (tcp_pose[3:] / np.linalg.norm(tcp_pose[3:])).tolist()
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def turned(rotation: Array, pair: Array) -> Array:
    """Turn both halves of a float64[6] by a rotation matrix."""
    return (pair.reshape(2, 3) @ rotation.T).ravel()


def turned_back(rotation: Array, pair: Array) -> Array:
    """The inverse of `turned`."""
    return turned(rotation.T, pair)
