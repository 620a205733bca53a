"""Ways of the joints: each jerk-limited, all arriving together."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from robot_rl.control.cartesian.refusal import Array
from robot_rl.control.cartesian.way.contract import ROUNDING, Distance, vector_of
from robot_rl.control.cartesian.way.time_law import Pace, TimeLaw
from robot_rl.control.cartesian.way.workspace import Workspace
from robot_rl.control.kinematics import SerialChain
from robot_rl.control.limits import SafetyLimits
from robot_rl.core.errors import ContractError
from robot_rl.core.spec import JOINT_POSITION, JOINT_VELOCITY, ActionSpec
from robot_rl.core.types import Vector

_LOOKS, _TOOL_LOOKS = 400, 100
"""At how many instants of a way the joints are looked at, and the tool."""
_TRIES = 4
"""How often a way on which the tool is too fast is slowed."""


class JointWays:
    """Implements `Ways` for joint deltas [rad].

    Args:
        limits: of the cell.
        action: a joint delta, perhaps with a gripper.
        share: of every limit, and of the action's range, that a plan may use.
        chain: with it the tool keeps its speed and its box on the way; without it nobody looks.
    """

    def __init__(
        self, limits: SafetyLimits, action: ActionSpec, share: float, chain: SerialChain | None
    ) -> None:
        self._names = action.names
        self._lower = np.array(limits.joint_lower_rad)
        self._upper = np.array(limits.joint_upper_rad)
        self._joints = len(self._lower)
        range_rad_s = np.array(action.scale[: self._joints]) / action.period_s
        self._pace = Pace(
            velocity=share * np.minimum(limits.max_joint_velocity_rad_s, range_rad_s),
            acceleration=share * np.array(limits.max_joint_acceleration_rad_s2),
            jerk=share * np.array(limits.max_joint_jerk_rad_s3),
        )
        self._tool_speeds = share * np.array(
            [limits.max_tcp_speed_m_s, limits.max_tcp_angular_speed_rad_s]
        )
        self._workspace = Workspace(limits)
        self._period_s = action.period_s
        self._chain = chain

    def check(self, target: Array) -> None:
        """See `Ways.check`."""
        if target.shape != (self._joints,) or not np.isfinite(target).all():
            raise ContractError(
                f"target: got {target.tolist()}, expected {self._joints} finite positions [rad]"
            )
        self._check_ends("the target", target, self._lower, self._upper)
        if self._chain is not None:
            self._workspace.check("the target", self._chain.forward(target)[:3])

    def measured(self, vectors: Mapping[str, Vector]) -> Array:
        """See `Ways.measured`."""
        return vector_of(vectors, JOINT_POSITION, self._joints)

    def plan(self, vectors: Mapping[str, Vector], target: Array) -> TimeLaw:
        """See `Ways.plan`."""
        start = self.measured(vectors)
        velocity = vector_of(vectors, JOINT_VELOCITY, self._joints)
        law = TimeLaw(start, velocity, target, self._pace, self._period_s)
        if self._chain is not None:
            law = self._for_tool(self._chain, law, start, velocity, target)
        # Who starts beyond an end may come back, and nothing else.
        lower, upper = np.minimum(self._lower, start), np.maximum(self._upper, start)
        seen = law.looks(_LOOKS)
        for extreme in (seen.min(axis=0), seen.max(axis=0)):
            self._check_ends("the way", extreme, lower, upper)
        return law

    def delta(self, goal: Array, place: Array) -> Array:
        """See `Ways.delta`."""
        return goal - place

    def size(self, delta: Array) -> Distance:
        """See `Ways.size`."""
        return Distance(rad=float(np.abs(delta).max()))

    def _for_tool(
        self, chain: SerialChain, law: TimeLaw, start: Array, velocity: Array, target: Array
    ) -> TimeLaw:
        """The same way, slow enough for the tool.

        Raises:
            ContractError: if the tool leaves the workspace on it.
        """
        pace, poses = self._pace, _tool_poses(chain, law)
        for _ in range(_TRIES):
            excess = float((_tool_speeds(poses, law.duration_s) / self._tool_speeds).max())
            if excess <= 1.0:
                break
            pace = pace.slowed(0.99 / excess)
            law = TimeLaw(start, velocity, target, pace, self._period_s)
            poses = _tool_poses(chain, law)
        allowed_m = self._workspace.outside_m(poses[0, :3])
        for pose in poses:
            self._workspace.check("the way", pose[:3], allowed_m)
        return law

    def _check_ends(self, what: str, q: Array, lower: Array, upper: Array) -> None:
        for name, x, low, high in zip(self._names, q, lower, upper, strict=False):
            if not low - ROUNDING <= x <= high + ROUNDING:
                raise ContractError(
                    f"{what} brings {name} to {x:.4f} rad, expected {low:.4f} to {high:.4f}"
                )


def _tool_poses(chain: SerialChain, law: TimeLaw) -> Array:
    """Of the whole way, float64[_TOOL_LOOKS, 7]."""
    return np.stack([chain.forward(q) for q in law.looks(_TOOL_LOOKS)])


def _tool_speeds(poses: Array, duration_s: float) -> Array:
    """Greatest speed of the tool [m/s, rad/s] between poses that are equally far apart in time."""
    step_s = max(duration_s, 1e-9) / (len(poses) - 1)
    metres = np.linalg.norm(np.diff(poses[:, :3], axis=0), axis=-1)
    # A quaternion and its negative are one rotation: the nearer pair tells the angle.
    one, other = poses[1:, 3:], poses[:-1, 3:]
    chords = np.minimum(np.linalg.norm(one - other, axis=-1), np.linalg.norm(one + other, axis=-1))
    radians = 4.0 * np.arcsin(np.minimum(0.5 * chords, 1.0))
    return np.array([metres.max(), radians.max()]) / step_s
