"""Seats as services, commands as topics: where the gate's commanders come in.

Anybody in a ROS graph may publish anything, so a command is known by the epoch of its seat: the
upper half of its `seq`. What carries another disturbs nobody. Whoever sits in a seat is lost by
silence, by the monotonic clock; what the middleware notices may only end it sooner.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from robot_rl.core.clock import NS_PER_S, Clock
from robot_rl.core.errors import ContractError
from robot_rl.core.spec import ActionSpec
from robot_rl.core.types import GateReason, Source
from robot_rl.runtime.gate.desk import ACTORS, PERSONS
from robot_rl.runtime.gate.message import Ask, Drive, PeerKind, Report
from robot_rl.runtime.gate.seam import Act
from robot_rl.runtime.gate.seat import Party, Seat

KINDS = {"tcp_delta": 0, "joint_delta": 1}
"""`ActionStamped.KIND_*` of each kind of action."""
MEANS: Mapping[int, PeerKind] = {0: "device", 1: "page"}
"""`SetControlSource.means` of each kind of person."""
FIRST_WORD_S = 0.5
"""Whoever has just been given a seat has so long for their first word."""

_HALF = 32
_LOW = (1 << _HALF) - 1
_LOG = logging.getLogger(__name__)


class Asker:
    """Whoever wants something (implements `runtime.gate.seat.Party`).

    Attributes:
        closed: they have gone for certain.
        refusal: why what they wanted is not done; empty if it is.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.closed = False
        self.refusal = ""

    def refuse(self, what: str, why: str) -> None:
        """See `Party.refuse`."""
        self.refusal = why
        _LOG.warning("%s: %s refused: %s", self.name, what, why)


@dataclass(slots=True, kw_only=True)
class Entrance:
    """A topic of commands, and the seat that they are for.

    Args:
        topic: its name.
        seat: of whoever commands there.
        kind: as what they are watched.
        sources: as what they may command.
        alive: publishers of the topic that have spoken lately.
        complaint: why the newest command was not obeyed; empty if it was.
        heard: the seat's lease has been used.
    """

    topic: str
    seat: Seat
    kind: PeerKind
    sources: frozenset[Source]
    alive: int = 1
    complaint: str = ""
    heard: bool = True
    until_ns: int = 0
    holder: Asker = field(default_factory=lambda: Asker("nobody"))


