"""A command on its way to a robot in lockstep and back, to the last bit. Knows no middleware.

A robot's controller hears velocities, the library decides what is moved in one control period.
float64 has 29 bits more than the float32 that travels in it, so that dividing and multiplying by
the period rounds back to the very number.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.errors import ContractError
from robot_rl.core.spec import ActionSpec
from robot_rl.core.types import Vector

_KINDS = ("tcp_delta", "joint_delta")


class CommandCode:
    """Turns commands float32[d] in SI units into velocities and back.

    Args:
        action: of the robot.

    Attributes:
        cartesian: whether velocities are the tcp's; the joints' otherwise.
        gripper: whether the last element is the gripper's, which travels apart.

    Raises:
        ContractError: if the robot obeys no deltas.
    """

    def __init__(self, action: ActionSpec) -> None:
        if action.kind not in _KINDS:
            raise ContractError(
                f"commands of kind {action.kind!r} do not travel; expected {' or '.join(_KINDS)}"
            )
        self.cartesian = action.kind == "tcp_delta"
        self.gripper = action.names[-1] == "gripper"
        self._arm = action.size - self.gripper
        self._period_s = action.period_s

    def velocity(self, values: Vector) -> NDArray[np.float64]:
        """The arm's part as velocities float64[d - gripper], per second."""
        return values[: self._arm].astype(np.float64) / self._period_s

    def opening(self, values: Vector) -> NDArray[np.float64]:
        """The gripper's part float64[1]: above zero opens, below closes."""
        return values[self._arm :].astype(np.float64)

    def values(self, velocity: NDArray[np.float64], opening: NDArray[np.float64]) -> Vector:
        """The command float32[d] of both parts.

        Raises:
            ContractError: if a part has another length.
        """
        got, expected = (velocity.shape, opening.shape), ((self._arm,), (int(self.gripper),))
        if got != expected:
            raise ContractError(f"command: got parts of shape {got}, expected {expected}")
        arm = (velocity * self._period_s).astype(np.float32)
        return np.concatenate([arm, opening.astype(np.float32)])


class CommandIntake:
    """Joins the parts of commands that come over topics of their own, in the order of each.

    Attributes:
        heard: commands that were complete so far.
    """

    def __init__(self, code: CommandCode) -> None:
        self.heard = 0
        self._code = code
        self._velocities: deque[NDArray[np.float64]] = deque()
        self._openings: deque[NDArray[np.float64]] = deque()

    def put_velocity(self, velocity: NDArray[np.float64]) -> Vector | None:
        """Take in the arm's part; returns the command float32[d] that is now complete."""
        self._velocities.append(velocity)
        return self._next()

    def put_opening(self, opening: NDArray[np.float64]) -> Vector | None:
        """Take in the gripper's part; returns the command float32[d] that is now complete."""
        self._openings.append(opening)
        return self._next()

    def _next(self) -> Vector | None:
        if not self._velocities or (self._code.gripper and not self._openings):
            return None
        opening = self._openings.popleft() if self._code.gripper else np.zeros(0)
        command = self._code.values(self._velocities.popleft(), opening)
        self.heard += 1
        return command
