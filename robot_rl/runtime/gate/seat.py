"""Who may command: one seat for what acts by itself, one for a person. At most one sits in each.

Not here: which of the two drives (`control.arbiter`), and what may be driven (`control.safety`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from robot_rl.control.watchdog import Watchdog, watched
from robot_rl.core.clock import NS_PER_S, Clock
from robot_rl.core.types import GateReason, Source, Vector
from robot_rl.runtime.gate.message import Ask, Drive, as_vector


class Party(Protocol):
    """Whoever sits in a seat, or wants something of the gate; known by being the same object."""

    @property
    def closed(self) -> bool:
        """Whether it has gone for certain."""
        ...

    def refuse(self, what: str, why: str) -> None:
        """Tell it that what it asked for is not done, or not any more."""
        ...


class Seat:
    """Remembers who sits here, under which epoch, and what was last asked for.

    Whoever sits here is heard by any message and lost by silence, so that the loss is noticed in
    a tick within the limit of `control.watchdog.WATCHDOGS`; all times are of the gate's own clock.

    Args:
        clock: the gate's.
        action_s: how long one action of a commander lasts.
        tick_s: the gate's period: what is said waits for up to one, and so does a loss.

    Attributes:
        party: whoever sits here; None if nobody does.
        source: as which they command.
        heard: epoch and sequence of the newest command.
    """

    def __init__(self, clock: Clock, action_s: float, tick_s: float) -> None:
        self._clock = clock
        self._tick_s = tick_s
        self._action_ns = round(action_s * NS_PER_S)
        self.party: Party | None = None
        self.source = Source.HOLD
        self.name = ""
        self.heard = (0, 0)
        self.leave()

    def leave(self) -> None:
        """Nobody sits here any more."""
        self.party = None
        self._kind = ""
        self._action: Vector | None = None
        self._driven_ns = 0
        self._watchdog = Watchdog((), self._clock)
        self._limit_s = 0.0

    def take(self, party: Party, ask: Ask, epoch: int) -> None:
        """Let whoever asks sit here; commands of any other epoch are refused from now on."""
        self.leave()
        self.party, self.source, self.name = party, ask.source, ask.name
        self.heard = (epoch, 0)
        self._kind = ask.kind
        peer = watched(ask.kind, "gate")
        self._limit_s = peer.limit_s - 2.0 * self._tick_s
        self._watchdog = Watchdog((replace(peer, limit_s=self._limit_s),), self._clock)
        self.beat()

    def beat(self) -> None:
        """Whoever sits here was heard."""
        self._watchdog.beat(self._kind)

    def drive(self, party: Party, drive: Drive) -> GateReason:
        """Take a command into force if it is of this seat's lease and newer than the last.

        Returns:
            PASSED, LEASE or SEQUENCE. A command that is refused changes nothing: neither somebody
            without a lease nor a message that comes twice can stop whoever drives.
        """
        epoch, sequence = self.heard
        if party is not self.party or drive.epoch != epoch:
            return GateReason.LEASE
        if drive.sequence <= sequence:
            return GateReason.SEQUENCE
        self.heard = (epoch, drive.sequence)
        self._action = as_vector(drive.action) if drive.active else None
        self._driven_ns = self._clock.now_ns()
        return GateReason.PASSED

    @property
    def action(self) -> Vector | None:
        """The newest action float32[d], however old; None if nothing is wanted."""
        return self._action

    @property
    def issued_ns(self) -> int:
        """When what is in force was decided: an action is decided anew all through its period."""
        return min(self._clock.now_ns(), self._driven_ns + self._action_ns)

    @property
    def overdue(self) -> bool:
        """Whether a third of the silence that is borne has passed: time to slow down."""
        if self.party is None:
            return False
        return self._watchdog.silence_s(self._kind) > self._limit_s / 3.0

    @property
    def loss(self) -> str:
        """Why whoever sits here counts as lost, in words; empty if not."""
        if self.party is None:
            return ""
        if self.party.closed:
            return f"the connection of {self._kind} {self.name!r} has ended"
        return "; ".join(map(str, self._watchdog.lost()))
