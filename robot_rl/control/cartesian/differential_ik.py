"""From a motion of the tool to a motion of the joints, one period at a time.

A quadratic program over the joints' steps dq, posed by mink and solved by daqp:

    min  |W (J dq - d)|^2  +  c^2 |dq - g (q* - q)|^2  +  lambda^2 |dq|^2
    s.t. -room(q) <= dq <= room(q),  and what further limits were handed in

with the tool's step d, weights W that make one of metres and radians, a posture q* that settles
the redundant joints, and damping. The room (`JointBox`) is the cell's: the speed of each joint,
and in front of its ends no more than it can brake from. daqp takes a box as such; the rows of
mink's `ConfigurationLimit` and `VelocityLimit` would say the same without the braking, and take a
quarter of a call more.

**Near singularities.** Where the smallest singular value s of W J falls below s0 (`_REGULAR_M`),
damping comes in: lambda = (1 - s / s0) lambda_0, in the manner of Nakamura and Hanafusa 1986.
lambda_0 = v / (4 w) is such that at the singularity itself a tool step of the greatest speed v
asks of no joint more than the slowest joint's greatest speed w, as long as no more than half of it
points where the arm cannot go; beyond that the box holds the joints. The tool falls behind in the
direction that the arm cannot serve, `IkStep.error` says by how much, and a target out of reach is
approached and then held without trembling.

Acceleration and jerk are left to the safety gate.
"""

# daqp ships without stubs, mink without the dtypes of its arrays.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false, reportMissingTypeStubs=false

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import daqp
import mink
import numpy as np
import qpsolvers
from pydantic import Field

from robot_rl.config.model import Config
from robot_rl.control.cartesian.arm_model import ArmModel
from robot_rl.control.cartesian.joint_box import JointBox
from robot_rl.control.cartesian.refusal import (
    Array,
    Refusal,
    RefusalKind,
    refuse_pose,
    refuse_vector,
)
from robot_rl.control.clearance import factor_within
from robot_rl.control.limits import SafetyLimits
from robot_rl.core.errors import ConfigError

_REGULAR_M = 0.1
"""Smallest singular value of W J above which only `_LEAST_DAMPING_M` is left [m/rad]."""
_LEAST_DAMPING_M = 1e-4
_POSTURE_COST_M = 1e-3
"""Weight of the posture: small enough to cost the tool nothing."""
_INFEASIBLE = "no motion of the joints keeps every limit at once; look at the further limits"
_NO_BOUND = 1e30


@dataclass(frozen=True, slots=True, kw_only=True)
class IkStep:
    """What the joints are to do in one period.

    Args:
        joint_delta: float64[n] [rad], finite and within the room of every joint; zeros if
            refused.
        error: float64[6], what the tool would lack of this period's motion after `joint_delta`:
            translation [m] and rotation vector [rad] in the base frame; zeros if refused.
        refusal: why there is no motion; None if there is one.
    """

    joint_delta: Array
    error: Array
    refusal: Refusal | None = None


class DifferentialIkConfig(Config):
    """Settings of the inverse kinematics of one arm.

    Args:
        posture_rad: joint positions to which redundant joints drift; there is one per joint.
        posture_time_s: time constant of that drift.
        radian_m: how many metres of error weigh as much as a radian.
    """

    posture_rad: tuple[float, ...]
    posture_time_s: float = Field(default=1.0, gt=0)
    radian_m: float = Field(default=0.3, gt=0)

    def build(
        self,
        arm: ArmModel,
        limits: SafetyLimits,
        period_s: float,
        extra: Sequence[mink.Limit] = (),
    ) -> DifferentialIk:
        """Return the inverse kinematics; see `DifferentialIk`."""
        return DifferentialIk(self, arm, limits, period_s, extra)


