"""One tick of the gate's process: hear the robot and the commanders, decide, check, tell.

Whatever goes wrong in between, a command goes to the robot all the same; only the loss of the
robot itself ends the process. Not here: the schedule and the signals (`process`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robot_rl.control.arbiter import Arbiter, Decision
from robot_rl.control.rate import Tick
from robot_rl.control.safety import SafetyGate
from robot_rl.core.clock import NS_PER_S, Clock
from robot_rl.core.protocol import OperatorInput
from robot_rl.core.types import Command, GateReason, GateState, SafeAction, Source
from robot_rl.runtime.gate.message import Report, Resume, Stop
from robot_rl.runtime.gate.seam import Act, CommandDesk, RobotLink
from robot_rl.runtime.gate.seat import Party, Seat

STARTED = "the gate has just been started: look at the arm, then clear it in your name"
"""The cause of the STOP that every gate begins in."""

_WORDS = 300
_SETTLING_S = 0.1
_CLEARING_S = 1.0
"""A person's word is good for so long, if the robot cannot follow it at once."""


@dataclass(frozen=True, slots=True)
class _Clearing:
    by: str
    cause: str
    party: Party
    until_ns: int


class GateServer:
    """Owns the robot, hears everybody, obeys whoever sits in one of two seats.

    It begins in STOP: no arm moves before a person has looked at it.

    Args:
        gate: for the robot's actions as the gate plays them (`played`).
        arbiter: for the same.
        link: to the robot, owned.
        desk: where commanders come in, for their own actions.
        clock: the gate's.
    """

    def __init__(
        self, gate: SafetyGate, arbiter: Arbiter, link: RobotLink, desk: CommandDesk, clock: Clock
    ) -> None:
        self.gate = gate
        self._arbiter = arbiter
        self._link = link
        self._desk = desk
        self._clock = clock
        self._lease = gate.grant(*Source)
        self._clearing: _Clearing | None = None
        self._ticks = 0
        self._missed = 0
        self._by_person = False
        self._travel = np.zeros(gate.action.size)
        self._arm = gate.action.size - (gate.action.names[-1] == "gripper")
        self._share = gate.action.period_s / desk.action.period_s
        self._still_ticks = 0
        gate.stop(STARTED)

    def tick(self, tick: Tick) -> Report:
        """Do what is due in one period; returns what the commanders are told.

        Raises:
            HardwareError: if the robot cannot be heard or told any more.
        """
        stamp_ns = self._clock.now_ns()
        self._ticks += 1
        self._missed += tick.missed
        self._link.poll()
        for party, act in self._desk.hear():
            self.obey(party, act)
        self._watch(tick)
        decision = self._decide()
        self._by_person = decision.source == Source.HUMAN
        safe = self.gate.check(self._command(decision), self._link.sample.observation())
        self._link.move(safe)
        moves = safe.values[: self._arm].any()
        self._still_ticks = 0 if moves else self._still_ticks + 1
        report = self._report(stamp_ns, tick, decision, safe)
        self._desk.tell(report)
        return report

    def obey(self, party: Party, act: Act) -> None:
        """Follow what concerns the gate itself, or tell whoever wants it why not."""
        if isinstance(act, Stop):
            self.gate.stop(act.cause)
        elif isinstance(act, Resume):
            self._resume(party, act)
        elif self.gate.state < GateState.STOP:
            party.refuse("clear", "nothing is latched")
        elif act.cause != self._cause:
            party.refuse("clear", f"read the cause first; it is: {self._cause}")
        else:
            until_ns = self._clock.now_ns() + round(_CLEARING_S * NS_PER_S)
            self._clearing = _Clearing(act.by, self.gate.cause, party, until_ns)

    @property
    def at_rest(self) -> bool:
        """Whether the arm has been told to hold for long enough to have come to rest."""
        return self._still_ticks * self.gate.action.period_s > _SETTLING_S

    def _resume(self, party: Party, act: Resume) -> None:
        if self._arbiter.lost:
            party.refuse("resume", "whoever drove was lost: take their seat first")
            return
        self.gate.resume(act.by)
        self._arbiter.resume()

    def _watch(self, tick: Tick) -> None:
        """Notice what is amiss and what is over, apart from the commands themselves."""
        self._watch_robot()
        driving = self._desk.person if self._by_person else self._desk.actor
        if driving.overdue:
            # The arm slows before the loss is certain; it goes on by itself if it was none.
            self.gate.hold(GateReason.STALE_COMMAND, f"{driving.name} has not been heard lately")
        for seat in (self._desk.actor, self._desk.person):
            if loss := seat.loss:
                self._lose(seat, loss)
        if tick.missed > self.gate.limits.max_late_ticks:
            late = f"{tick.missed} ticks in a row were missed"
            self.gate.hold(GateReason.OVERRUN, late)

    def _watch_robot(self) -> None:
        fault, clearing = self._link.sample.fault, self._clearing
        if clearing is None:
            if fault:
                self.gate.stop(f"robot: {fault}")
        elif clearing.cause != self.gate.cause or self._clock.now_ns() > clearing.until_ns:
            clearing.party.refuse("clear", f"it is not over: {self._cause}")
            self._clearing = None
        elif fault:
            self._link.clear(clearing.by)
        else:
            self.gate.clear(clearing.by)
            self._clearing = None

    def _lose(self, seat: Seat, loss: str) -> None:
        """Somebody was lost: their lease ends, and the arm holds until a person says otherwise.

        Only a person who drives is not disturbed by the loss of the actor.
        """
        if seat is self._desk.person:
            self._arbiter.lose(loss)
        if seat is self._desk.person or not self._by_person:
            self.gate.hold(GateReason.PEER_LOST, loss)
        if seat.party is not None:
            seat.party.refuse("lease", loss)
        seat.leave()

    def _decide(self) -> Decision:
        person = self._desk.person
        said = None
        if person.party is not None:
            action = person.action
            rest = np.zeros(self.gate.action.size, np.float32)
            said = OperatorInput(
                active=action is not None, action=rest if action is None else action
            )
        return self._arbiter.decide(self._desk.actor.action, said)

    def _seat(self, source: Source) -> Seat | None:
        """Who sits behind a decision of the arbiter; None if nobody drives."""
        return {Source.POLICY: self._desk.actor, Source.HUMAN: self._desk.person}.get(source)

    def _command(self, decision: Decision) -> Command:
        seat = self._seat(decision.source)
        return Command(
            action=decision.action,
            issued_ns=seat.issued_ns if seat else self._clock.now_ns(),
            source=seat.source if seat else Source.HOLD,
            epoch=self._lease.epoch,
            sequence=self._ticks,
        )

    def _report(self, stamp_ns: int, tick: Tick, decision: Decision, safe: SafeAction) -> Report:
        executed = np.clip(self.gate.action.from_si(safe.values), -1.0, 1.0)
        self._travel += executed * self._share
        seat, sample = self._seat(decision.source), self._link.sample
        return Report(
            tick=self._ticks,
            stamp_ns=stamp_ns,
            state=self.gate.state,
            reason=safe.reason,
            cause=self._cause,
            source=seat.source if seat else Source.HOLD,
            intervening=decision.intervention_start,
            executed=tuple(executed.tolist()),
            travel=tuple(self._travel.tolist()),
            actor=self._desk.actor.heard,
            person=self._desk.person.heard,
            fault=sample.fault,
            late_s=tick.lateness_s,
            missed=self._missed,
            sample_ns=sample.stamp_ns,
            vectors=sample.vectors,
        )

    @property
    def _cause(self) -> str:
        """All that a person should know before the arm moves again."""
        cause, fault = self.gate.cause, self._link.sample.fault
        return (cause if fault in cause else f"{cause}; robot: {fault}")[:_WORDS]
