"""Bends one delta until it keeps every limit of position, speed, acceleration and contact.

Pure arithmetic in SI units and plain floats: no time, no state, no refusals (those are
`safety`'s). The order inside is such that no later limit undoes an earlier one: whatever comes
after the acceleration limit only makes the motion smaller, for a stop is always allowed. A limit
that guards a position (contact, box, joint) may therefore brake harder than the acceleration
limit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from robot_rl.control.clearance import (
    ROUNDING,
    factor_within,
    joint_room,
    workspace_room,
)
from robot_rl.control.kinematics import SerialChain
from robot_rl.control.limits import SafetyLimits
from robot_rl.core.errors import ContractError
from robot_rl.core.geometry import quat_rotate
from robot_rl.core.types import GateReason

_DAMPING = 0.005
"""Damping of the pseudo-inverse [m/rad]: bounds the predicted joint speed at singularities."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the limiter needs to know of the arm, checked for shape and finiteness.

    Args:
        tcp: 7 numbers, position [m] and quaternion xyzw in the base frame; None if unknown.
        q: n joint positions [rad]; None if unknown.
        force: 6 numbers, the environment's force [N] and torque [N m] on the tool in the tcp
            frame, with zeros for what is within its limit; None if both are.
    """

    tcp: list[float] | None
    q: list[float] | None
    force: list[float] | None


class Limiter(Protocol):
    """One per kind of action."""

    def limit(
        self, delta: list[float], last: list[float], reading: Reading
    ) -> tuple[list[float], GateReason]:
        """Return the delta within all limits and the gravest reason for which it was changed.

        Args:
            delta: asked for, in SI units per period.
            last: the command before.
            reading: the arm as measured.

        Raises:
            ContractError: if the reading lacks what this kind of action cannot do without.
        """
        ...


class TcpLimiter:
    """Limits a tcp delta: translation [m] and rotation vector [rad] in the base frame.

    Joint limits need the chain: joint velocities are predicted by the damped pseudo-inverse
    (Nakamura and Hanafusa 1986) and the whole delta is slowed, which keeps its direction.
    """

    def __init__(self, limits: SafetyLimits, period_s: float, chain: SerialChain | None) -> None:
        self._box = workspace_room(limits, period_s)
        self._joints = joint_room(limits, period_s)
        self._joint_steps = [v * period_s for v in limits.max_joint_velocity_rad_s]
        self._chain = chain
        self._steps = _tcp_steps(limits, period_s)
        self._changes = (
            limits.max_tcp_acceleration_m_s2 * period_s**2,
            limits.max_tcp_angular_acceleration_rad_s2 * period_s**2,
        )

    def limit(
        self, delta: list[float], last: list[float], reading: Reading
    ) -> tuple[list[float], GateReason]:
        """See `Limiter.limit`; cannot do without the tcp pose."""
        if reading.tcp is None:
            raise ContractError("a tcp delta cannot be limited without the measured tcp pose")
        move, move_reason = self._limit_motion(delta[:3], last[:3], 0)
        turn, turn_reason = self._limit_motion(delta[3:], last[3:], 1)
        reason = move_reason or turn_reason
        force = None if reading.force is None else _in_base(reading.force, reading.tcp)
        pressed = False
        if force is not None:
            move, pressed_on = _give_way(move, force[:3])
            turn, twisted_on = _give_way(turn, force[3:])
            pressed = pressed_on or twisted_on
        move, outside = self._box.clip(move, reading.tcp[:3])
        if outside:
            reason = GateReason.WORKSPACE
            # Cutting one axis may have turned a sliding motion into a pressing one.
            if force is not None and _give_way(move, force[:3])[1]:
                move = [0.0, 0.0, 0.0]
        delta = move + turn
        if self._chain is not None and reading.q is not None:
            factor = self._joint_factor(self._chain, delta, reading.q)
            if factor < 1.0:
                delta = [factor * x for x in delta]
                reason = GateReason.JOINT_LIMIT
        return delta, GateReason.FORCE if pressed else reason

    def _limit_motion(
        self, step: list[float], last: list[float], part: int
    ) -> tuple[list[float], GateReason]:
        """Limit acceleration, then speed, of translation (part 0) or rotation (part 1)."""
        reason = GateReason.PASSED
        change = [s - b for s, b in zip(step, last, strict=True)]
        if (factor := factor_within(math.hypot(*change), self._changes[part])) < 1.0:
            step = [b + factor * c for b, c in zip(last, change, strict=True)]
            reason = GateReason.ACCELERATION
        if (factor := factor_within(math.hypot(*step), self._steps[part])) < 1.0:
            step = [factor * s for s in step]
            reason = GateReason.VELOCITY
        return step, reason

    def _joint_factor(self, chain: SerialChain, delta: list[float], q: list[float]) -> float:
        jacobian = chain.jacobian(q)
        gram = jacobian @ jacobian.T
        gram.flat[::7] += _DAMPING**2
        joint_step: list[float] = (jacobian.T @ np.linalg.solve(gram, delta)).tolist()
        fastest = min(
            factor_within(abs(s), most)
            for s, most in zip(joint_step, self._joint_steps, strict=True)
        )
        return min(fastest, self._joints.factor(joint_step, q))


class JointLimiter:
    """Limits a joint delta [rad] joint by joint.

    With a chain the tcp's box, speed and contact are kept as well, by slowing the whole delta.
    Without one a force beyond its limit stops the arm, for nobody knows which way is out.
    """

    def __init__(self, limits: SafetyLimits, period_s: float, chain: SerialChain | None) -> None:
        self._box = workspace_room(limits, period_s)
        self._joints = joint_room(limits, period_s)
        self._joint_steps = [v * period_s for v in limits.max_joint_velocity_rad_s]
        self._changes = [a * period_s**2 for a in limits.max_joint_acceleration_rad_s2]
        self._chain = chain
        self._steps = _tcp_steps(limits, period_s)

    def limit(
        self, delta: list[float], last: list[float], reading: Reading
    ) -> tuple[list[float], GateReason]:
        """See `Limiter.limit`; cannot do without the joint positions."""
        if reading.q is None:
            raise ContractError("a joint delta cannot be limited without the joint positions")
        reason = GateReason.PASSED
        change = [s - b for s, b in zip(delta, last, strict=True)]
        change, changed = _clip(change, self._changes)
        if changed:
            reason = GateReason.ACCELERATION
            delta = [b + c for b, c in zip(last, change, strict=True)]
        delta, changed = _clip(delta, self._joint_steps)
        reason = GateReason.VELOCITY if changed else reason
        delta, changed = self._joints.clip(delta, reading.q)
        reason = GateReason.JOINT_LIMIT if changed else reason
        if self._chain is not None:
            factor, why = self._tcp_factor(self._chain, delta, reading.q, reading.force)
        else:
            factor, why = 1.0, GateReason.PASSED
            if reading.force is not None:
                factor, why = 0.0, GateReason.FORCE
        return [factor * x for x in delta], reason if why == GateReason.PASSED else why

    def _tcp_factor(
        self, chain: SerialChain, delta: list[float], q: list[float], force: list[float] | None
    ) -> tuple[float, GateReason]:
        tcp: list[float] = chain.forward(q).tolist()
        motion: list[float] = (chain.jacobian(q) @ delta).tolist()
        move, turn = motion[:3], motion[3:]
        if force is not None:
            in_base = _in_base(force, tcp)
            if _give_way(move, in_base[:3])[1] or _give_way(turn, in_base[3:])[1]:
                return 0.0, GateReason.FORCE
        return min(
            (1.0, GateReason.PASSED),
            (factor_within(math.hypot(*move), self._steps[0]), GateReason.VELOCITY),
            (factor_within(math.hypot(*turn), self._steps[1]), GateReason.VELOCITY),
            (self._box.factor(move, tcp[:3]), GateReason.WORKSPACE),
        )


def _tcp_steps(limits: SafetyLimits, period_s: float) -> tuple[float, float]:
    """Greatest translation [m] and rotation [rad] of one period."""
    return limits.max_tcp_speed_m_s * period_s, limits.max_tcp_angular_speed_rad_s * period_s


def _in_base(wrench: list[float], tcp: list[float]) -> list[float]:
    """Turn force and torque from the tcp frame into the base frame."""
    return quat_rotate(np.array(tcp[3:]), np.array(wrench).reshape(2, 3)).ravel().tolist()


def _give_way(step: list[float], force: list[float]) -> tuple[list[float], bool]:
    """Take from a step what presses against a force; return also whether any did."""
    norm = math.hypot(*force)
    along = sum(s * f for s, f in zip(step, force, strict=True)) / norm if norm > 0.0 else 0.0
    if along >= -ROUNDING:
        return step, False
    return [s - along * f / norm for s, f in zip(step, force, strict=True)], True


def _clip(step: list[float], most: list[float]) -> tuple[list[float], bool]:
    """Clip each element to +-most; return also whether that took away more than rounding."""
    clipped = [max(-m, min(m, s)) for s, m in zip(step, most, strict=True)]
    changed = any(abs(s) > m + ROUNDING for s, m in zip(step, most, strict=True))
    return clipped, changed
