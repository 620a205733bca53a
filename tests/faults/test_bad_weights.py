"""Weights that must not be adopted: nothing that was pushed at a server moves its plans."""

from __future__ import annotations

import hashlib
import random
import struct
import sys
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from robot_rl.runtime.serving.background import in_background
from robot_rl.runtime.serving.config import ServerConfig
from robot_rl.runtime.serving.push import push_weights
from robot_rl.runtime.serving.server import PolicyServer
from robot_rl.runtime.serving.swap import SCHEMA, WeightReply, encode_weights

sys.path.insert(0, str(Path(__file__).parents[1] / "runtime" / "serving"))
from serving_rig import Echo, client_of, seen

NOW = 7
"""The version that plans."""
GOOD = {"gain": torch.tensor([0.5])}
TIMES = 60
"""Each kind so often, with other numbers each time: more than 1,000 messages in all."""

Bad = Callable[[random.Random], bytes | str]


def record(rng: random.Random, **changes: object) -> bytes:
    """A good message but for the fields that are given."""
    fields = dict(
        zip(("schema", "policy", "version", "sha256", "payload"), good(rng), strict=True)
    )
    return msgspec.msgpack.encode(list((fields | changes).values()))


def good(rng: random.Random) -> list[object]:
    return msgspec.msgpack.decode(encode_weights("echo", NOW + 1 + rng.randrange(99), GOOD))


def sent(weights: dict[str, torch.Tensor]) -> Bad:
    return lambda rng: encode_weights("echo", NOW + 1 + rng.randrange(99), weights)


def with_payload(rng: random.Random, payload: bytes) -> bytes:
    return record(rng, payload=payload, sha256=hashlib.sha256(payload).digest())


def flipped(rng: random.Random) -> bytes:
    """One bit of the payload is another."""
    payload = bytearray(good(rng)[4])
    payload[rng.randrange(len(payload))] ^= 1 << rng.randrange(8)
    return record(rng, payload=bytes(payload))


def torn(rng: random.Random) -> bytes:
    whole = encode_weights("echo", NOW + 1, GOOD)
    return whole[: rng.randrange(len(whole))]


def lying_header(rng: random.Random) -> bytes:
    """A safetensors header of any length, over any bytes."""
    head = struct.pack("<Q", rng.choice((0, 1, 2**31, 2**63, rng.randrange(64))))
    return with_payload(rng, head + rng.randbytes(rng.randrange(64)))


def huge_shape(rng: random.Random) -> bytes:
    shape = [rng.choice((2**40, 2**62, 2**20)) for _ in range(3)]
    return with_payload(rng, tensors(f'"dtype":"F32","shape":{shape},"data_offsets":[0,4]', 4))


def half(rng: random.Random) -> bytes:
    return with_payload(rng, tensors('"dtype":"F16","shape":[1],"data_offsets":[0,2]', 2))


def tensors(fields: str, size: int) -> bytes:
    """Safetensors of one tensor with these fields in its header, over zeros."""
    text = f'{{"gain":{{{fields}}}}}'
    return struct.pack("<Q", len(text)) + text.encode() + bytes(size)


def odd(value: float) -> Bad:
    return sent({"gain": torch.tensor([value])})


KINDS: dict[str, tuple[str, Bad]] = {
    "noise": ("schema", lambda rng: rng.randbytes(rng.randrange(1, 256))),
    "nothing": ("schema", lambda rng: b""),
    "text": ("schema", lambda rng: "x" * rng.randrange(99)),
    "torn": ("schema", torn),
    "more behind it": ("schema", lambda rng: record(rng) + rng.randbytes(3)),
    "a pickle": ("schema", lambda rng: b"\x80\x04cos\nsystem\n(S'true'\ntR."),
    "another schema": ("schema", lambda rng: record(rng, schema=SCHEMA + 1 + rng.randrange(9))),
    "a field of another type": ("schema", lambda rng: record(rng, version=str(rng.random()))),
    "a version below 1": ("schema", lambda rng: record(rng, version=-rng.randrange(99))),
    "a short hash": ("schema", lambda rng: record(rng, sha256=rng.randbytes(31))),
    "another policy": ("policy", lambda rng: record(rng, policy="echo" * rng.randrange(2, 99))),
    "another hash": ("hash", lambda rng: record(rng, sha256=rng.randbytes(32))),
    "a flipped bit": ("hash", flipped),
    "an old version": ("version", lambda rng: record(rng, version=rng.randint(1, NOW))),
    "no safetensors": ("payload", lambda rng: with_payload(rng, rng.randbytes(99))),
    "a header that lies": ("payload", lying_header),
    "a shape beyond memory": ("payload", huge_shape),
    "a dtype that does not travel": ("payload", half),
    "another name": ("fit", sent({"gian": torch.tensor([0.5])})),
    "one more": ("fit", sent({**GOOD, "bias": torch.zeros(1)})),
    "none at all": ("fit", sent({})),
    "another shape": ("fit", sent({"gain": torch.tensor([[0.5]])})),
    "another dtype": ("fit", sent({"gain": torch.tensor([0.5], dtype=torch.float64)})),
    "not a number": ("finite", odd(np.nan)),
    "infinite": ("finite", odd(-np.inf)),
    "plans beyond the range": ("canary", odd(1.5)),
    "plans that overflow": ("canary", odd(3e38)),
}


