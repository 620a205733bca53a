from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from robot_rl.core.errors import ContractError
from robot_rl.core.spec import TCP_POSE, ActionSpec, ObservationSpec, RobotSpec, VectorSpec
from robot_rl.core.types import GateReason, GateState, Source
from robot_rl.runtime.gate.message import (
    MAX_ASKED_BYTES,
    SCHEMA,
    Ask,
    Beat,
    Bye,
    Claim,
    Clear,
    Decoder,
    Drive,
    FromActor,
    FromDriver,
    FromGate,
    FromPerson,
    Granted,
    Leave,
    Move,
    Owned,
    Refused,
    Report,
    Resume,
    Sample,
    Stop,
    ToDriver,
    Unlatch,
    Welcome,
    as_vector,
    encode,
)

ROBOT = RobotSpec(
    name="arm",
    observation=ObservationSpec(
        vectors={TCP_POSE: VectorSpec(names=tuple("xyzabcd"), unit="m, xyzw", frame="base")}
    ),
    action=ActionSpec(kind="tcp_delta", names=("dx", "gripper"), scale=(0.02, 1.0), period_s=0.1),
)
REPORT = Report(
    tick=7,
    stamp_ns=8,
    state=GateState.HOLD,
    reason=GateReason.PEER_LOST,
    cause="PEER_LOST: silence",
    source=Source.HOLD,
    intervening=False,
    executed=(0.5, -1.0),
    travel=(1.5, 2.0),
    actor=(3, 4),
    person=(0, 0),
    fault="",
    late_s=0.001,
    missed=2,
    sample_ns=9,
    vectors={TCP_POSE: (0.0,) * 7},
)
FROM_ACTOR = [
    Ask(source=Source.POLICY, kind="actor", name="actor"),
    Drive(epoch=1, sequence=2, active=True, action=(0.5,) * 7),
    Beat(),
    Leave(),
    Stop(cause="enough"),
]
FOR_PERSONS_ALONE = [Clear(by="Ada", cause="contact"), Resume(by="Ada")]
TO_DRIVER = [
    Claim(pid=1, period_s=0.01),
    Move(sequence=1, stamp_ns=2, values=(0.1,) * 7),
    Unlatch(by="Ada"),
    Bye(),
]
FROM_DRIVER = [
    Welcome(robot=ROBOT),
    Owned(),
    Sample(stamp_ns=1, sequence=2, fault="", vectors={TCP_POSE: (0.1,) * 7}),
]
FROM_GATE = [
    Granted(source=Source.POLICY, epoch=1, action=("dx",), period_s=0.1),
    Refused(what="lease", why="taken"),
    REPORT,
]
UNIONS = [
    (FromActor, FROM_ACTOR),
    (FromPerson, [*FROM_ACTOR, *FOR_PERSONS_ALONE]),
    (ToDriver, TO_DRIVER),
    (FromDriver, FROM_DRIVER),
    (FromGate, FROM_GATE),
]


@pytest.mark.parametrize(("union", "messages"), UNIONS)
def test_every_message_comes_back_as_it_went(union, messages):
    decode = Decoder(union)
    assert [decode(encode(message)) for message in messages] == messages


@pytest.mark.parametrize("message", FOR_PERSONS_ALONE)
def test_what_only_a_person_may_say_is_not_even_readable_from_an_actor(message):
    with pytest.raises(ContractError, match="not readable"):
        Decoder(FromActor)(encode(message))


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"rr",
        b"rrg\x02" + encode(Beat())[4:],
        encode(Beat())[:-1],
        encode(Beat()) + b"\x00",
        SCHEMA + b"\x91" * 1000,
        encode(Drive(epoch=1, sequence=1, active=True, action=(0.0,) * 65)),
        encode(Stop(cause="x" * 301)),
        encode(Resume(by="")),
        encode(Drive(epoch=-1, sequence=1, active=True, action=())),
    ],
    ids=[
        "empty", "short", "version", "torn", "trailing", "nested", "long vector", "long words",
        "nobody", "negative",
    ],
)  # fmt: skip
def test_bytes_that_are_no_message_are_refused(frame):
    with pytest.raises(ContractError):
        Decoder(FromPerson)(frame)


def test_a_number_beyond_float32_becomes_infinite_and_nan_stays():
    assert as_vector((1e300, -1e300, 2.5)).tolist() == [np.inf, -np.inf, 2.5]
    assert np.isnan(as_vector((float("nan"),))[0])


@pytest.mark.parametrize(("union", "messages"), UNIONS)
def test_ten_thousand_damaged_frames_raise_nothing_else_and_take_no_memory(union, messages):
    decode = Decoder(union)
    rng = np.random.default_rng(0)
    frames = [bytearray(encode(message)) for message in messages]
    refused = 0
    tracemalloc.start()
    try:
        for _ in range(10_000 // len(UNIONS)):
            frame = damaged(frames[rng.integers(len(frames))], rng)
            try:
                decode(bytes(frame))
            except ContractError:
                refused += 1
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert refused > 500
    assert peak < 1_000_000


@pytest.mark.parametrize(
    "claim", [b"\xdd\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff"]
)
def test_a_length_that_is_only_claimed_takes_no_memory(claim):
    # Array, text and bytes of 4 GiB, in the place of a vector.
    head = encode(Drive(epoch=1, sequence=1, active=True, action=()))[:-1]
    tracemalloc.start()
    try:
        with pytest.raises(ContractError):
            Decoder(FromActor)(head + claim + b"\x00" * 100)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


def damaged(frame: bytearray, rng: np.random.Generator) -> bytearray:
    """A frame of which bytes are flipped, lost, doubled or replaced, its head mostly whole."""
    result = bytearray(frame)
    start = 4 if rng.random() < 0.9 else 0
    for _ in range(rng.integers(1, 5)):
        at = int(rng.integers(start, max(start + 1, len(result))))
        kind = rng.integers(4)
        if kind == 0 and at < len(result):
            result[at] = int(rng.integers(256))
        elif kind == 1:
            del result[at:]
        elif kind == 2:
            result[at:at] = rng.bytes(int(rng.integers(1, 9)))
        else:
            result[at : at + 8] = rng.bytes(8)
    return result[: MAX_ASKED_BYTES * 32]
