"""How an arm obeys and what it tells of itself, for n simulations at once.

Pure functions of their state, with the noise handed in, so that one bench and a batch of
simulations share them. Devices are in `robot.py`, models in `fr3.py` and with the tasks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from robot_rl.core.geometry import quat_from_rotvec, quat_multiply
from robot_rl.core.spec import (
    GRIPPER,
    JOINT_POSITION,
    JOINT_VELOCITY,
    TCP_POSE,
    TCP_TWIST,
    WRENCH,
)
from robot_rl_sim import fr3
from robot_rl_sim.backend import Array, StateView

WRENCH_NOISE = np.array([0.1, 0.1, 0.1, 0.003, 0.003, 0.003])
"""Standard deviation of the wrist sensor's white noise [N, N m]."""
GRIPPER_OPENING_M = 2 * fr3.FINGER_TRAVEL_M


class Drive(Protocol):
    """An arm's controller and its own sensors."""

    @property
    def name(self) -> str:
        """The robot's name."""
        ...

    @property
    def joints(self) -> int:
        """Number of the arm's joints, the first of the model."""
        ...

    @property
    def noise_size(self) -> int:
        """How many standard normal numbers one `vectors` takes."""
        ...

    def vectors(self, state: StateView, tare: Array, noise: Array) -> dict[str, Array]:
        """The arm's own vectors, `{key: float64[n, d]}`.

        Args:
            state: of n simulations.
            tare: float64[n, 6], `StateView.force_torque` with nothing touched.
            noise: float64[n, noise_size], standard normal.
        """
        ...

    def obey(self, ctrl: Array, state: StateView, values: Array) -> None:
        """Write into `ctrl` float64[n, nu] what commands float64[n, d] in SI units ask for."""
        ...

    def hold(self, ctrl: Array, state: StateView) -> None:
        """Write into `ctrl` float64[n, nu] what keeps the arms where they are measured."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ImpedanceDrive:
    """The FR3 under Cartesian impedance, obeying tcp deltas.

    The wrench is the wrist sensor's reading, tared at the start of each episode, turned into the
    tcp frame, with white noise on top.

    Args:
        gripper: the last element of a command opens (> 0) or closes (< 0) the gripper; 0 leaves
            it as it is.
    """

    gripper: bool = False
    name: str = "fr3_sim"
    joints: int = 7
    noise_size: int = 6

    def vectors(self, state: StateView, tare: Array, noise: Array) -> dict[str, Array]:
        """See `Drive.vectors`."""
        wrench = fr3.wrench_at_tcp(state.force_torque, tare) + WRENCH_NOISE * noise
        vectors = {
            JOINT_POSITION: state.joint_position,
            JOINT_VELOCITY: state.joint_velocity,
            TCP_POSE: state.tcp_pose,
            TCP_TWIST: state.tcp_twist,
            WRENCH: wrench,
        }
        if self.gripper:
            vectors[GRIPPER] = state.gripper[:, None]
        return vectors

    def obey(self, ctrl: Array, state: StateView, values: Array) -> None:
        """Move the impedance controller's target to the measured pose plus the delta."""
        ctrl[:, :6] = fr3.ctrl_from_pose(_moved(state.tcp_pose, values))
        if self.gripper:
            wish = values[:, 6]
            ctrl[:, 6] = np.where(wish == 0.0, ctrl[:, 6], GRIPPER_OPENING_M * (wish > 0.0))

    def hold(self, ctrl: Array, state: StateView) -> None:
        """Hold the measured pose and whatever is in the gripper."""
        ctrl[:, :6] = fr3.ctrl_from_pose(state.tcp_pose)


@dataclass(frozen=True, slots=True, kw_only=True)
class JointDrive:
    """An arm of position-controlled joints, obeying joint deltas; it feels no forces."""

    name: str
    joints: int
    noise_size: int = 0

    def vectors(self, state: StateView, tare: Array, noise: Array) -> dict[str, Array]:
        """See `Drive.vectors`."""
        return {JOINT_POSITION: state.joint_position, JOINT_VELOCITY: state.joint_velocity}

    def obey(self, ctrl: Array, state: StateView, values: Array) -> None:
        """Move the joints' targets to their measured positions plus the deltas."""
        ctrl[:, : self.joints] = state.joint_position + values

    def hold(self, ctrl: Array, state: StateView) -> None:
        """Hold the measured joint positions."""
        ctrl[:, : self.joints] = state.joint_position


def _moved(pose: Array, delta: Array) -> Array:
    """`pose_plus_delta` for poses float64[n, 7] and deltas float64[n, 6 or more]."""
    quat = quat_multiply(quat_from_rotvec(delta[:, 3:6]), pose[:, 3:])
    norm = np.sqrt(np.vecdot(quat, quat))
    return np.concatenate([pose[:, :3] + delta[:, :3], quat / norm[:, None]], -1)
