"""Slows what takes an arm into a configuration in which it cannot move in every direction."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from robot_rl.control.kinematics import SerialChain
from robot_rl.control.limits import SafetyLimits


def ratio(values: Sequence[float]) -> float:
    """Ratio of the greatest to the least of a Jacobian's singular values: its condition.

    It grows without bound towards a singularity. Metres and radians are taken as they come.
    """
    return values[0] / values[-1] if values[-1] > 0.0 else math.inf


class Singularity:
    """Motion into a singularity is slowed from one condition on and ends at another.

    As MoveIt Servo does it; motion that leads out is free.
    """

    def __init__(self, limits: SafetyLimits, chain: SerialChain) -> None:
        self._slow, self._hold = limits.slow_at_condition, limits.hold_at_condition
        self._chain = chain

    def factor(self, q: list[float], condition: float, joint_step: list[float]) -> float:
        """Return what to multiply a command with.

        Args:
            q: measured joint positions [rad].
            condition: of the Jacobian there.
            joint_step: what the command would change q by [rad].
        """
        if condition <= self._slow or not any(joint_step):
            return 1.0
        then = self._chain.jacobian([x + d for x, d in zip(q, joint_step, strict=True)])
        if ratio(np.linalg.svd(then, compute_uv=False).tolist()) <= condition:
            return 1.0
        return max(0.0, (self._hold - condition) / (self._hold - self._slow))
