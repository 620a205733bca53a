"""What the robot's own controller hears: one writer for each kind of it.

| `controller` | topic | a command is | a hold is |
|---|---|---|---|
| `twist` | twist_controller/commands | velocity of the tcp, base frame | no velocity |
| `pose` | target_pose | pose of the tcp, base frame | the measured pose |
| `joint_velocity` | velocity_controller/commands | velocity of each joint [rad/s] | no velocity |

A gripper hears apart, on gripper/commands: one number, +1 open to -1 closed; nothing before
somebody has asked for something. Messages are named by their fields; not here: rclpy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from geometry_msgs.msg import PoseStamped, TwistStamped
from numpy.typing import NDArray
from std_msgs.msg import Float64MultiArray

from robot_rl.core.clock import NS_PER_S, Clock
from robot_rl.core.errors import ConfigError, did_you_mean
from robot_rl.core.geometry import pose_minus_pose, pose_plus_delta
from robot_rl.core.spec import ActionSpec
from robot_rl.core.types import Vector
from robot_rl_nodes import topic
from robot_rl_nodes.conversion import float64s, write_pose, write_twist
from robot_rl_nodes.topic import Topic

Array = NDArray[np.float64]

_REPEAT_S = 0.1
"""A gripper that has missed its command hears it again after so long."""


Stamper = Callable[[Any], None]
"""Writes the time and the base frame into a `std_msgs/Header`."""


class Writer(Protocol):
    """Turns the gate's motions into messages of a controller."""

    def write(self, step: Vector, measured: Vector | None) -> Any:
        """Return the message of one period.

        Args:
            step: float32[6 or joints], in SI units per period.
            measured: pose of the tcp float32[7]; None if it is not known now.
        """
        ...


class TwistWriter:
    """For Cartesian velocity controllers."""

    def __init__(self, period_s: float, stamp: Stamper) -> None:
        self._period_s = period_s
        self._stamp = stamp

    def write(self, step: Vector, measured: Vector | None) -> TwistStamped:
        """See `Writer.write`."""
        message = TwistStamped()
        self._stamp(message.header)
        write_twist(message.twist, step / self._period_s)
        return message


class PoseWriter:
    """For Cartesian impedance and position controllers: a reference that the motions move.

    It begins at the measured pose, and a hold takes it back there once: what is held against
    does not push on. It cannot run away from an arm that is held back.

    Args:
        leash_m, leash_rad: how far the reference may be from the arm. What an impedance
            controller may push with is its stiffness times this.
        stamp: for headers.
    """

    def __init__(self, leash_m: float, leash_rad: float, stamp: Stamper) -> None:
        self._leash = (leash_m, leash_rad)
        self._stamp = stamp
        self._reference: Array | None = None
        self._holds = False

    def write(self, step: Vector, measured: Vector | None) -> PoseStamped | None:
        """See `Writer.write`; None before the arm was ever measured."""
        holds = not step.any()
        known = None if measured is None else measured.astype(np.float64)
        if known is not None and (self._reference is None or (holds and not self._holds)):
            self._reference = known
        if self._reference is None:
            return None
        self._holds = holds
        if not holds:
            moved = pose_plus_delta(self._reference, step.astype(np.float64))
            self._reference = moved if known is None else self._leashed(moved, known)
        message = PoseStamped()
        self._stamp(message.header)
        write_pose(message.pose, self._reference)
        return message

    def _leashed(self, reference: Array, measured: Array) -> Array:
        ahead = pose_minus_pose(reference, measured)
        for part, most in zip((ahead[:3], ahead[3:]), self._leash, strict=True):
            part *= min(1.0, most / max(float(np.linalg.norm(part)), 1e-12))
        return pose_plus_delta(measured, ahead)


class JointWriter:
    """For joint velocity controllers."""

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s

    def write(self, step: Vector, measured: Vector | None) -> Float64MultiArray:
        """See `Writer.write`."""
        return Float64MultiArray(data=float64s(step / self._period_s))


class Gripper:
    """Says what the gripper is to do when that changes, and again every tenth of a second."""

    def __init__(self, scale: float, clock: Clock) -> None:
        self._scale = scale
        self._clock = clock
        self._said = 0.0
        self._said_ns = 0

    def write(self, value: float) -> Float64MultiArray | None:
        """Return what is to be published now, if anything.

        Args:
            value: the gate's, in SI units; 0 if nobody has asked for anything.
        """
        now_ns = self._clock.now_ns()
        wish = min(1.0, max(-1.0, value / self._scale))
        due = wish != self._said or now_ns - self._said_ns >= _REPEAT_S * NS_PER_S
        if wish == 0.0 or not due:
            return None
        self._said, self._said_ns = wish, now_ns
        return Float64MultiArray(data=float64s([wish]))


CONTROLLERS: dict[str, tuple[str, Topic]] = {
    "twist": ("tcp_delta", topic.TWIST_COMMAND),
    "pose": ("tcp_delta", topic.POSE_COMMAND),
    "joint_velocity": ("joint_delta", topic.JOINT_COMMAND),
}
"""Which actions each controller carries out, and where it hears them."""


def controller_topic(controller: str, action: ActionSpec) -> Topic:
    """Return where the controller hears.

    Raises:
        ConfigError: if there is no such controller, or it cannot carry out these actions.
    """
    if controller not in CONTROLLERS:
        raise ConfigError(f"controller {controller!r}{did_you_mean(controller, CONTROLLERS)}")
    kind, heard_on = CONTROLLERS[controller]
    if kind != action.kind:
        fit = [name for name, (own, _) in CONTROLLERS.items() if own == action.kind]
        raise ConfigError(
            f"controller {controller!r} carries out {kind}, the task's actions are {action.kind}; "
            f"expected one of: {', '.join(fit) or 'none there is'}"
        )
    return heard_on


def writer(controller: str, period_s: float, leash: Sequence[float], stamp: Stamper) -> Writer:
    """Return the writer for a controller; `leash` is its length in m and in rad."""
    if controller == "pose":
        return PoseWriter(leash[0], leash[1], stamp)
    return TwistWriter(period_s, stamp) if controller == "twist" else JointWriter(period_s)
