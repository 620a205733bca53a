"""Ways of the tool: straight, turning about one axis, with one jerk-limited law for both."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from robot_rl.control.cartesian.refusal import Array, refuse_pose
from robot_rl.control.cartesian.way.contract import Distance, vector_of
from robot_rl.control.cartesian.way.time_law import Pace, TimeLaw
from robot_rl.control.cartesian.way.workspace import Workspace
from robot_rl.control.limits import SafetyLimits
from robot_rl.core.errors import ContractError
from robot_rl.core.geometry import pose_minus_pose, pose_plus_delta
from robot_rl.core.spec import TCP_POSE, TCP_TWIST, ActionSpec
from robot_rl.core.types import Vector

_NOTHING = 1e-9


class PoseWay:
    """From a pose along one delta.

    Args:
        start: float64[7], in the base frame.
        delta: float64[6], from there to the target (`pose_plus_delta`).
        law: of one coordinate, 0 at the start and `length` at the target.
        length: of the whole way in the law's unit.
    """

    def __init__(self, start: Array, delta: Array, law: TimeLaw, length: float) -> None:
        self._start, self._delta = start, delta
        self._law, self._length = law, length
        self.duration_s = law.duration_s

    def at(self, time_s: float) -> Array:
        """See `Way.at`."""
        share = self._law.at(time_s)[0] / self._length
        return pose_plus_delta(self._start, share * self._delta)


class PoseWays:
    """Implements `Ways` for tcp deltas.

    The law's coordinate is the time [s] that what is left would take at the greatest speeds, so
    that its own greatest speed is 1. Of the measured velocity it takes what is along the way.

    Args:
        limits: of the cell.
        action: a tcp delta, perhaps with a gripper.
        share: of every limit, and of the action's range, that a plan may use.
    """

    def __init__(self, limits: SafetyLimits, action: ActionSpec, share: float) -> None:
        self._workspace = Workspace(limits)
        self._period_s = action.period_s
        self._range = share * np.array(action.scale[:6]) / action.period_s
        # One column for translation, one for rotation; rows are speed and its derivatives.
        self._most = share * np.array(
            [
                [limits.max_tcp_speed_m_s, limits.max_tcp_angular_speed_rad_s],
                [limits.max_tcp_acceleration_m_s2, limits.max_tcp_angular_acceleration_rad_s2],
                [limits.max_tcp_jerk_m_s3, limits.max_tcp_angular_jerk_rad_s3],
            ]
        )

    def check(self, target: Array) -> None:
        """See `Ways.check`."""
        if refusal := refuse_pose("target", target):
            raise ContractError(refusal.detail)
        self._workspace.check("the target", target[:3])

    def measured(self, vectors: Mapping[str, Vector]) -> Array:
        """See `Ways.measured`."""
        pose = vector_of(vectors, TCP_POSE, 7)
        if refusal := refuse_pose(TCP_POSE, pose):
            raise ContractError(refusal.detail)
        return np.concatenate([pose[:3], pose[3:] / np.linalg.norm(pose[3:])])

    def plan(self, vectors: Mapping[str, Vector], target: Array) -> PoseWay:
        """See `Ways.plan`."""
        start = self.measured(vectors)
        twist = vector_of(vectors, TCP_TWIST, 6)
        delta = pose_minus_pose(target, start)
        sizes = np.linalg.norm(delta.reshape(2, 3), axis=-1)
        length = max(float((sizes / self._most[0]).max()), float((abs(delta) / self._range).max()))
        if length < _NOTHING:
            return PoseWay(start, delta, _law_of(0.0, 0.0, (1.0, 1.0), self._period_s), 1.0)
        # Per unit of the law's coordinate, [m] and [rad].
        rates = np.maximum(sizes / length, _NOTHING)
        acceleration, jerk = (self._most[1:] / rates).min(axis=-1)
        speed = self._along(twist, delta / length)
        law = _law_of(length, speed, (acceleration, jerk), self._period_s)
        return PoseWay(start, delta, law, length)

    def delta(self, goal: Array, place: Array) -> Array:
        """See `Ways.delta`."""
        return pose_minus_pose(goal, place)

    def size(self, delta: Array) -> Distance:
        """See `Ways.size`."""
        m, rad = np.linalg.norm(delta.reshape(2, 3), axis=-1)
        return Distance(rad=float(rad), m=float(m))

    def _along(self, twist: Array, rate: Array) -> float:
        """The speed of the coordinate that comes nearest to a twist; at most 1 either way."""
        weights = 1.0 / np.repeat(self._most[0], 3) ** 2
        scale = float(rate @ (weights * rate))
        if scale < _NOTHING:
            return 0.0
        return float(np.clip(rate @ (weights * twist) / scale, -1.0, 1.0))


def _law_of(length: float, speed: float, pace: tuple[float, float], period_s: float) -> TimeLaw:
    """From 0 at a speed to `length`, no faster than 1."""
    return TimeLaw(
        np.zeros(1),
        np.array([speed]),
        np.array([length]),
        Pace(velocity=np.ones(1), acceleration=np.array([pace[0]]), jerk=np.array([pace[1]])),
        period_s,
    )