@pytest.fixture
def served(tmp_path):
    """Address of a server whose policy has weights of version 7, and the admin key."""
    key, path = "admin-0123456789abcdef", tmp_path / "admin.key"
    path.write_text(key)
    path.chmod(0o600)
    config = ServerConfig(port=0, admin_key_file=path, max_weight_bytes=1 << 20)
    with in_background(PolicyServer({"echo": Echo()}, config)) as address:
        push_weights(address, "echo", NOW, {"gain": torch.tensor([1.0])}, key)
        yield address, key


class Watcher:
    """A client that asks all the time, and remembers which versions planned what."""

    def __init__(self, address: str) -> None:
        self.answers: Counter[tuple[int, float]] = Counter()
        self._address = address
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(30)
        assert not self._thread.is_alive()

    def _ask(self) -> None:
        with client_of(self._address) as client:
            while not self._ended.is_set():
                answer = client.ask(seen(1.0, 1.0, robot_rl__schema=1))
                self.answers[answer["robot_rl/version"], float(answer["robot_rl/plan"][0, 0])] += 1


def test_no_bad_weights_are_adopted_and_plans_go_on(served, report):
    address, key = served
    rng = random.Random(0)
    asked = [kind for kind in KINDS for _ in range(TIMES)]
    rng.shuffle(asked)
    told: Counter[tuple[str, str]] = Counter()
    with ExitStack() as stack:
        watcher = stack.enter_context(Watcher(address))
        headers = {"Authorization": f"Api-Key {key}"}
        link = stack.enter_context(
            connect(f"{address}/weights?policy=echo", additional_headers=headers, compression=None)
        )
        for kind in asked:
            link.send(KINDS[kind][1](rng))
            reply = msgspec.msgpack.decode(link.recv(30), type=WeightReply)
            assert not reply.adopted, kind
            assert reply.version == NOW
            assert reply.words
            told[kind, reply.reason] += 1
        before = watcher.answers.total()
        assert push_weights(address, "echo", NOW + 1, GOOD, key).version == NOW + 1
    assert told == {(kind, reason): TIMES for kind, (reason, _) in KINDS.items()}
    assert len(asked) >= 1_000
    assert watcher.answers.keys() <= {(NOW, 1.0), (NOW + 1, 0.5)}
    assert before > 100
    with urllib.request.urlopen(f"{address.replace('ws', 'http', 1)}/metrics") as page:
        counted = page.read().decode()
    for reason, kinds in Counter(reason for reason, _ in KINDS.values()).items():
        assert f'weights_total{{policy="echo",result="{reason}"}} {kinds * TIMES}\n' in counted
    assert 'weights_total{policy="echo",result="adopted"} 2\n' in counted
    report("bad weights", messages=len(asked), kinds=len(KINDS), adopted=0, plans=before)


def test_weights_that_are_too_long_end_the_senders_connection_alone(served):
    address, key = served
    headers = {"Authorization": f"Api-Key {key}"}
    path = f"{address}/weights?policy=echo"
    with (
        client_of(address) as client,
        connect(path, additional_headers=headers, compression=None) as link,
    ):
        link.send(bytes(2 << 20))
        with pytest.raises(ConnectionClosed, match="1009"):
            link.recv(30)
        assert client.ask(seen(1.0, 1.0, robot_rl__schema=1))["robot_rl/version"] == NOW