class TopicDesk:
    """Implements `runtime.gate.seam.CommandDesk` for commanders of ROS.

    Args:
        action: of the commanders.
        period_s: of the gate.
        most_s: age of a new command that is borne.
        time_of: monotonic time of a header's stamp [ns].
        clock: the gate's.
        epoch: of the last lease of any gate before: those of this one follow it.
        told: called with the report of every tick.

    Attributes:
        actors, persons: the entrances.
    """

    def __init__(
        self,
        action: ActionSpec,
        period_s: float,
        most_s: float,
        time_of: Callable[[Any], int],
        clock: Clock,
        epoch: int,
        told: Callable[[Report], None],
        topics: tuple[str, str] = ("policy/action", "teleop/action"),
    ) -> None:
        self.action = action
        self.period_s = period_s
        self.actor = Seat(clock, action.period_s, period_s)
        self.person = Seat(clock, action.period_s, period_s)
        self.actors = Entrance(topic=topics[0], seat=self.actor, kind="actor", sources=ACTORS)
        self.persons = Entrance(topic=topics[1], seat=self.person, kind="device", sources=PERSONS)
        self._most_ns = round(most_s * NS_PER_S)
        self._time_of = time_of
        self._clock = clock
        self._epoch = epoch
        self._told = told

    def ask(
        self, entrance: Entrance, source: int, name: str, publishers: str, means: int = 0
    ) -> int:
        """Give a seat to whoever asks; returns the epoch of their lease.

        Args:
            entrance: of the seat.
            source: as which they want to command.
            name: shown to people; whoever sits there may ask again.
            publishers: of the entrance's topic, in words.
            means: with what a person commands, a key of `MEANS`.

        Raises:
            ContractError: naming why they cannot have it.
        """
        seat = entrance.seat
        if source not in entrance.sources:
            allowed = ", ".join(f"{s.name} ({s:d})" for s in sorted(entrance.sources))
            raise ContractError(f"source {source}: expected one of {allowed}")
        if means not in MEANS:
            raise ContractError(f"means {means}: expected one of {', '.join(map(str, MEANS))}")
        if not 1 <= len(name) <= 60:
            raise ContractError(f"name {name!r}: expected 1 to 60 characters")
        if seat.party is not None and seat.name != name:
            raise ContractError(f"{seat.name!r} commands; one at a time")
        if entrance.alive > 1:
            raise ContractError(
                f"{entrance.alive} publishers speak on {entrance.topic}: {publishers}; end all "
                "but one"
            )
        self._epoch = self._epoch % _LOW + 1
        entrance.holder = Asker(name)
        kind = MEANS[means] if entrance is self.persons else entrance.kind
        seat.take(entrance.holder, Ask(source=Source(source), kind=kind, name=name), self._epoch)
        entrance.heard, entrance.complaint = False, ""
        entrance.until_ns = self._clock.now_ns() + round(FIRST_WORD_S * NS_PER_S)
        _LOG.info("%s commands as %s, epoch %d", name, Source(source).name, self._epoch)
        return self._epoch

    def leave(self, entrance: Entrance, name: str) -> None:
        """Let whoever sits there go; the arm comes to rest and nobody is missed.

        Raises:
            ContractError: if it is somebody else who sits there.
        """
        seat = entrance.seat
        if seat.party is not None and seat.name != name:
            raise ContractError(f"{seat.name!r} sits there, not {name!r}")
        seat.leave()

    def put(self, entrance: Entrance, message: Any) -> None:
        """Take an `ActionStamped` in; one that is not obeyed is complained about."""
        seat = entrance.seat
        epoch, number = divmod(int(message.seq), 1 << _HALF)
        held, newest = seat.heard
        if seat.party is None or epoch != held:
            entrance.complaint = f"epoch {epoch} has no seat: ask for one, and use its epoch"
            return
        try:
            age_ns = self._clock.now_ns() - self._time_of(message.header.stamp)
        except ContractError as error:
            entrance.complaint = str(error)
            return
        if number < newest:
            # One sender's commands come in order: another speaks under the same lease.
            entrance.holder.closed = True
            entrance.complaint = (
                f"seq went back from {newest} to {number}: two publishers, one lease"
            )
            return
        entrance.heard = True
        seat.beat()
        if number > newest:
            entrance.complaint = self._drive(
                entrance,
                Drive(
                    epoch=epoch,
                    sequence=number,
                    active=bool(message.active),
                    action=self._numbers(message),
                ),
                age_ns,
            ) or self._mismatch(message)

    def _drive(self, entrance: Entrance, drive: Drive, age_ns: int) -> str:
        if age_ns > self._most_ns:
            return f"a command came {age_ns / NS_PER_S:.3f} s after it was decided"
        reason = entrance.seat.drive(entrance.holder, drive)
        return "" if reason == GateReason.PASSED else reason.name

    def _numbers(self, message: Any) -> tuple[float, ...]:
        """Its elements; none at all if they are of another kind, which the gate then refuses."""
        return () if self._mismatch(message) else tuple(message.data)

    def _mismatch(self, message: Any) -> str:
        if not message.active:
            return ""
        kind, expected = int(message.kind), KINDS[self.action.kind]
        if kind != expected:
            return f"kind {kind}: expected {expected}, {self.action.kind}"
        if len(message.data) != self.action.size:
            return f"{len(message.data)} elements: expected {', '.join(self.action.names)}"
        return ""

    def noticed(self, entrance: Entrance, alive: int) -> None:
        """The middleware has counted the publishers that live."""
        entrance.alive = alive

    def hear(self) -> Sequence[tuple[Party, Act]]:
        """Nothing: what concerns the gate itself comes by services, between two ticks."""
        for entrance in (self.actors, self.persons):
            seat = entrance.seat
            if entrance.heard:
                # Silence alone may be late, and a count of none a mistake; both is the end.
                entrance.holder.closed |= not entrance.alive and seat.overdue
            elif seat.party is not None and self._clock.now_ns() < entrance.until_ns:
                seat.beat()
        return ()

    def tell(self, report: Report) -> None:
        """See `CommandDesk.tell`."""
        self._told(report)
