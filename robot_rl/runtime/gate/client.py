"""A commander's line to the gate: for an actor, a person's device or a page.

Needs neither the gate's configuration nor torch. `latest` and `command` never wait.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from robot_rl.core.errors import ContractError, HardwareError
from robot_rl.core.types import Source, Vector
from robot_rl.runtime.gate.channel import connect
from robot_rl.runtime.gate.message import (
    MAX_TOLD_BYTES,
    Ask,
    Beat,
    Clear,
    Decoder,
    Drive,
    FromGate,
    Granted,
    Leave,
    PeerKind,
    Record,
    Refused,
    Report,
    Resume,
    Stop,
    encode,
)

ACTOR_SOCKET = "actor.sock"
PERSON_SOCKET = "person.sock"
BEAT_S = 0.01
"""How often a commander says that it is alive, 100 times a second."""


class GateClient:
    """Commands the arm through the gate, under a lease that the gate gives.

    A thread listens and says that this process lives, for a policy may think for longer than the
    gate bears silence. It does not say that commands come: each of those is obeyed for its own
    period and then ages.

    Args:
        folder: of the gate's sockets.
        kind: what commands; an actor comes in by another socket than a person.
        name: shown to people.
        threaded: False for whoever calls `beat` and `latest` often enough.

    Attributes:
        refusals: what the gate did not do, oldest first.

    Raises:
        HardwareError: if no gate runs there.
    """

    def __init__(
        self,
        folder: Path,
        kind: PeerKind = "actor",
        name: str = "actor",
        *,
        threaded: bool = True,
    ) -> None:
        socket = ACTOR_SOCKET if kind == "actor" else PERSON_SOCKET
        self._channel = connect(folder / socket, MAX_TOLD_BYTES)
        self._decode = Decoder[FromGate](FromGate)
        self._kind: PeerKind = kind
        self._name = name
        self._heard = threading.Condition()
        self._report: Report | None = None
        self._lease: Granted | None = None
        self._why_none = "call take first"
        self._sequence = 0
        self._ended = False
        self._end = "the gate has ended"
        self.refusals: list[Refused] = []
        self._thread: threading.Thread | None = None
        if threaded:
            self._thread = threading.Thread(target=self._live, name="gate-client", daemon=True)
            self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def connected(self) -> bool:
        """Whether the line stands, as far as is known here."""
        return not self._channel.closed

    @property
    def lease(self) -> Granted | None:
        """The lease that was given, if any."""
        return self._lease

    def ask(self, source: Source) -> None:
        """Ask for a lease; `lease` or `refusals` will tell."""
        self._lease, self._sequence = None, 0
        self.say(Ask(source=source, kind=self._kind, name=self._name))

    def take(self, source: Source, timeout_s: float = 2.0) -> Granted:
        """Ask for a lease and wait for it.

        Raises:
            HardwareError: if it is refused, or nothing is answered in time.
        """
        refusals = len(self.refusals)
        self.ask(source)
        self._await(lambda: self._lease or len(self.refusals) > refusals, timeout_s)
        if self._lease is None:
            refusal = self.refusals[-1]
            raise HardwareError(f"the gate refuses {refusal.what}: {refusal.why}")
        return self._lease

    def command(self, action: Vector | None) -> int:
        """Ask for a motion float32[d], normalised; None to rest. Returns its sequence number.

        Raises:
            ContractError: if no lease was given, or it has ended.
        """
        if (lease := self._lease) is None:
            raise ContractError(f"there is no lease to command under: {self._why_none}")
        self._sequence += 1
        numbers = () if action is None else tuple(np.asarray(action, np.float32).tolist())
        self.say(
            Drive(
                epoch=lease.epoch,
                sequence=self._sequence,
                active=action is not None,
                action=numbers,
            )
        )
        return self._sequence

    def beat(self) -> None:
        """Say that this commander lives."""
        self.say(Beat())

    def latest(self) -> Report | None:
        """The newest report, or None before the first.

        Raises:
            HardwareError: if the gate has ended.
        """
        if self._thread is None:
            self._hear()
        if self._channel.closed:
            raise HardwareError(f"{self._end}; the arm is held by its own controller")
        return self._report

    def wait(self, timeout_s: float = 1.0) -> Report:
        """Wait for a report newer than the last and return it.

        Raises:
            HardwareError: if none comes in time, or the gate has ended.
        """
        before = self.latest()
        self._await(lambda: self._report is not before, timeout_s)
        report = self.latest()
        assert report is not None
        return report

    def say(self, message: Record) -> None:
        """Send any message; what the gate does not expect ends the connection."""
        self._channel.send(encode(message))

    def stop(self, cause: str) -> None:
        """Latch STOP."""
        self.say(Stop(cause=cause))

    def clear(self, by: str, cause: str) -> None:
        """End a latched STOP in a person's name, who has read its cause; for persons alone."""
        self.say(Clear(by=by, cause=cause))

    def resume(self, by: str) -> None:
        """End a hold that does not end by itself, in a person's name; for persons alone."""
        self.say(Resume(by=by))

    def leave(self) -> None:
        """Give the seat back: the arm comes to rest and nobody is missed."""
        self._lease = None
        self.say(Leave())

    def close(self) -> None:
        """Leave and hang up."""
        self.leave()
        self.hang_up()

    def hang_up(self) -> None:
        """End the connection without a word, as the death of this process would."""
        self._ended = True
        if self._thread:
            self._thread.join()
        self._channel.close()

    def _live(self) -> None:
        due_s = time.monotonic()
        while not (self._ended or self._channel.closed):
            self._channel.wait(due_s - time.monotonic())
            if time.monotonic() >= due_s:
                due_s = time.monotonic() + BEAT_S
                self.beat()
            self._hear()

    def _hear(self) -> None:
        frames = self._channel.receive()
        with self._heard:
            for frame in frames:
                try:
                    message = self._decode(frame)
                except ContractError as error:
                    self._end = str(error)
                    self._channel.close()
                    break
                if isinstance(message, Report):
                    self._report = message
                elif isinstance(message, Granted):
                    self._lease = message
                else:
                    self.refusals.append(message)
                    if message.what == "lease":
                        self._lease, self._why_none = None, message.why
            self._heard.notify_all()

    def _await(self, happened: Callable[[], object], timeout_s: float) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not happened():
            left_s = deadline_s - time.monotonic()
            if left_s <= 0.0:
                raise HardwareError("the gate has not answered in time: is it running?")
            if self._thread:
                with self._heard:
                    self._heard.wait_for(happened, min(left_s, BEAT_S))
            else:
                self._channel.wait(left_s)
            self.latest()
