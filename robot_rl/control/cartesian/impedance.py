"""Impedance on an arm that obeys torques: the tool behaves as if held by springs and dampers.

    tau = J^T (K e - D V + f) + (I - J^T J^+T) (k (q* - q) - d q')

e leads from the measured to the desired pose: translation [m] and rotation vector [rad], V is the
tool's twist J q', f a force to exert beside the springs. The second part keeps redundant joints
at a posture; its projector (Khatib 1987, with unit weights) lets none of it reach the tool at
rest. The arm carries its own weight and its Coriolis forces, as the FR3's torque interface does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from robot_rl.config.model import Config
from robot_rl.control.cartesian.frame import PerAxis, base_from_tcp, turned, turned_back
from robot_rl.control.cartesian.refusal import (
    Array,
    Refusal,
    RefusalKind,
    refuse_pose,
    refuse_vector,
)
from robot_rl.core.errors import ContractError
from robot_rl.core.geometry import pose_minus_pose

_CUTOFF = 1e-2
"""Singular values below this share of the largest one count as 0 in the projector."""


class ImpedanceConfig(Config):
    """Springs and dampers of one arm, and the torques that it may be given.

    Args:
        frame: whose axes stiffness and damping are of: the tool's or the robot base's.
        stiffness: [N/m, N m/rad]; 0 leaves an axis to the force alone.
        damping: [N s/m, N m s/rad].
        posture_rad: joint positions that redundant joints are drawn to.
        posture_stiffness, posture_damping: of that [N m/rad, N m s/rad].
        max_joint_torque_n_m: one per joint, on top of what carries the arm.
        max_joint_torque_rate_n_m_s: one per joint.
        period_s: control period.
    """

    frame: Literal["tcp", "base"]
    stiffness: PerAxis
    damping: PerAxis
    posture_rad: tuple[float, ...]
    posture_stiffness: float = Field(ge=0)
    posture_damping: float = Field(ge=0)
    max_joint_torque_n_m: tuple[float, ...]
    max_joint_torque_rate_n_m_s: tuple[float, ...]
    period_s: float = Field(gt=0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("max_joint_torque_n_m", "max_joint_torque_rate_n_m_s"):
            values: tuple[float, ...] = getattr(self, name)
            if len(values) != len(self.posture_rad):
                raise ValueError(
                    f"{name} has {len(values)} elements, posture_rad has {len(self.posture_rad)}: "
                    "expected one per joint"
                )
            if not all(v > 0 for v in values):
                raise ValueError(f"{name}: got {values}, expected positive")
        for name in ("stiffness", "damping"):
            if min(getattr(self, name)) < 0.0:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected 0 or more")
        for axis, (k, d) in enumerate(zip(self.stiffness, self.damping, strict=True)):
            if k > 0.0 and d == 0.0:
                raise ValueError(f"damping[{axis}] is 0: a spring without damper rings for ever")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmState:
    """What an impedance law must know of the arm at one instant.

    Args:
        q, dq: float64[n], joint positions [rad] and velocities [rad/s].
        tcp_pose: float64[7], position [m] and quaternion xyzw in the base frame.
        jacobian: float64[6, n], geometric, at the tcp, in the base frame.
    """

    q: Array
    dq: Array
    tcp_pose: Array
    jacobian: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class JointTorque:
    """What the joints are to exert.

    Args:
        torque: float64[n] [N m], finite, within the greatest torque, and changed from the last
            one no faster than allowed.
        error: float64[6], from the measured to the desired pose in the base frame [m, rad];
            zeros if refused.
        refusal: why the law was not followed: the torque then goes down to 0 as fast as allowed.
    """

    torque: Array
    error: Array
    refusal: Refusal | None = None


def impedance_torque(
    config: ImpedanceConfig, state: ArmState, target: Array, force: Array, last: Array
) -> JointTorque:
    """The torques of one period.

    Args:
        config: the law.
        state: measured.
        target: float64[7], desired tcp pose in the base frame.
        force: float64[6], what the tool is to exert beside the springs [N, N m], in the axes of
            the config's frame.
        last: float64[n], the torques of the period before [N m].

    Raises:
        ContractError: if `last` is not a finite float64[n]: what was commanded is always known.
    """
    if refusal := refuse_vector("last", last, len(config.posture_rad)):
        raise ContractError(refusal.detail)
    refusal = _refuse(config, state, target, force)
    torque, error = np.zeros_like(last), np.zeros(6)
    if refusal is None:
        # Finite nonsense may overflow on the way.
        with np.errstate(all="ignore"):
            wanted, missing = _law(config, state, target, force)
        if np.isfinite(wanted).all() and np.isfinite(missing).all():
            torque, error = wanted, missing
        else:
            detail = "the law gives no finite torque: look at the Jacobian and the velocities"
            refusal = Refusal(kind=RefusalKind.NON_FINITE, detail=detail)
    return JointTorque(torque=_limited(config, torque, last), error=error, refusal=refusal)


def _law(
    config: ImpedanceConfig, state: ArmState, target: Array, force: Array
) -> tuple[Array, Array]:
    """Torque float64[n] and error float64[6], without any limit."""
    error = pose_minus_pose(target, state.tcp_pose)
    posture = config.posture_stiffness * (np.array(config.posture_rad) - state.q)
    posture -= config.posture_damping * state.dq
    wrench = _tool_wrench(config, state, error, force)
    try:
        inverse = np.linalg.pinv(state.jacobian, rcond=_CUTOFF)
    except np.linalg.LinAlgError:
        inverse = np.full(state.jacobian.T.shape, np.nan)
    unseen = posture - state.jacobian.T @ (inverse.T @ posture)
    return state.jacobian.T @ wrench + unseen, error


def _tool_wrench(config: ImpedanceConfig, state: ArmState, error: Array, force: Array) -> Array:
    """K e - D V + f in the base frame; the gains are of the config's frame."""
    twist = state.jacobian @ state.dq
    rotation = base_from_tcp(state.tcp_pose)
    if config.frame == "tcp":
        error, twist = turned_back(rotation, error), turned_back(rotation, twist)
    wrench = np.array(config.stiffness) * error - np.array(config.damping) * twist + force
    return turned(rotation, wrench) if config.frame == "tcp" else wrench


def _limited(config: ImpedanceConfig, torque: Array, last: Array) -> Array:
    """The nearest torque within rate and, above all, size."""
    change = np.array(config.max_joint_torque_rate_n_m_s) * config.period_s
    most = np.array(config.max_joint_torque_n_m)
    return np.clip(np.clip(torque, last - change, last + change), -most, most)


def _refuse(
    config: ImpedanceConfig, state: ArmState, target: Array, force: Array
) -> Refusal | None:
    joints = len(config.posture_rad)
    if state.jacobian.shape != (6, joints):
        detail = f"jacobian has shape {list(state.jacobian.shape)}, expected [6, {joints}]"
        return Refusal(kind=RefusalKind.MALFORMED, detail=detail)
    return (
        refuse_vector("q", state.q, joints)
        or refuse_vector("dq", state.dq, joints)
        or refuse_pose("tcp_pose", state.tcp_pose)
        or refuse_vector("jacobian", state.jacobian.ravel(), 6 * joints)
        or refuse_pose("target", target)
        or refuse_vector("force", force, 6)
    )
