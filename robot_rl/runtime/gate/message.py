"""What commanders, gate and driver say to each other, as bytes; who may say what is in the types.

Typed msgpack behind a version mark: nothing here can carry code, and every length has a bound.
Not here: how bytes get across (`channel`), and what follows from a message.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from robot_rl.core.errors import ContractError
from robot_rl.core.spec import RobotSpec
from robot_rl.core.types import GateReason, GateState, Observation, Source, Vector

SCHEMA = b"rrg\x01"
"""What every message begins with; the last byte grows when a message changes its layout."""

MAX_ASKED_BYTES = 2048
"""No message to gate or driver is longer."""
MAX_TOLD_BYTES = 1 << 16
"""No message from gate or driver is longer."""

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Words = Annotated[str, msgspec.Meta(max_length=300)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=60)]
Numbers = Annotated[tuple[float, ...], msgspec.Meta(max_length=64)]
"""A vector; what does not fit in float32 arrives as infinite and is refused as that."""
PeerKind = Literal["actor", "device", "page"]
"""By these names the watchdogs know who commands."""


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """Fields in order, without names; another number of them is an error."""


class Ask(Record, frozen=True, tag="ask"):
    """To the gate: let me command as this source. Answered by `Granted` or `Refused`."""

    source: Source
    kind: PeerKind
    name: Name


class Drive(Record, frozen=True, tag="drive"):
    """To the gate: an action float[d], normalised, under the lease of `epoch`.

    While not `active` its sender wants nothing: a policy without a plan, a person who has let go.
    """

    epoch: Count
    sequence: Count
    active: bool
    action: Numbers


class Beat(Record, frozen=True, tag="beat"):
    """To the gate: I am alive."""


class Leave(Record, frozen=True, tag="leave"):
    """To the gate: I shall not command any more; the arm comes to rest and nobody is missed."""


class Stop(Record, frozen=True, tag="stop"):
    """To the gate, from anybody: latch STOP."""

    cause: Words


class Clear(Record, frozen=True, tag="clear"):
    """From a person: I have looked at the arm, and have read this cause of the latched STOP."""

    by: Name
    cause: str


class Resume(Record, frozen=True, tag="resume"):
    """From a person: a hold that does not end by itself may end."""

    by: Name


class Granted(Record, frozen=True, tag="granted"):
    """From the gate: commands of this epoch are heard until another is granted for the seat."""

    source: Source
    epoch: Count
    action: Annotated[tuple[str, ...], msgspec.Meta(max_length=64)]
    period_s: float


class Refused(Record, frozen=True, tag="refused"):
    """From the gate: what was asked is not done, and why."""

    what: Words
    why: str


class Report(Record, frozen=True, tag="report"):
    """From the gate, in every tick: what it did and what it knows.

    Args:
        tick: number of the tick.
        stamp_ns: monotonic time of this machine at which the tick began.
        state, reason, cause: the gate's; `cause` in words for a person.
        source: who decided the action of this tick.
        intervening: a person took over in this tick.
        executed: float[d], normalised, what the arm was told: 1 is full speed.
        travel: float[d], sum of `executed` over all ticks in periods of the commander's actions:
            its difference between two reports is what was executed in between.
        actor, person: newest command heard of each seat, (epoch, sequence).
        fault: why the driver has stopped by itself; empty while it obeys.
        late_s: how late the tick began.
        missed: ticks that were missed since the gate began.
        sample_ns: monotonic time of `vectors`.
        vectors: the robot's newest.
    """

    tick: Count
    stamp_ns: Count
    state: GateState
    reason: GateReason
    cause: str
    source: Source
    intervening: bool
    executed: Numbers
    travel: Numbers
    actor: tuple[Count, Count]
    person: tuple[Count, Count]
    fault: str
    late_s: float
    missed: Count
    sample_ns: Count
    vectors: dict[str, Numbers]

    def observation(self) -> Observation:
        """The robot's newest vectors as an observation."""
        return Observation(stamp_ns=self.sample_ns, vectors=as_vectors(self.vectors))


class Claim(Record, frozen=True, tag="claim"):
    """To the driver: I am the gate; my motions last `period_s` each."""

    pid: Count
    period_s: Annotated[float, msgspec.Meta(gt=0, le=1)]


class Move(Record, frozen=True, tag="move"):
    """To the driver: a command float[d] in SI units per period, decided at `stamp_ns`."""

    sequence: Count
    stamp_ns: Count
    values: Numbers


class Unlatch(Record, frozen=True, tag="unlatch"):
    """To the driver: this person has looked at the arm; obey again."""

    by: Name


class Bye(Record, frozen=True, tag="bye"):
    """To the driver: the gate ends, the arm is at rest; hold it there."""


class Welcome(Record, frozen=True, tag="welcome"):
    """From the driver to whoever connects: what it drives. Samples follow."""

    robot: RobotSpec


class Owned(Record, frozen=True, tag="owned"):
    """From the driver: the robot is yours."""


class Busy(Record, frozen=True, tag="busy"):
    """From the driver: the robot is owned by the gate in another process."""

    pid: Count


class Sample(Record, frozen=True, tag="sample"):
    """From the driver, once for each of its own periods.

    Args:
        stamp_ns: monotonic time of this machine.
        sequence: of the newest `Move` that was obeyed.
        fault: why it has stopped by itself; empty while it obeys.
        vectors: of the robot.
    """

    stamp_ns: Count
    sequence: Count
    fault: str
    vectors: dict[str, Numbers]

    def observation(self) -> Observation:
        """The sample as an observation."""
        return Observation(stamp_ns=self.stamp_ns, vectors=as_vectors(self.vectors))


FromActor = Ask | Drive | Beat | Leave | Stop
FromPerson = FromActor | Clear | Resume
FromGate = Granted | Refused | Report
ToDriver = Claim | Move | Unlatch | Bye
FromDriver = Welcome | Owned | Busy | Sample

_ENCODER = msgspec.msgpack.Encoder()


class Decoder[T]:
    """Reads messages of one union and nothing else.

    Args:
        kinds: the union `T` itself.
    """

    def __init__(self, kinds: Any) -> None:
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(kinds)

    def __call__(self, data: bytes) -> T:
        """Return the message.

        Raises:
            ContractError: if the bytes are none of the union, or of another version.
        """
        if data[: len(SCHEMA)] != SCHEMA:
            raise ContractError(
                f"message: begins with {data[: len(SCHEMA)]!r}, expected {SCHEMA!r}; commander, "
                "gate and driver must be of the same version"
            )
        try:
            return self._decoder.decode(memoryview(data)[len(SCHEMA) :])
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise ContractError(f"message: not readable: {error}") from error


def encode(message: Record) -> bytes:
    """Return a message as bytes."""
    return SCHEMA + _ENCODER.encode(message)


def as_vector(numbers: tuple[float, ...]) -> Vector:
    """Return float32[d]."""
    with np.errstate(over="ignore"):
        return np.array(numbers, np.float32)


def as_vectors(vectors: Mapping[str, tuple[float, ...]]) -> dict[str, Vector]:
    """Return `{key: float32[d]}`."""
    return {key: as_vector(numbers) for key, numbers in vectors.items()}


def as_numbers(vectors: Mapping[str, Vector]) -> dict[str, tuple[float, ...]]:
    """Return what `as_vectors` takes."""
    return {key: tuple(vector.tolist()) for key, vector in vectors.items()}
