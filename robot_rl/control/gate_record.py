"""What the safety gate remembers of itself: its state, what led there, and counts."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass

from robot_rl.core.types import GateReason, GateState

_LOG = logging.getLogger(__name__)
_KEPT_EVENTS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class GateEvent:
    """One change of the gate's state."""

    stamp_ns: int
    before: GateState
    after: GateState
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GateCounts:
    """Counted since the gate was made.

    Args:
        checked: commands that were checked.
        refused: commands answered by a hold.
        holds: times that the gate went into HOLD.
        changed: commands refused or changed, by reason.
    """

    checked: int
    refused: int
    holds: int
    changed: Mapping[GateReason, int]


class GateRecord:
    """Keeps state, events and counts together. STOP and ESTOP leave only by `clear`."""

    def __init__(self) -> None:
        self.state = GateState.RUN
        self.cause = ""
        self.events: deque[GateEvent] = deque(maxlen=_KEPT_EVENTS)
        self._checked = 0
        self._refused = 0
        self._holds = 0
        self._changed = Counter[GateReason]()

    @property
    def latched(self) -> bool:
        """Whether only a person can get the gate to run again."""
        return self.state >= GateState.STOP

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

    def enter(self, state: GateState, reason: str, now_ns: int) -> None:
        """Change the state, unless it is that already or a latched one."""
        if not self.latched and state != self.state:
            self._move(state, reason, now_ns)

    def clear(self, reason: str, now_ns: int) -> None:
        """Leave a latched state; the next good command then runs."""
        if self.latched:
            self._move(GateState.HOLD, reason, now_ns)

    def _move(self, state: GateState, reason: str, now_ns: int) -> None:
        self.events.append(
            GateEvent(stamp_ns=now_ns, before=self.state, after=state, reason=reason)
        )
        level = logging.INFO if state == GateState.RUN else logging.WARNING
        _LOG.log(level, "gate: %s -> %s: %s", self.state.name, state.name, reason)
        self._holds += state == GateState.HOLD
        self.state = state
        self.cause = reason
