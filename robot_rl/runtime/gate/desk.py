"""Where commanders come in: seats are given and commands taken here, all else is passed on.

What somebody may say depends on the socket they came in by, so that no message of an actor, well
formed or not, is ever read as a person's.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass

from robot_rl.core.clock import Clock
from robot_rl.core.errors import ContractError
from robot_rl.core.spec import ActionSpec
from robot_rl.core.types import GateReason, Source
from robot_rl.runtime.gate.channel import Channel, Listener
from robot_rl.runtime.gate.message import (
    Ask,
    Beat,
    Clear,
    Decoder,
    Drive,
    FromActor,
    FromPerson,
    Granted,
    Refused,
    Report,
    Resume,
    Stop,
    encode,
)
from robot_rl.runtime.gate.seam import Act
from robot_rl.runtime.gate.seat import Seat

ACTORS = frozenset({Source.POLICY, Source.RESET, Source.REPLAY})
"""As what the actor's seat may be taken."""
PERSONS = frozenset({Source.HUMAN, Source.DEMO, Source.CALIBRATION})
"""As what the person's seat may be taken."""

_LOG = logging.getLogger(__name__)
_MOST_VISITORS = 16


@dataclass(frozen=True, slots=True)
class _Entrance:
    listener: Listener
    decode: Decoder[FromActor] | Decoder[FromPerson]
    seat: Seat
    sources: frozenset[Source]


class Visitor:
    """Whoever is connected (implements `seat.Party`).

    Args:
        channel: to them, owned.
        entrance: by which they have come in.
    """

    def __init__(self, channel: Channel, entrance: _Entrance) -> None:
        self.channel = channel
        self.entrance = entrance

    @property
    def closed(self) -> bool:
        """Whether the connection has ended."""
        return self.channel.closed

    def refuse(self, what: str, why: str) -> None:
        """Tell whoever asked that it is not done."""
        self.channel.send(encode(Refused(what=what, why=why)))


class Desk:
    """Hears everybody who is connected; nobody is waited for.

    Args:
        actors, persons: where they come in.
        action: of the commanders.
        period_s: of the gate.
        clock: the gate's.

    Attributes:
        action, period_s: of the commanders, and of the gate.
        actor, person: the seats.
        refused: commands that were not of the seat's lease, or not newer than the last.
    """

    def __init__(
        self,
        actors: Listener,
        persons: Listener,
        action: ActionSpec,
        period_s: float,
        clock: Clock,
    ) -> None:
        self.actor = Seat(clock, action.period_s, period_s)
        self.person = Seat(clock, action.period_s, period_s)
        self.period_s = period_s
        self.refused = Counter[GateReason]()
        self.action = action
        self._entrances = (
            _Entrance(actors, Decoder[FromActor](FromActor), self.actor, ACTORS),
            _Entrance(persons, Decoder[FromPerson](FromPerson), self.person, PERSONS),
        )
        self._visitors: list[Visitor] = []
        self._epoch = 0

    def hear(self) -> list[tuple[Visitor, Act]]:
        """Take in what has been said; return what concerns the gate itself, in order."""
        for entrance in self._entrances:
            self._admit(entrance)
        acts: list[tuple[Visitor, Act]] = []
        for visitor in self._visitors:
            for frame in visitor.channel.receive():
                try:
                    message = visitor.entrance.decode(frame)
                except ContractError as error:
                    # Whatever it is, it does not speak our language: no second chance.
                    _LOG.warning("hung up on process %d: %s", visitor.channel.pid, error)
                    visitor.channel.close()
                    break
                if isinstance(message, Stop | Clear | Resume):
                    acts.append((visitor, message))
                else:
                    self._obey(visitor, message)
        self._visitors = [visitor for visitor in self._visitors if not visitor.closed]
        return acts

    def tell(self, report: Report) -> None:
        """Send a report to everybody who reads."""
        frame = encode(report)
        for visitor in self._visitors:
            visitor.channel.send_news(frame)

    def close(self) -> None:
        """Hang up on everybody."""
        for entrance in self._entrances:
            entrance.listener.close()
        for visitor in self._visitors:
            visitor.channel.close()

    def _admit(self, entrance: _Entrance) -> None:
        for channel in entrance.listener.accept():
            visitor = Visitor(channel, entrance)
            if len(self._visitors) < _MOST_VISITORS:
                self._visitors.append(visitor)
            else:
                visitor.refuse("a connection", f"{_MOST_VISITORS} are connected already")
                channel.close()

    def _obey(self, visitor: Visitor, message: FromActor) -> None:
        seat = visitor.entrance.seat
        if isinstance(message, Ask):
            self._seat(visitor, message)
            return
        if isinstance(message, Drive):
            reason = seat.drive(visitor, message)
            if reason != GateReason.PASSED:
                self.refused[reason] += 1
                visitor.refuse("command", reason.name)
        if visitor is not seat.party:
            return
        if isinstance(message, Beat | Drive):
            seat.beat()
        else:
            seat.leave()

    def _seat(self, visitor: Visitor, ask: Ask) -> None:
        seat, sources = visitor.entrance.seat, visitor.entrance.sources
        if ask.source not in sources or (ask.kind == "actor") != (seat is self.actor):
            allowed = ", ".join(source.name for source in sorted(sources))
            visitor.refuse("lease", f"{ask.kind} as {ask.source.name}: expected {allowed}")
        elif seat.party not in (None, visitor):
            visitor.refuse("lease", f"{seat.name!r} commands; one at a time")
        else:
            self._epoch += 1
            seat.take(visitor, ask, self._epoch)
            _LOG.info("%s commands as %s, epoch %d", ask.name, ask.source.name, self._epoch)
            granted = Granted(
                source=ask.source,
                epoch=self._epoch,
                action=self.action.names,
                period_s=self.action.period_s,
            )
            visitor.channel.send(encode(granted))
