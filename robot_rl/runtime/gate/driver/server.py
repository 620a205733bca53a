"""The driver's process: one robot behind one socket, obeying one gate.

The robot's own watchdog is the robot's (`Driver.tick`); nothing here can extend it. Whoever is
connected hears every sample, the owner alone is heard.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import Protocol

from robot_rl.core.clock import NS_PER_S, Clock
from robot_rl.core.errors import ContractError
from robot_rl.core.spec import RobotSpec
from robot_rl.core.types import Observation, Vector
from robot_rl.runtime.gate.channel import Channel, Listener
from robot_rl.runtime.gate.message import (
    Busy,
    Claim,
    Decoder,
    Move,
    Owned,
    Sample,
    ToDriver,
    Unlatch,
    Welcome,
    as_numbers,
    as_vector,
    encode,
)

_LOG = logging.getLogger(__name__)
_MOST_BEHIND_S = 1.0
_MOST_PEERS = 8
_MOST_MOVES = 256
_GIVEN_UP_S = 1.0
"""An owner that has been silent for so long, and whose robot has stopped, may be replaced."""


class Driver(Protocol):
    """A robot with its own controller, which brakes by itself when its commands stay away."""

    spec: RobotSpec
    """What it is; `spec.action` is the space that commanders act in."""
    period_s: float
    """Of its own control."""

    @property
    def fault(self) -> str:
        """Why it has stopped by itself and obeys nobody; empty while it obeys."""
        ...

    def obey(self, values: Vector, period_s: float) -> None:
        """Take a command float32[d], in SI units per `period_s`, into force.

        Its own watchdog runs from the first command until `rest`.
        """
        ...

    def rest(self) -> None:
        """Nobody commands any more, by agreement: hold, and expect no commands."""
        ...

    def stop(self, cause: str) -> None:
        """Brake to rest and obey nobody until `clear`."""
        ...

    def clear(self, by: str) -> None:
        """Obey again, on the word of a person; nothing while the arm still moves."""
        ...

    def tick(self) -> Observation:
        """Let one period pass and return the sample at its end."""
        ...


class DriverServer:
    """Serves a driver on its socket. `turn` does what is due and does not wait.

    The robot's time is this machine's monotonic time. A turn that comes late makes up for the
    periods in between, each with the commands that had been sent by then: what the robot does
    depends on when it was told, not on when this process was let run.

    Args:
        driver: connected and at rest.
        listener: its socket.
        clock: monotonic and common to all processes of this machine.
    """

    def __init__(self, driver: Driver, listener: Listener, clock: Clock) -> None:
        self.driver = driver
        self._listener = listener
        self._clock = clock
        self._decode = Decoder[ToDriver](ToDriver)
        self._period_ns = round(driver.period_s * NS_PER_S)
        self._now_ns = clock.now_ns()
        self._peers: list[Channel] = []
        self._owner: Channel | None = None
        self._claim: Claim | None = None
        self._heard_ns = 0
        self._moves: deque[Move] = deque(maxlen=_MOST_MOVES)
        self._sequence = 0

    @property
    def next_ns(self) -> int:
        """When the next turn is due."""
        return self._now_ns + self._period_ns

    def turn(self) -> None:
        """Hear the peers, let the periods pass that are over, and tell each of them."""
        for channel in self._listener.accept():
            self._welcome(channel)
        for channel in self._peers:
            try:
                for frame in channel.receive():
                    self._obey(channel, self._decode(frame))
            except ContractError as error:
                _LOG.warning("hung up on process %d: %s", channel.pid, error)
                channel.close()
        now_ns = self._clock.now_ns()
        if (behind_s := (now_ns - self._now_ns) / NS_PER_S) > _MOST_BEHIND_S:
            _LOG.error("the driver was not let run for %.1f s; the arm is stopped", behind_s)
            self.driver.stop(f"the driver was not let run for {behind_s:.1f} s")
            self._now_ns = now_ns - self._period_ns
        while self.next_ns <= now_ns:
            self._tick()
        self._part()

    def close(self) -> None:
        """Stop the robot and hang up."""
        if self._owner:
            self.driver.stop("the driver ends")
        self._listener.close()
        for channel in self._peers:
            channel.close()

    def _welcome(self, channel: Channel) -> None:
        if len(self._peers) >= _MOST_PEERS:
            channel.close()
            return
        channel.send(encode(Welcome(robot=self.driver.spec)))
        self._peers.append(channel)

    def _obey(self, channel: Channel, message: ToDriver) -> None:
        if isinstance(message, Claim):
            self._claim_by(channel, message)
            return
        if channel is not self._owner:
            raise ContractError(f"{type(message).__name__} from who does not own the robot")
        self._heard_ns = self._clock.now_ns()
        if isinstance(message, Move):
            self._moves.append(message)
        elif isinstance(message, Unlatch):
            self.driver.clear(message.by)
        else:
            self._disown()
            self.driver.rest()

    def _claim_by(self, channel: Channel, claim: Claim) -> None:
        silent_s = (self._clock.now_ns() - self._heard_ns) / NS_PER_S
        given_up = self.driver.fault and silent_s > _GIVEN_UP_S
        if self._claim and not given_up:
            channel.send(encode(Busy(pid=self._claim.pid)))
            return
        if self._owner:
            self._owner.close()
        self._disown()
        self._owner, self._claim, self._heard_ns = channel, claim, self._clock.now_ns()
        channel.send(encode(Owned()))
        _LOG.info("process %d owns the robot", claim.pid)

    def _tick(self) -> None:
        self._now_ns += self._period_ns
        while self._moves and self._claim and self._moves[0].stamp_ns <= self._now_ns:
            move = self._moves.popleft()
            values = as_vector(move.values)
            if values.shape == (self.driver.spec.action.size,):
                self._sequence = move.sequence
                self.driver.obey(values, self._claim.period_s)
        observation = self.driver.tick()
        sample = Sample(
            stamp_ns=self._now_ns,
            sequence=self._sequence,
            fault=self.driver.fault,
            vectors=as_numbers(observation.vectors),
        )
        frame = encode(sample)
        for channel in self._peers:
            channel.send_news(frame)

    def _part(self) -> None:
        """Let go of who has gone; a robot whose owner went without a word stops."""
        self._peers = [channel for channel in self._peers if not channel.closed]
        if self._owner and self._owner.closed:
            self._disown()
            self.driver.stop("the gate's process has ended")

    def _disown(self) -> None:
        self._owner, self._claim = None, None
        self._moves.clear()