class DifferentialIk:
    """Inverse kinematics of one arm. Equal calls give equal answers; nothing is remembered.

    Not for two threads at once.

    Args:
        config: of this arm.
        arm: its kinematics, lent for good: every call moves it.
        limits: of the cell: joint positions, speeds, braking, and the tool's speeds.
        period_s: control period.
        extra: further limits of mink, e.g. from `avoidance.keep_apart`.

    Raises:
        ConfigError: if arm, posture and limits have different numbers of joints.
    """

    def __init__(
        self,
        config: DifferentialIkConfig,
        arm: ArmModel,
        limits: SafetyLimits,
        period_s: float,
        extra: Sequence[mink.Limit] = (),
    ) -> None:
        _check_arm(arm.joints, config, limits)
        self._arm = arm
        self._period_s = period_s
        self._extra = list(extra)
        self._frame = mink.FrameTask(arm.tcp_site, "site", 1.0, config.radian_m)
        gain = min(1.0, period_s / config.posture_time_s)
        self._posture = mink.PostureTask(arm.model, _POSTURE_COST_M, gain=gain)
        self._posture.set_target(config.posture_rad)
        self._weights = np.repeat([1.0, config.radian_m], 3)[:, None]
        speeds = limits.max_tcp_speed_m_s, limits.max_tcp_angular_speed_rad_s
        self._tcp_steps = tuple(speed * period_s for speed in speeds)
        fastest = math.hypot(speeds[0], config.radian_m * speeds[1])
        self._damping_m = fastest / (4.0 * min(limits.max_joint_velocity_rad_s))
        self._box = JointBox(limits, period_s)

    def tcp_pose(self, q: Array) -> Array:
        """The tcp float64[7] (m, quaternion xyzw) in the base frame at joints float64[n] [rad]."""
        self._arm.update(q)
        return self._arm.tcp_pose()

    def step(self, q: Array, tcp_delta: Array) -> IkStep:
        """Move the tool by a delta within one period.

        Args:
            q: float64[n], joint positions [rad].
            tcp_delta: float64[6], translation [m] and rotation vector [rad] in the base frame.
                What is faster than the cell's greatest tool speeds is slowed to them.
        """
        refusal = refuse_vector("q", q, self._arm.joints)
        refusal = refusal or refuse_vector("tcp_delta", tcp_delta, 6)
        if refusal:
            return self._refused(refusal)
        self._arm.update(q)
        return self._solve(q, tcp_delta)

    def step_towards(self, q: Array, tcp_target: Array) -> IkStep:
        """Move the tool towards a pose, no faster than the cell's greatest tool speeds.

        Args:
            q: float64[n], joint positions [rad].
            tcp_target: float64[7], position [m] and quaternion xyzw in the base frame.
        """
        refusal = refuse_vector("q", q, self._arm.joints)
        refusal = refusal or refuse_pose("tcp_target", tcp_target)
        if refusal:
            return self._refused(refusal)
        self._arm.update(q)
        return self._solve(q, self._arm.delta_to(self._arm.target_at(tcp_target)))

    def _solve(self, q: Array, delta: Array) -> IkStep:
        target = self._arm.target_after(self._slowed(delta))
        self._frame.set_target(target)
        # Positions that are finite and yet nonsense may overflow; the answer is looked at.
        with np.errstate(over="ignore", invalid="ignore"):
            problem = mink.build_ik(
                self._arm.configuration,
                [self._frame, self._posture],
                self._period_s,
                damping=self._damping() ** 2,
                limits=self._extra,
            )
        lower, upper = self._box.bounds(q)
        found = _solution(problem, lower, upper)
        if found is None:
            return self._refused(Refusal(kind=RefusalKind.INFEASIBLE, detail=_INFEASIBLE))
        joint_delta = np.minimum(np.maximum(found, lower), upper)
        self._arm.update(q + joint_delta)
        return IkStep(joint_delta=joint_delta, error=self._arm.delta_to(target))

    def _slowed(self, delta: Array) -> Array:
        """Translation and rotation no faster than the tool may go, each along its direction."""
        x, y, z, *turn = delta.tolist()
        move = factor_within(math.hypot(x, y, z), self._tcp_steps[0])
        rotate = factor_within(math.hypot(*turn), self._tcp_steps[1])
        return delta * np.array([move, move, move, rotate, rotate, rotate])

    def _damping(self) -> float:
        weighted = self._weights * self._arm.jacobian()
        # The root of the smallest eigenvalue of J J^T costs half of what an SVD of J does.
        smallest = math.sqrt(max(0.0, float(np.linalg.eigvalsh(weighted @ weighted.T)[0])))
        return self._damping_m * max(0.0, 1.0 - smallest / _REGULAR_M) + _LEAST_DAMPING_M

    def _refused(self, refusal: Refusal) -> IkStep:
        zeros = np.zeros(self._arm.joints)
        return IkStep(joint_delta=zeros, error=np.zeros(6), refusal=refusal)


def _solution(problem: qpsolvers.Problem, lower: Array, upper: Array) -> Array | None:
    """What minimises mink's problem within a box; None if there is nothing, or not in numbers.

    daqp is asked itself: what lies between it and `qpsolvers` takes more time than the solution.
    """
    rows, above = problem.G, problem.h
    if rows is None or above is None:
        rows, above = np.zeros((0, len(lower))), np.zeros(0)
    below = np.concatenate([lower, np.full(len(above), -_NO_BOUND)])
    kinds = np.zeros(len(below), np.intc)
    x, _, flag, _ = daqp.solve(
        problem.P, problem.q, rows, np.concatenate([upper, above]), below, kinds
    )
    return x if flag > 0 and np.isfinite(x).all() else None


def _check_arm(joints: int, config: DifferentialIkConfig, limits: SafetyLimits) -> None:
    for name, count in (
        ("posture_rad", len(config.posture_rad)),
        ("the limits", len(limits.joint_lower_rad)),
    ):
        if count != joints:
            raise ConfigError(f"{name} has {count} joints, the model has {joints}")
