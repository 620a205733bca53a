"""The simulated FR3 driven joint by joint: by position servos, or by torques.

`add_fr3` gives the arm a Cartesian impedance law. Here that law is taken out again, for control
that is computed outside the model: inverse kinematics and admittance on an arm whose joints obey
positions, impedance on one whose joints obey torques.
"""

# mujoco ships its core without type stubs.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from dataclasses import dataclass

import mujoco

from robot_rl_sim import fr3
from robot_rl_sim.backend import Array, StateView
from robot_rl_sim.drive import ImpedanceDrive

SERVO_RAD_S = 60.0
"""Natural frequency of a servo; critically damped, it follows a ramp 2 / this behind: 33 ms."""

# The most that a joint may have to move [kg m^2]: the diagonal of the mass matrix over the range.
_INERTIA = (3.9, 3.9, 1.65, 1.2, 0.17, 0.155, 0.105)


def servo_joints(spec: mujoco.MjSpec, rate_rad_s: float = SERVO_RAD_S) -> None:
    """Give every joint of an FR3 a position servo in place of the impedance law.

    The actuators have the joints' names; their ctrl is the joint position [rad] that is asked
    for. They push no harder than the real joints (`JOINT_TORQUE`).

    Args:
        spec: a scene to which `add_fr3` has added the arm.
        rate_rad_s: natural frequency of the servos. 60 suits a time step of 2 ms.
    """
    _take_out_impedance(spec)
    for name, inertia in zip(fr3.JOINT_NAMES, _INERTIA, strict=True):
        kp, kd = inertia * rate_rad_s**2, 2.0 * inertia * rate_rad_s
        spec.add_actuator(
            name=name,
            trntype=mujoco.mjtTrn.mjTRN_JOINT,
            target=name,
            gaintype=mujoco.mjtGain.mjGAIN_FIXED,
            gainprm=[kp] + [0.0] * 9,
            biastype=mujoco.mjtBias.mjBIAS_AFFINE,
            biasprm=[0.0, -kp, -kd] + [0.0] * 7,
        )


def motor_joints(spec: mujoco.MjSpec) -> None:
    """Give every joint of an FR3 a motor in place of the impedance law.

    The actuators have the joints' names; their ctrl is a torque [N m] on top of what carries the
    arm's weight. Both together stay within `JOINT_TORQUE`. Viscous friction is taken out, as a
    controller that feeds joint torques back would.
    """
    _take_out_impedance(spec)
    for name in fr3.JOINT_NAMES:
        fr3.set_linear(spec.joint(name), "damping", 0.0)
        spec.add_actuator(
            name=name,
            trntype=mujoco.mjtTrn.mjTRN_JOINT,
            target=name,
            gaintype=mujoco.mjtGain.mjGAIN_FIXED,
            gainprm=[1.0] + [0.0] * 9,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServoDrive:
    """The FR3 with position servos, obeying joint deltas; it tells what `ImpedanceDrive` tells."""

    name: str = "fr3_sim_servo"
    joints: int = 7
    noise_size: int = 6

    def vectors(self, state: StateView, tare: Array, noise: Array) -> dict[str, Array]:
        """See `Drive.vectors`."""
        return ImpedanceDrive().vectors(state, tare, noise)

    def obey(self, ctrl: Array, state: StateView, values: Array) -> None:
        """Move the joints' targets to their measured positions plus the deltas."""
        ctrl[:, :7] = state.joint_position + values

    def hold(self, ctrl: Array, state: StateView) -> None:
        """Hold the measured joint positions."""
        ctrl[:, :7] = state.joint_position


def _take_out_impedance(spec: mujoco.MjSpec) -> None:
    for name in fr3.ACTUATORS:
        spec.delete(spec.actuator(name))
    # The spring that held the redundant joint beside the impedance law.
    for name in fr3.JOINT_NAMES:
        fr3.set_linear(spec.joint(name), "stiffness", 0.0)
