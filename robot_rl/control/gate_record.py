"""What the safety gate remembers of itself: its state, what led there, and counts."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass

from robot_rl.control.admission import Refusal
from robot_rl.core.types import GateReason, GateState

_LOG = logging.getLogger(__name__)
_KEPT_EVENTS = 1000
_PASSING = frozenset(
    {
        GateReason.STALE_COMMAND,
        GateReason.STALE_OBSERVATION,
        GateReason.FROZEN,
        GateReason.OVERRUN,
    }
)
"""Reasons of a hold that ends by itself, once commands and observations are fresh again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateEvent:
    """One change of the gate's state, or of what a hold waits for."""

    stamp_ns: int
    before: GateState
    after: GateState
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GateCounts:
    """Counted since the gate was made.

    Args:
        checked: commands that were checked.
        refused: commands answered on the way to rest, or at rest.
        holds: times that the gate went into HOLD.
        changed: commands refused or changed, by reason.
    """

    checked: int
    refused: int
    holds: int
    changed: Mapping[GateReason, int]


class GateRecord:
    """Keeps state, events and counts together. STOP and ESTOP leave only by `clear`.

    What is latched is kept apart from RUN and HOLD, so that a signal handler that stops the gate
    in the middle of a change between those two is never overruled.

    Args:
        fresh_samples: good commands in a row that end a hold for staleness.
    """

    def __init__(self, fresh_samples: int) -> None:
        self.events: deque[GateEvent] = deque(maxlen=_KEPT_EVENTS)
        self._needed = fresh_samples
        self._now = _Standing(GateState.RUN, "", GateReason.NOT_RUNNING)
        self._latch: _Standing | None = None
        self._fresh = 0
        self._waits_for_person = False
        self._unanswered = False
        self._checked = 0
        self._refused = 0
        self._holds = 0
        self._changed = Counter[GateReason]()

    @property
    def state(self) -> GateState:
        """The gate's state."""
        return self._standing.state

    @property
    def cause(self) -> str:
        """What led there, in words for a person."""
        return self._standing.cause

    @property
    def latched(self) -> bool:
        """Whether only a person can get the gate to run again."""
        return self._latch is not None

    @property
    def counts(self) -> GateCounts:
        """The counts so far."""
        return GateCounts(
            checked=self._checked,
            refused=self._refused,
            holds=self._holds,
            changed=dict(self._changed),
        )

    def count(self, reason: GateReason, *, refused: bool) -> None:
        """Count one checked command."""
        self._checked += 1
        self._refused += refused
        if reason != GateReason.PASSED:
            self._changed[reason] += 1

    def admit(self, now_ns: int) -> Refusal | None:
        """Refuse a command that is good in itself, as long as the state asks for it.

        Where it does not, the gate runs from now on.
        """
        if self.state == GateState.RUN:
            return None
        if self.latched or self._waits_for_person or self._unanswered:
            self._unanswered = False
            return self._standing.answer, self.cause
        self._fresh += 1
        if self._fresh < self._needed:
            return GateReason.RESUMING, f"{self._fresh} of {self._needed} good commands"
        self.run("commands are good", now_ns)
        return None

    def refuse(self, reason: GateReason, detail: str, now_ns: int) -> None:
        """Hold because of a command or an observation."""
        self._hold(reason, detail, GateReason.NOT_RUNNING, now_ns)

    def hold(self, reason: GateReason, detail: str, now_ns: int) -> None:
        """Hold because somebody outside says so; the next command at least is refused for it."""
        self._hold(reason, detail, reason, now_ns)
        self._unanswered = True

    def run(self, why: str, now_ns: int) -> None:
        """End a hold, whatever it waits for."""
        if self._now.state == GateState.HOLD:
            self._become(_Standing(GateState.RUN, why, GateReason.NOT_RUNNING), now_ns)

    def latch(self, state: GateState, cause: str, answer: GateReason, now_ns: int) -> None:
        """Enter STOP or ESTOP; what is asked then is refused with `answer`."""
        if self.state < state:
            before, self._latch = self.state, _Standing(state, cause, answer)
            self._tell(before, self._latch, now_ns)

    def clear(self, why: str, now_ns: int) -> None:
        """Leave a latched state; the next good command then runs."""
        if self._latch is None:
            return
        before, self._latch = self.state, None
        self._now = _Standing(GateState.HOLD, why, GateReason.NOT_RUNNING)
        self._waits_for_person = self._unanswered = False
        self._fresh = self._needed - 1
        self._tell(before, self._now, now_ns)

    @property
    def _standing(self) -> _Standing:
        return self._latch or self._now

    def _hold(self, reason: GateReason, detail: str, answer: GateReason, now_ns: int) -> None:
        waits = reason not in _PASSING
        if self._now.state == GateState.RUN or waits > self._waits_for_person:
            held = _Standing(GateState.HOLD, f"{reason.name}: {detail}", answer)
            self._become(held, now_ns)
        self._fresh = 0
        self._waits_for_person |= waits

    def _become(self, standing: _Standing, now_ns: int) -> None:
        before, self._now = self.state, standing
        self._waits_for_person = self._unanswered = False
        self._fresh = 0
        if not self.latched:
            self._tell(before, standing, now_ns)

    def _tell(self, before: GateState, after: _Standing, now_ns: int) -> None:
        self.events.append(
            GateEvent(stamp_ns=now_ns, before=before, after=after.state, reason=after.cause)
        )
        level = logging.INFO if after.state == GateState.RUN else logging.WARNING
        _LOG.log(level, "gate: %s -> %s: %s", before.name, after.state.name, after.cause)
        self._holds += after.state == GateState.HOLD != before


@dataclass(frozen=True, slots=True)
class _Standing:
    """A state, what led there, and what commands are refused with in it."""

    state: GateState
    cause: str
    answer: GateReason
