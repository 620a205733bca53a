"""Whatever bytes a policy server or its client is sent, only ContractError comes of it.

100 000 frames in all; as many as `ROBOT_RL_FUZZ_STEPS` says for a soak.
"""

from __future__ import annotations

import os
import socket
import time
import tracemalloc
from collections import Counter
from random import Random

import numpy as np
import pytest

from robot_rl.core.errors import ContractError
from robot_rl.core.spec import ActionSpec, ImageSpec, ObservationSpec, VectorSpec
from robot_rl.policies.base import PolicySpec
from robot_rl.policies.remote.codec import DTYPES, decode, encode
from robot_rl.policies.remote.frame import FrameSocket
from robot_rl.policies.remote.protocol import (
    Asked,
    metadata_of,
    read_answer,
    read_metadata,
    read_request,
)

STEPS = int(os.environ.get("ROBOT_RL_FUZZ_STEPS", "100000"))
SEED = int(os.environ.get("ROBOT_RL_FUZZ_SEED", "0"))
SOAK = pytest.mark.timeout(120 if STEPS <= 100_000 else 0)
WORST_BYTES = 200
"""What a byte may become: an empty map, its entry, and what is kept to read it later."""
ALWAYS_BYTES = 200_000

SPEC = PolicySpec(
    name="toy",
    fingerprint="abc",
    observation=ObservationSpec(
        vectors={"observation.state": VectorSpec(names=("a", "b"), unit="rad")},
        images={"observation.images.wrist": ImageSpec(height=4, width=5)},
    ),
    action=ActionSpec(kind="joint_delta", names=("a", "b"), scale=(1.0, 2.0), period_s=0.05),
    horizon=3,
    execute=2,
    noise=(3, 2),
    guided=True,
)
PLAN = np.zeros((3, 2), np.float32)
MESSAGES = {
    "request": {
        "observation.state": np.float32([1, 2]),
        "observation.images.wrist": np.zeros((4, 5, 3), np.uint8),
        "prompt": "push the cube",
        "robot_rl/schema": 1,
        "robot_rl/policy": "toy",
        "robot_rl/noise": PLAN,
        "robot_rl/ahead": PLAN,
        "robot_rl/frozen": 1,
        "robot_rl/max_guidance_weight": 5.0,
        "robot_rl/deadline_ms": 100.0,
    },
    "openpi": {
        "observation/state": np.zeros(2),
        "observation/images/wrist": np.zeros((4, 5, 3), np.uint8),
        "nested": {"list": [1, -1, 2.5, None, True, b"raw", np.float32(1), np.int64(-3)]},
    },
    "answer": {
        "robot_rl/plan": PLAN,
        "robot_rl/version": 3,
        "robot_rl/fingerprint": "abc",
        "server_timing": {"infer_ms": 1.0, "prev_total_ms": 2.0},
    },
    "metadata": metadata_of({"toy": SPEC}, {"toy": 1}, "toy"),
}
FRAMES = {name: encode(message) for name, message in MESSAGES.items()}
NAMES_OF_FRAMES = [*FRAMES]
REPEATED = [b"\x80", b"\x90", b"\xc0", b"\x81", b"\x91", b"\xdd"]
SHAPES = ([-1], [-1, -4], [2**40], [2**63, 2], [2**32, 2**32, 0], [0] * 8, [1] * 9, [2**64 - 1])
NAMES = ("|O", "O", "|V8", "<c16", "<U4", "|S8", ">f4", "<M8[s]", "<f4,<i4", "f4", "<f16")
FORGED = [
    bytes([head]) + length
    for head in (0xC4, 0xC5, 0xC6, 0xC9, 0xD9, 0xDA, 0xDB, 0xDC, 0xDD, 0xDE, 0xDF)
    for length in (b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x00\x01\x00\x00", b"\x00" * 4)
]


def mutated(rng: Random) -> tuple[str, bytes]:
    """One to three faults in a good frame, and what it was."""
    name = rng.choice(NAMES_OF_FRAMES)
    data = bytearray(FRAMES[name])
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(data) or 1)
        fault = rng.randrange(8)
        if fault <= 1:
            data[at : at + 1] = bytes([(data[at] if data else 0) ^ 1 << rng.randrange(8)])
        elif fault == 2:
            data[at : at + 1] = bytes([rng.randrange(256)])
        elif fault == 3:
            del data[at:]
        elif fault == 4:
            other = FRAMES[rng.choice(NAMES_OF_FRAMES)]
            data[at:] = other[rng.randrange(len(other)) :]
        elif fault == 5:
            forged = rng.choice(FORGED)
            data[at : at + len(forged)] = forged
        elif fault == 6:
            data[at:at] = rng.choice(REPEATED) * 40
        else:
            del data[at : at + rng.randrange(1, 20)]
    return name, bytes(data)


def read(name: str, data: bytes) -> str:
    """Read a frame as who receives it does; returns what came of it."""
    try:
        message = decode(data)
        if name == "answer":
            read_answer(message, SPEC)
        elif name == "metadata":
            read_metadata(message)
        else:
            asked = read_request(message, {"toy": SPEC}, "toy")
            assert isinstance(asked, Asked)
    except ContractError:
        return "refused"
    return "read"


