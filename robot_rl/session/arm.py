"""The arm's motion, as it is told by observations, which come only while an episode runs."""

from __future__ import annotations

from robot_rl.core.clock import NS_PER_S
from robot_rl.core.spec import JOINT_POSITION, TCP_POSE
from robot_rl.core.types import Observation
from robot_rl.sensing.motion import Motion, MotionScale

_MOVED = MotionScale(distance_m=0.005, angle_rad=0.02, time_s=1.0)
"""What every camera that sees the arm must show."""
_UNSEEN_S = 1.0
_UNSEEN_PERIODS = 10


class SeenArm:
    """Follows the arm while it is seen.

    Args:
        period_s: of the observations.

    Attributes:
        motion: of the arm since it has been followed without a gap. After one it is another:
            unseen the arm may have gone anywhere, and its places before and after tell nothing
            of the pictures between.
    """

    def __init__(self, period_s: float) -> None:
        self.motion = Motion(_MOVED)
        self._unseen_ns = round(max(_UNSEEN_S, _UNSEEN_PERIODS * period_s) * NS_PER_S)
        self._newest_ns: int | None = None

    def see(self, observation: Observation) -> None:
        """Note where the arm is, if the observation tells it."""
        vectors = observation.vectors
        places = {key: vectors[key] for key in (TCP_POSE, JOINT_POSITION) if key in vectors}
        if not places:
            return
        before_ns, self._newest_ns = self._newest_ns, observation.stamp_ns
        motion = self.motion
        if before_ns is None or observation.stamp_ns - before_ns > self._unseen_ns:
            motion = Motion(_MOVED)
        motion.update(places, observation.stamp_ns)
        self.motion = motion
