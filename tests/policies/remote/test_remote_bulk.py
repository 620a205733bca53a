import socket
import ssl
import subprocess
import threading
from contextlib import suppress
from itertools import pairwise
from queue import SimpleQueue
from random import Random

import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, ConnectionClosedError
from websockets.sync.client import connect

from robot_rl.core.errors import ConfigError
from robot_rl.policies.remote.bulk import LEAST_BYTES, BulkConnection
from robot_rl.policies.remote.codec import encode
from robot_rl.policies.remote.connection import PolicyConnection

SIZES = (0, 1, 125, 126, 4000, LEAST_BYTES - 1, LEAST_BYTES, LEAST_BYTES + 3, 65_535, 2_000_001)
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


async def echo(connection):
    async for data in connection:
        await connection.send(data)


@pytest.fixture
def port(start):
    return start(echo, create_connection=BulkConnection, max_size=3_000_000)


@pytest.fixture
def client(port):
    with connect(f"ws://127.0.0.1:{port}", compression=None, max_size=None) as client:
        yield client


def noise(size: int, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).bytes(size)


@pytest.mark.parametrize("size", SIZES)
def test_a_message_comes_as_it_was_sent(client, size):
    client.send(noise(size))

    assert client.recv() == noise(size)


def test_messages_that_follow_each_other_come_in_order(client):
    messages = [noise(size, i) for i, size in enumerate(SIZES * 2)]
    for message in messages:
        client.send(message)
        client.ping()

    assert [client.recv() for _ in messages] == messages


def test_text_and_messages_in_pieces_are_left_to_websockets(client):
    pieces = [noise(LEAST_BYTES * 2, i) for i in range(3)]
    client.send(pieces)
    client.send("a" * LEAST_BYTES * 2)
    client.send(pieces[0])

    assert client.recv() == b"".join(pieces)
    assert client.recv() == "a" * LEAST_BYTES * 2
    assert client.recv() == pieces[0]


def test_a_message_that_is_too_long_ends_the_connection(client):
    client.send(bytes(3_000_000))
    assert client.recv() == bytes(3_000_000)
    client.send(bytes(3_000_001))

    with pytest.raises(ConnectionClosedError, match="1009"):
        client.recv()


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_frames_that_come_in_crumbs_are_put_together(port, step):
    small, long = bytes([0x82, 0x83, 1, 2, 3, 4]) + b"abc", noise(LEAST_BYTES)
    stream = small + b"\x82\xff" + LEAST_BYTES.to_bytes(8) + bytes(4) + long + small
    expected = bytes([0x82, 3]) + bytes(x ^ y for x, y in zip(b"abc", b"\1\2\3", strict=True))
    with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.sendall(HANDSHAKE)
        assert raw.recv(4096).startswith(b"HTTP/1.1 101")
        for at in range(0, 40, step):
            raw.sendall(stream[at : min(at + step, 40)])
        raw.sendall(stream[40:])
        got = b""
        while len(got) < 2 * len(expected) + 4 + LEAST_BYTES:
            got += raw.recv(1 << 16)

    assert got == expected + b"\x82\x7e" + LEAST_BYTES.to_bytes(2) + long + expected


def test_a_client_that_is_gone_in_the_middle_of_a_message_is_let_go(start):
    ended = threading.Event()

    async def handle(connection):
        try:
            await connection.recv()
        except ConnectionClosedError:
            ended.set()

    port = start(handle, create_connection=BulkConnection)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
        raw.sendall(HANDSHAKE)
        raw.recv(4096)
        raw.sendall(b"\x82\xff" + (1 << 20).to_bytes(8) + bytes(4) + bytes(100_000))
    assert ended.wait(10)


def test_over_tls(start, tmp_path):
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    command += ["-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "cert")]
    try:
        subprocess.run([*command, *names, *files], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")

    async def greet(connection):
        await connection.send(encode({}))
        await echo(connection)

    port = start(greet, create_connection=BulkConnection, ssl=context)
    image = np.frombuffer(noise(1_000_000), np.uint8)
    url = f"wss://127.0.0.1:{port}"
    with PolicyConnection(url, ca_file=tmp_path / "cert") as connection:
        for _ in range(3):
            np.testing.assert_array_equal(connection.ask({"a": image})["a"], image)
    with pytest.raises(ConfigError, match="ca_file"):
        PolicyConnection(url)


def frame(rng: Random) -> bytes:
    """Mostly what a client may send."""
    size = rng.choice((0, 3, 200, LEAST_BYTES - 1, LEAST_BYTES, LEAST_BYTES * 3, 70_000))
    first = rng.choices(
        (0x82, 0x81, 0x02, 0x80, 0x00, 0x89, 0x8A, 0x83), (20, 2, 1, 2, 1, 2, 1, 0.3)
    )
    code = size if size < 126 else 126 if size < 1 << 16 else 127
    length = b"" if code == size else size.to_bytes(2 if code == 126 else 8)
    masked = rng.random() < 0.97
    mask = rng.choice((bytes(4), rng.randbytes(4))) if masked else b""
    body = b"a" * size if rng.random() < 0.5 else rng.randbytes(size)
    return bytes([first[0], code | 0x80 * masked]) + length + mask + body


@pytest.mark.parametrize("seed", range(5))
def test_whatever_comes_is_taken_as_websockets_takes_it(start, seed):
    rng = Random(seed)
    heard = {ServerConnection: SimpleQueue(), BulkConnection: SimpleQueue()}

    def listening(kind):
        async def handle(connection):
            messages = []
            with suppress(ConnectionClosed):
                async for message in connection:
                    messages.append(message)
            heard[kind].put((messages, connection.close_code))

        return start(handle, create_connection=kind, max_size=90_000)

    ports = {kind: listening(kind) for kind in heard}
    lengths = []
    for _ in range(20):
        stream = bytearray(b"".join(frame(rng) for _ in range(rng.randint(1, 8))))
        if rng.random() < 0.3:
            stream[rng.randrange(min(len(stream), 14))] = rng.randrange(256)
        cuts = sorted(rng.randrange(len(stream)) for _ in range(rng.randint(0, 6)))
        for port in ports.values():
            with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
                raw.sendall(HANDSHAKE)
                raw.recv(4096)
                with suppress(ConnectionError):
                    for begin, end in pairwise([0, *cuts, len(stream)]):
                        raw.sendall(stream[begin:end])
                    raw.shutdown(socket.SHUT_WR)
                    while raw.recv(1 << 16):
                        pass
        plain, ours = (heard[kind].get(timeout=10) for kind in heard)
        assert ours == plain
        lengths += [len(message) for message in ours[0]]
    assert max(lengths) >= LEAST_BYTES
