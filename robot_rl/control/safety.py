"""The one gate that every command passes, whoever issued it; the only maker of `SafeAction`.

A functional limiter in front of the robot's own safety controller, which it does not replace.
What is out of the question is refused (`permission`, `admission`, `continuity`); what is too much
is bent (`limiter`).
"""

from __future__ import annotations

import threading

import numpy as np

from robot_rl.control.admission import (
    Refusal,
    refuse_command,
    refuse_command_age,
    refuse_observation,
    refuse_observation_age,
)
from robot_rl.control.clearance import Clearances
from robot_rl.control.continuity import Continuity
from robot_rl.control.gate_record import GateCounts, GateEvent, GateRecord
from robot_rl.control.kinematics import SerialChain
from robot_rl.control.limiter import build_limiter
from robot_rl.control.limits import SafetyLimits
from robot_rl.control.motion.reading import Reading, read
from robot_rl.control.permission import Permission
from robot_rl.core.clock import NS_PER_S, Clock
from robot_rl.core.errors import ContractError
from robot_rl.core.spec import JOINT_POSITION, TCP_POSE, ActionSpec
from robot_rl.core.types import (
    Command,
    GateReason,
    GateState,
    Lease,
    Observation,
    SafeAction,
    Source,
    Vector,
)

__all__ = ["GateCounts", "GateEvent", "SafetyGate", "SafetyLimits"]

_STOP_FACTOR = 2.0
"""Multiple of the force and torque limits at which motion ends until a person has looked."""


