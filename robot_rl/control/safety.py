"""The one gate that every command passes, whoever issued it; the only maker of `SafeAction`.

A functional limiter in front of the robot's own safety controller, which it does not replace.
What is out of the question is refused (`admission`); what is too much is bent (`limiter`).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping

import numpy as np

from robot_rl.control.admission import (
    Refusal,
    refuse_action,
    refuse_command_age,
    refuse_observation_age,
    refuse_vectors,
)
from robot_rl.control.gate_record import GateCounts, GateEvent, GateRecord
from robot_rl.control.kinematics import SerialChain
from robot_rl.control.limiter import JointLimiter, Limiter, Reading, TcpLimiter
from robot_rl.control.limits import SafetyLimits
from robot_rl.core.clock import Clock
from robot_rl.core.errors import ConfigError, ContractError
from robot_rl.core.spec import JOINT_POSITION, TCP_POSE, WRENCH, ActionSpec
from robot_rl.core.types import GateReason, GateState, Observation, SafeAction, Vector

__all__ = ["GateCounts", "GateEvent", "SafetyGate", "SafetyLimits"]

_STOP_FACTOR = 2.0
"""Multiple of the force and torque limits at which motion ends until a person has looked."""


class SafetyGate:
    """Turns a proposed normalised action into one that the robot may be given.

    Order of checks: shape and dtype, finite, observation whole and finite, latched state, age of
    the command, age of the observation; each of these refuses, and the answer is a hold. Then
    range, acceleration, speed, contact force, workspace and joints; these only bend the action.

    RUN turns into HOLD on a refusal or beyond the force limit, and back by itself with the next
    good command. STOP is latched: only `clear` with a person's name ends it. `stop` may be called
    from any thread and from a signal handler.

    Args:
        limits: of the cell.
        action: space of the actions that come; the last element is apart from all geometry if
            its name is `gripper`, and repeats its last safe value on a hold.
        clock: the control loop's own; ages are judged by nothing else.
        chain: the arm's kinematics; without it a tcp delta is not checked for joint limits, and
            a joint delta not for box and tcp speed.

    Raises:
        ConfigError: if limits, action and chain are not of the same arm.
    """

    def __init__(
        self, limits: SafetyLimits, action: ActionSpec, clock: Clock, chain: SerialChain | None
    ) -> None:
        self.action = action
        self.limits = limits
        self._clock = clock
        self._arm = action.size - (action.names[-1] == "gripper")
        _check_arm(limits, action.kind, self._arm, chain)
        self._limiter: Limiter
        if action.kind == "tcp_delta":
            self._limiter = TcpLimiter(limits, action.period_s, chain)
            self._needed = {TCP_POSE: 7} | ({JOINT_POSITION: chain.joints} if chain else {})
        else:
            self._limiter = JointLimiter(limits, action.period_s, chain)
            self._needed = {JOINT_POSITION: self._arm}
        self._record = GateRecord()
        self._lock = threading.RLock()
        self._last = [0.0] * self._arm
        self._gripper = [0.0] * (action.size - self._arm)

    @property
    def state(self) -> GateState:
        """RUN, HOLD, or a latched STOP or ESTOP."""
        return self._record.state

    @property
    def cause(self) -> str:
        """Why the gate is in the state it is in, in words for a person."""
        return self._record.cause

    @property
    def counts(self) -> GateCounts:
        """What the gate has done so far."""
        return self._record.counts

    @property
    def events(self) -> tuple[GateEvent, ...]:
        """The newest changes of state, oldest first."""
        return tuple(self._record.events)

    def check(self, action: Vector, observation: Observation, issued_ns: int) -> SafeAction:
        """Check one action. Always returns a command that the robot may be given.

        Args:
            action: float32[d], normalised.
            observation: the newest there is.
            issued_ns: when the action was decided, by this gate's clock.
        """
        with self._lock:
            now_ns = self._clock.now_ns()
            refusal = self._refuse(action, observation, issued_ns, now_ns)
            if refusal is None:
                refusal = self._stop_on_force(observation.vectors, now_ns)
            return self._hold(refusal, now_ns) if refusal else self._pass(action, observation)

    def reset(self) -> None:
        """Begin an episode: the arm is at rest. Never clears a latched STOP."""
        with self._lock:
            self._last = [0.0] * self._arm

    def stop(self, reason: str) -> None:
        """Latch STOP."""
        with self._lock:
            self._record.enter(GateState.STOP, reason, self._clock.now_ns())

    def clear(self, by: str) -> None:
        """End a latched STOP; the next good command then runs.

        Args:
            by: name of the person who has looked at the arm and at `cause`.

        Raises:
            ContractError: if nobody is named.
        """
        if not by.strip():
            raise ContractError("a latched stop is cleared by a named person; got no name")
        with self._lock:
            self._last = [0.0] * self._arm
            self._record.clear(f"cleared by {by}", self._clock.now_ns())

    def _refuse(
        self, action: Vector, observation: Observation, issued_ns: int, now_ns: int
    ) -> Refusal | None:
        if refusal := refuse_action(action, self.action.size):
            return refusal
        if refusal := refuse_vectors(observation.vectors, self._needed):
            return refusal
        if self._record.latched:
            return GateReason.NOT_RUNNING, self._record.cause
        if refusal := refuse_command_age(now_ns - issued_ns, self.limits.max_command_age_s):
            return refusal
        return refuse_observation_age(observation, now_ns, self.limits.max_observation_age_s)

    def _stop_on_force(self, vectors: Mapping[str, Vector], now_ns: int) -> Refusal | None:
        if WRENCH not in vectors:
            return None
        force_n, torque_n_m = _norms(vectors[WRENCH])
        worst = max(force_n / self.limits.max_force_n, torque_n_m / self.limits.max_torque_n_m)
        if worst <= _STOP_FACTOR:
            return None
        cause = f"contact of {force_n:.1f} N, {torque_n_m:.2f} N m"
        self._record.enter(GateState.STOP, cause, now_ns)
        return GateReason.FORCE, cause

    def _hold(self, refusal: Refusal, now_ns: int) -> SafeAction:
        reason, detail = refusal
        self._record.enter(GateState.HOLD, f"{reason.name}: {detail}", now_ns)
        self._record.count(reason, refused=True)
        return self._make([0.0] * self._arm, reason, changed=True)

    def _pass(self, action: Vector, observation: Observation) -> SafeAction:
        clipped = np.minimum(np.maximum(action, np.float32(-1)), np.float32(1))
        wanted: list[float] = self.action.to_si(clipped).tolist()
        out_of_range = bool((clipped != action).any())
        reading = self._read(observation.vectors)
        delta, reason = self._limiter.limit(wanted[: self._arm], self._last, reading)
        if reason == GateReason.PASSED and out_of_range:
            reason = GateReason.RANGE
        pressed = reading.force is not None
        self._record.enter(
            GateState.HOLD if pressed else GateState.RUN,
            "FORCE: contact beyond the limit" if pressed else "commands are good",
            self._clock.now_ns(),
        )
        if self._record.latched:
            # A signal handler on this very thread pressed stop while the action was checked.
            return self._hold((GateReason.NOT_RUNNING, self._record.cause), self._clock.now_ns())
        self._record.count(reason, refused=False)
        self._gripper = wanted[self._arm :]
        return self._make(delta, reason, changed=reason != GateReason.PASSED)

    def _read(self, vectors: Mapping[str, Vector]) -> Reading:
        force = None
        if WRENCH in vectors:
            force_n, torque_n_m = _norms(vectors[WRENCH])
            beyond = (force_n > self.limits.max_force_n, torque_n_m > self.limits.max_torque_n_m)
            if any(beyond):
                force = (vectors[WRENCH] * np.repeat(beyond, 3)).tolist()
        tcp, q = (
            vectors[key].tolist() if key in self._needed else None
            for key in (TCP_POSE, JOINT_POSITION)
        )
        return Reading(tcp=tcp, q=q, force=force)

    def _make(self, delta: list[float], reason: GateReason, *, changed: bool) -> SafeAction:
        self._last = delta
        values = np.array([*delta, *self._gripper], np.float32)
        return SafeAction(values=values, state=self.state, reason=reason, changed=changed)


def _norms(wrench: Vector) -> tuple[float, float]:
    fx, fy, fz, tx, ty, tz = wrench.tolist()
    return math.hypot(fx, fy, fz), math.hypot(tx, ty, tz)


def _check_arm(limits: SafetyLimits, kind: str, size: int, chain: SerialChain | None) -> None:
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
    expected = size if kind == "joint_delta" else chain.joints if chain else joints
    for name, count in (("limits", joints), ("chain", chain.joints if chain else expected)):
        if count != expected:
            raise ConfigError(f"the {name} are of {count} joints, the arm has {expected}")
