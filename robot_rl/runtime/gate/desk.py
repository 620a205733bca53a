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
from robot_rl.runtime.gate.seat import Seat

Act = Stop | Clear | Resume
"""What concerns the gate itself."""

_LOG = logging.getLogger(__name__)
_MOST_PEERS = 16


@dataclass(frozen=True, slots=True)
class _Entrance:
    listener: Listener
    decode: Decoder[FromActor] | Decoder[FromPerson]
    seat: Seat
    sources: frozenset[Source]


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
        own = frozenset({Source.POLICY, Source.RESET, Source.REPLAY})
        theirs = frozenset({Source.HUMAN, Source.DEMO, Source.CALIBRATION})
        self._entrances = (
            _Entrance(actors, Decoder[FromActor](FromActor), self.actor, own),
            _Entrance(persons, Decoder[FromPerson](FromPerson), self.person, theirs),
        )
        self._peers: list[tuple[Channel, _Entrance]] = []
        self._epoch = 0

    def hear(self) -> list[tuple[Channel, Act]]:
        """Take in what has been said; return what concerns the gate itself, in order."""
        for entrance in self._entrances:
            self._admit(entrance)
        acts: list[tuple[Channel, Act]] = []
        for channel, entrance in self._peers:
            for frame in channel.receive():
                try:
                    message = entrance.decode(frame)
                except ContractError as error:
                    # Whatever it is, it does not speak our language: no second chance.
                    _LOG.warning("hung up on process %d: %s", channel.pid, error)
                    channel.close()
                    break
                if isinstance(message, Stop | Clear | Resume):
                    acts.append((channel, message))
                else:
                    self._obey(channel, entrance, message)
        self._peers = [(channel, e) for channel, e in self._peers if not channel.closed]
        return acts

    def tell(self, report: Report) -> None:
        """Send a report to everybody who reads."""
        frame = encode(report)
        for channel, _ in self._peers:
            channel.send_news(frame)

    def close(self) -> None:
        """Hang up on everybody."""
        for entrance in self._entrances:
            entrance.listener.close()
        for channel, _ in self._peers:
            channel.close()

    def _admit(self, entrance: _Entrance) -> None:
        for channel in entrance.listener.accept():
            if len(self._peers) < _MOST_PEERS:
                self._peers.append((channel, entrance))
            else:
                refuse(channel, "a connection", f"{_MOST_PEERS} are connected already")
                channel.close()

    def _obey(self, channel: Channel, entrance: _Entrance, message: FromActor) -> None:
        seat = entrance.seat
        if isinstance(message, Ask):
            self._seat(channel, entrance, message)
            return
        if isinstance(message, Drive):
            reason = seat.drive(channel, message)
            if reason != GateReason.PASSED:
                self.refused[reason] += 1
                refuse(channel, "command", reason.name)
        if channel is not seat.channel:
            return
        if isinstance(message, Beat | Drive):
            seat.beat()
        else:
            seat.leave()

    def _seat(self, channel: Channel, entrance: _Entrance, ask: Ask) -> None:
        seat = entrance.seat
        if ask.source not in entrance.sources or (ask.kind == "actor") != (seat is self.actor):
            allowed = ", ".join(source.name for source in sorted(entrance.sources))
            refuse(channel, "lease", f"{ask.kind} as {ask.source.name}: expected {allowed}")
        elif seat.channel not in (None, channel):
            refuse(channel, "lease", f"{seat.name!r} commands; one at a time")
        else:
            self._epoch += 1
            seat.take(channel, ask, self._epoch)
            _LOG.info("%s commands as %s, epoch %d", ask.name, ask.source.name, self._epoch)
            granted = Granted(
                source=ask.source,
                epoch=self._epoch,
                action=self.action.names,
                period_s=self.action.period_s,
            )
            channel.send(encode(granted))


def refuse(channel: Channel, what: str, why: str) -> None:
    """Tell whoever asked that it is not done."""
    channel.send(encode(Refused(what=what, why=why)))