def assert_arrays_are_plain(value: object) -> None:
    if isinstance(value, dict):
        for inner in value.values():
            assert_arrays_are_plain(inner)
    elif isinstance(value, list):
        for inner in value:
            assert_arrays_are_plain(inner)
    elif isinstance(value, np.ndarray | np.generic):
        assert value.dtype.str in DTYPES
        value.tobytes()


@SOAK
def test_mutated_frames_end_in_a_contract_error_or_are_read(report):
    rng = Random(SEED)
    outcomes: Counter[str] = Counter()
    slowest_s = 0.0
    for _ in range(STEPS):
        name, data = mutated(rng)
        begun_s = time.thread_time()
        outcomes[read(name, data)] += 1
        slowest_s = max(slowest_s, time.thread_time() - begun_s)

    assert outcomes["refused"] > STEPS / 2
    assert outcomes["read"] > STEPS / 100
    report("mutated frames", frames=STEPS, **outcomes, slowest_ms=round(slowest_s * 1e3, 2))


def test_a_mutated_frame_takes_no_more_memory_than_its_length_allows():
    rng = Random(SEED + 3)
    worst = 0
    tracemalloc.start()
    try:
        for _ in range(STEPS // 20):
            name, data = mutated(rng)
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            read(name, data)
            taken = tracemalloc.get_traced_memory()[1] - before
            worst = max(worst, taken - WORST_BYTES * len(data))
    finally:
        tracemalloc.stop()
    assert worst <= ALWAYS_BYTES


def test_arrays_of_mutated_messages_hold_numbers_alone():
    rng = Random(SEED + 1)
    read_all = 0
    for _ in range(STEPS // 10):
        _, data = mutated(rng)
        try:
            message = decode(data)
        except ContractError:
            continue
        assert_arrays_are_plain(message)
        read_all += 1
    assert read_all > STEPS / 1000


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", [b"\xc4\x0b__ndarray__", b"\xc4\x0d__npgeneric__"])
def test_no_other_dtype_gets_in(kind, name):
    length = bytes([0xA0 + len(name)])
    data = FRAMES["openpi"].replace(b"\xa3<f8", length + name.encode())
    data = data.replace(b"\xa3<f4", length + name.encode()) if kind[2:] in data else data

    assert data != FRAMES["openpi"]
    with pytest.raises(ContractError, match=r"dtype|length"):
        decode(data)


@pytest.mark.parametrize("shape", SHAPES)
def test_no_other_shape_gets_in(shape):
    tracemalloc.start()
    try:
        fields = {b"__ndarray__": True, b"data": b"\0" * 8, b"dtype": "<f4", b"shape": shape}
        with pytest.raises(ContractError, match=r"array|message"):
            decode(encode({"a": fields}))
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "bomb",
    [
        b"\x81\xa1a" + b"\x91" * 4_000_000,
        b"\x81\xa1a\xdd\x00\x3d\x09\x00" + b"\x90" * 4_000_000,
        b"\x81\xa1a\x98" + 8 * (b"\xdc\xff\xff" + b"\x80" * 65_535),
        b"\xdf\x00\x3d\x09\x00" + b"\xa1a\xc0" * 4_000_000,
        b"\x81\xa1a" + 7 * b"\x91" + b"\xdd\x00\x3d\x09\x00" + b"\xc0" * 4_000_000,
    ],
    ids=["deep", "empty lists", "empty maps", "one key", "deep and wide"],
)
def test_a_message_that_grows_in_memory_is_refused_before_it_does(bomb):
    tracemalloc.start()
    try:
        with pytest.raises(ContractError):
            decode(bomb)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def websocket(payload: bytes) -> bytes:
    length = len(payload)
    head = bytes([0x82, length]) if length < 126 else b"\x82\x7e" + length.to_bytes(2)
    return head + payload


@SOAK
def test_a_client_bears_any_bytes_from_its_server(report):
    rng = Random(SEED + 2)
    outcomes: Counter[str] = Counter()
    frames = STEPS // 20
    for _ in range(frames):
        _, payload = mutated(rng)
        stream = bytearray(websocket(payload) * rng.randint(1, 2))
        for _ in range(rng.randint(0, 2)):
            stream[rng.randrange(min(len(stream), 8))] = rng.randrange(256)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.sendall(stream)
            theirs.shutdown(socket.SHUT_WR)
            line = FrameSocket(ours, b"", 100_000)
            try:
                message = line.receive(time.monotonic() + 5.0)
                assert len(message.data) <= 100_000
                outcomes["received"] += 1
            except TimeoutError:
                outcomes["waited"] += 1
            except (ContractError, OSError):
                outcomes["refused"] += 1
    assert not outcomes.pop("waited", 0)
    assert min(outcomes.values()) > frames / 20
    report("mutated websockets", frames=frames, **outcomes)
