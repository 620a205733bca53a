"""Bends one command until it keeps every limit of position, speed, acceleration, jerk and contact.

Pure: the motion so far comes in, the motion that follows goes out. No time and no refusals: those
are `safety`'s. First the wish is shaped by acceleration and speed, then by what guards positions
(contact, workspace, singularity, joints, distances); then the motion law brings it within jerk and
makes sure of a way to rest from it.

What guards a position or a contact goes before acceleration and jerk where it has to: an arm that
is not where its commands should have taken it is not carried farther out.
"""

from __future__ import annotations

from collections.abc import Sequence

from robot_rl.control.clearance import Clearances
from robot_rl.control.kinematics import SerialChain
from robot_rl.control.limits import SafetyLimits
from robot_rl.control.motion.bend import graver, is_bent
from robot_rl.control.motion.joint_space import JointSpace
from robot_rl.control.motion.law import Motion, MotionLaw
from robot_rl.control.motion.reading import Reading
from robot_rl.control.motion.stop_plan import Part
from robot_rl.control.motion.tcp_space import TcpSpace
from robot_rl.control.motion.view import Space
from robot_rl.control.motion.wish import Wish
from robot_rl.core.errors import ConfigError
from robot_rl.core.spec import ActionSpec
from robot_rl.core.types import GateReason


class Limiter:
    """Brings each command within the limits of its kind."""

    def __init__(self, space: Space, parts: Sequence[Part]) -> None:
        self._space = space
        self._wish = Wish(parts)
        self._law = MotionLaw(parts, self._wish)

    def rest(self) -> Motion:
        """The motion of an arm at rest."""
        return self._law.rest()

    def limit(
        self, wanted: Sequence[float], motion: Motion, reading: Reading
    ) -> tuple[Motion, GateReason]:
        """Return the motion that follows and the gravest reason for which it is not as wanted.

        Args:
            wanted: in SI units per period.
            motion: so far.
            reading: the arm as measured.
        """
        view = self._space.look(reading)
        wish, reason = self._wish.approach(wanted, motion.step)
        wish, cut = view.shape(wish)
        following, bent = self._law.follow(motion, wish, view)
        if not is_bent(following.step, wanted):
            return following, GateReason.PASSED
        return following, graver(reason, cut, bent)

    def brake(self, motion: Motion, reading: Reading | None) -> Motion:
        """Return the next motion on the way to rest.

        Args:
            motion: so far.
            reading: the arm as measured; None if that is not known.
        """
        braked = motion.braked()
        if reading is None or not any(braked.step):
            return braked
        return self._law.brake(motion, self._space.look(reading))[0]


def build_limiter(
    limits: SafetyLimits,
    action: ActionSpec,
    chain: SerialChain | None,
    clearances: Clearances | None,
) -> Limiter:
    """Return the limiter of an action space.

    Raises:
        ConfigError: if limits, action and chain are not of the same arm.
    """
    size = action.size - (action.names[-1] == "gripper")
    _check_arm(limits, action.kind, size, chain, clearances)
    t = action.period_s
    if action.kind == "tcp_delta":
        return Limiter(TcpSpace(limits, t, chain, clearances), _tcp_parts(limits, t))
    return Limiter(JointSpace(limits, t, chain, clearances), _joint_parts(limits, t))


def _tcp_parts(limits: SafetyLimits, t: float) -> list[Part]:
    return [
        Part(
            0,
            3,
            limits.max_tcp_speed_m_s * t,
            limits.max_tcp_acceleration_m_s2 * t**2,
            limits.max_tcp_jerk_m_s3 * t**3,
        ),
        Part(
            3,
            6,
            limits.max_tcp_angular_speed_rad_s * t,
            limits.max_tcp_angular_acceleration_rad_s2 * t**2,
            limits.max_tcp_angular_jerk_rad_s3 * t**3,
        ),
    ]


def _joint_parts(limits: SafetyLimits, t: float) -> list[Part]:
    rows = zip(
        limits.max_joint_velocity_rad_s,
        limits.max_joint_acceleration_rad_s2,
        limits.max_joint_jerk_rad_s3,
        strict=True,
    )
    return [Part(i, i + 1, v * t, a * t**2, j * t**3) for i, (v, a, j) in enumerate(rows)]


def _check_arm(
    limits: SafetyLimits,
    kind: str,
    size: int,
    chain: SerialChain | None,
    clearances: Clearances | None,
) -> None:
    joints = len(limits.joint_lower_rad)
    if kind == "opaque":
        raise ConfigError(
            "actions of kind 'opaque' come from imported data: what they would do to an arm is "
            "not known here, and no gate lets them through; expected tcp_delta or joint_delta"
        )
    if kind == "tcp_delta" and size != 6:
        raise ConfigError(
            f"tcp_delta has {size} elements besides the gripper, expected 6: translation [m] "
            "and rotation vector [rad]"
        )
    if kind == "tcp_delta" and clearances is not None and chain is None:
        raise ConfigError(
            "how a tcp delta changes the distances between bodies needs the arm's chain"
        )
    expected = size if kind == "joint_delta" else chain.joints if chain else joints
    for name, count in (("limits", joints), ("chain", chain.joints if chain else expected)):
        if count != expected:
            raise ConfigError(f"the {name} are of {count} joints, the arm has {expected}")