class SafetyGate:
    """Turns a proposed normalised action into one that the robot may be given.

    Order of checks: shape and dtype, finite, lease and mode and sequence, age, latched state; each
    of these refuses. Then range, acceleration, speed, contact force, workspace, singularity,
    joints, distances, jerk; these only bend the action, and beyond twice the force limit latch
    STOP. What each reason means is in the folder's README.

    A refusal turns RUN into HOLD. The arm is then brought to rest within acceleration and jerk,
    and held where it is measured. A HOLD for staleness ends after some good commands in a row,
    any other by `resume` with a person's name, by `reset` or by a new lease. STOP and ESTOP are
    latched: only `clear` with a person's name ends them.

    Every method may be called from any thread, `stop` and `estop` from a signal handler too.

    Args:
        limits: of the cell.
        action: space of the actions that come; the last element is apart from all geometry if
            its name is `gripper`, and repeats its last safe value on a refusal.
        clock: the control loop's own; ages are judged by nothing else.
        chain: the arm's kinematics; without it a tcp delta is not checked for joint limits and
            singularities, and a joint delta not for workspace and tcp speed.
        collision: knows which bodies come close to each other; None if nothing does.

    Raises:
        ConfigError: if limits, action and chain are not of the same arm.
    """

    def __init__(
        self,
        limits: SafetyLimits,
        action: ActionSpec,
        clock: Clock,
        chain: SerialChain | None,
        collision: Clearances | None = None,
    ) -> None:
        self.action = action
        self.limits = limits
        self._clock = clock
        self._arm = action.size - (action.names[-1] == "gripper")
        self._limiter = build_limiter(limits, action, chain, collision)
        if action.kind == "tcp_delta":
            self._needed = {TCP_POSE: 7} | ({JOINT_POSITION: chain.joints} if chain else {})
        else:
            self._needed = {JOINT_POSITION: self._arm}
        self._scale = np.asarray(action.scale, np.float32)
        self._permission = Permission()
        self._continuity = Continuity(limits, action.period_s)
        self._record = GateRecord(limits.fresh_samples_to_resume)
        self._lock = threading.RLock()
        self._motion = self._limiter.rest()
        self._checked_ns: int | None = None
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

    def grant(self, *sources: Source) -> Lease:
        """Let these sources command from now on, and nobody else; ends a HOLD.

        Raises:
            ContractError: if nobody is named.
        """
        with self._lock:
            lease = self._permission.grant(*sources)
            who = ", ".join(source.name for source in sources)
            self._record.run(f"lease {lease.epoch} for {who}", self._clock.now_ns())
            return lease

    def check(self, command: Command, observation: Observation) -> SafeAction:
        """Check one command. Always returns what the robot may be given, whatever comes in.

        Args:
            command: asks for motion.
            observation: the newest there is.
        """
        with self._lock:
            now_ns = self._clock.now_ns()
            self._catch_up(now_ns)
            reading, refusal = self._admit(command, observation, now_ns)
            if refusal is None and reading is not None:
                return self._pass(command, reading, now_ns)
            return self._brake(refusal, reading)

    def reset(self) -> None:
        """Begin an episode: the arm is at rest, wherever it was put. Never clears STOP."""
        with self._lock:
            self._motion = self._limiter.rest()
            self._checked_ns = None
            self._continuity.reset()
            self._record.run("a new episode", self._clock.now_ns())

    def resume(self, by: str) -> None:
        """End a HOLD; the next good command then runs. Does nothing to a STOP.

        Args:
            by: name of the person who has looked at `cause`.

        Raises:
            ContractError: if nobody is named.
        """
        _check_name(by, "a hold is ended")
        with self._lock:
            self._record.run(f"resumed by {by}", self._clock.now_ns())

    def hold(self, reason: GateReason, detail: str) -> None:
        """Refuse from the next command on, for a reason that only somebody outside can see.

        For STALE_COMMAND, STALE_OBSERVATION, FROZEN and OVERRUN the hold ends by itself, unless
        it is called again.

        Args:
            reason: one that refuses.
            detail: in words for a person.

        Raises:
            ContractError: if the reason is not one that refuses.
        """
        if not reason.refuses:
            raise ContractError(f"a hold needs a reason that refuses; got {reason.name}")
        with self._lock:
            self._record.hold(reason, detail, self._clock.now_ns())

    def stop(self, cause: str, reason: GateReason = GateReason.NOT_RUNNING) -> None:
        """Latch STOP.

        Args:
            cause: in words for a person.
            reason: what commands are refused with until a person clears it.
        """
        with self._lock:
            self._record.latch(GateState.STOP, cause, reason, self._clock.now_ns())

    def estop(self, cause: str) -> None:
        """Latch ESTOP: somebody has pressed the emergency stop."""
        with self._lock:
            now_ns = self._clock.now_ns()
            self._record.latch(GateState.ESTOP, cause, GateReason.NOT_RUNNING, now_ns)

    def clear(self, by: str) -> None:
        """End a latched STOP or ESTOP; the next good command then runs.

        Args:
            by: name of the person who has looked at the arm and at `cause`.

        Raises:
            ContractError: if nobody is named.
        """
        _check_name(by, "a latched stop is cleared")
        with self._lock:
            self._record.clear(f"cleared by {by}", self._clock.now_ns())

    def _admit(
        self, command: Command, observation: Observation, now_ns: int
    ) -> tuple[Reading | None, Refusal | None]:
        """Return the arm as measured, unless that is not known, and what there is to refuse."""
        malformed = refuse_command(command, self.action.size)
        blind = refuse_observation(observation, self._needed)
        reading, late = (None, None) if blind else self._look(observation, now_ns)
        refusal = (
            malformed
            or blind
            or self._permission.refuse(command)
            or refuse_command_age(now_ns - command.issued_ns, self.limits.max_command_age_s)
            or late
        )
        if refusal:
            self._record.refuse(*refusal, now_ns)
        if reading is None:
            return None, refusal
        if reading.contact > _STOP_FACTOR and not self._record.latched:
            cause = "contact of {:.1f} N, {:.2f} N m".format(*reading.touch)
            self._record.latch(GateState.STOP, cause, GateReason.NOT_RUNNING, now_ns)
            return reading, (GateReason.FORCE, cause)
        return reading, refusal or self._record.admit(now_ns)

    def _look(
        self, observation: Observation, now_ns: int
    ) -> tuple[Reading | None, Refusal | None]:
        """Return what a well-formed observation says of the arm, or why that cannot be so now."""
        most_s = self.limits.max_observation_age_s
        if late := refuse_observation_age(observation, now_ns, most_s):
            return None, late
        reading = read(observation.vectors, self._needed, self.limits)
        if jumped := self._continuity.refuse(reading, observation.stamp_ns):
            return None, jumped
        return reading, None

    def _catch_up(self, now_ns: int) -> None:
        """Count the periods without a check as braked: a command holds for one period only."""
        if self._checked_ns is not None:
            since_s = (now_ns - self._checked_ns) / NS_PER_S
            missed = round(since_s / self.action.period_s) - 1
            self._motion = self._motion.braked(max(0, missed))
        self._checked_ns = now_ns

    def _pass(self, command: Command, reading: Reading, now_ns: int) -> SafeAction:
        clipped, out_of_range = _clip(command.action)
        wanted: list[float] = (clipped * self._scale).tolist()
        motion, reason = self._limiter.limit(wanted[: self._arm], self._motion, reading)
        if self._record.latched:
            # A signal handler on this very thread pressed stop while the command was checked.
            return self._brake(self._record.admit(now_ns), reading)
        if reason == GateReason.PASSED and out_of_range:
            reason = GateReason.RANGE
        self._record.count(reason, refused=False)
        self._motion = motion
        self._gripper = wanted[self._arm :]
        return self._make(reason, changed=reason != GateReason.PASSED)

    def _brake(self, refusal: Refusal | None, reading: Reading | None) -> SafeAction:
        reason = refusal[0] if refusal else GateReason.NOT_RUNNING
        self._record.count(reason, refused=True)
        self._motion = self._limiter.brake(self._motion, reading)
        return self._make(reason, changed=True)

    def _make(self, reason: GateReason, *, changed: bool) -> SafeAction:
        values = np.array([*self._motion.step, *self._gripper], np.float32)
        return SafeAction(values=values, state=self.state, reason=reason, changed=changed)


def _clip(action: Vector) -> tuple[Vector, bool]:
    """Clip to [-1, 1]; return also whether anything was beyond."""
    asked: list[float] = action.tolist()
    if max(map(abs, asked)) <= 1.0:
        return action, False
    return np.clip(action, -1.0, 1.0), True


def _check_name(by: str, what: str) -> None:
    if not by.strip():
        raise ContractError(f"{what} by a named person; got no name")
