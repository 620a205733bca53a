"""What bending a command needs to know of the arm, out of an observation that was let in."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from robot_rl.control.limits import SafetyLimits
from robot_rl.core.geometry import quat_rotate
from robot_rl.core.spec import JOINT_POSITION, TCP_POSE, WRENCH
from robot_rl.core.types import Vector


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The arm as measured, checked for shape and finiteness.

    Args:
        tcp: 7 numbers, position [m] and quaternion xyzw in the base frame; empty if unknown.
        q: n joint positions [rad]; empty if unknown.
        force: 6 numbers, the environment's force [N] and torque [N m] on the tool in the tcp
            frame, with zeros for what is within its limit; None if both are.
        contact: the greater of force and torque in units of its limit.
        touch: force [N] and torque [N m], for a person.
    """

    tcp: list[float]
    q: list[float]
    force: list[float] | None
    contact: float
    touch: tuple[float, float]


def read(
    vectors: Mapping[str, Vector], needed: Mapping[str, int], limits: SafetyLimits
) -> Reading:
    """Return what there is, of the vectors whose keys are needed, and of the contact force."""
    tcp: list[float] = vectors[TCP_POSE].tolist() if TCP_POSE in needed else []
    q: list[float] = vectors[JOINT_POSITION].tolist() if JOINT_POSITION in needed else []
    if WRENCH not in vectors:
        return Reading(tcp=tcp, q=q, force=None, contact=0.0, touch=(0.0, 0.0))
    wrench: list[float] = vectors[WRENCH].tolist()
    force_n, torque_n_m = math.hypot(*wrench[:3]), math.hypot(*wrench[3:])
    force = wrench[:3] if force_n > limits.max_force_n else [0.0] * 3
    torque = wrench[3:] if torque_n_m > limits.max_torque_n_m else [0.0] * 3
    contact = max(force_n / limits.max_force_n, torque_n_m / limits.max_torque_n_m)
    return Reading(
        tcp=tcp,
        q=q,
        force=force + torque if contact > 1.0 else None,
        contact=contact,
        touch=(force_n, torque_n_m),
    )


def in_base(wrench: list[float], tcp: list[float]) -> list[float]:
    """Turn force and torque from the tcp frame into the base frame."""
    return quat_rotate(np.array(tcp[3:]), np.array(wrench).reshape(2, 3)).ravel().tolist()
