import asyncio
import os
import socket
import threading
import time

import numpy as np
import pytest
from websockets.asyncio.server import unix_serve
from wire_toys import serving

from robot_rl.core.errors import ConfigError, ContractError, HardwareError
from robot_rl.policies.remote.codec import decode, encode
from robot_rl.policies.remote.connection import PolicyConnection

IMAGES = {
    "a": np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8),
    "b": np.zeros((3, 5), np.float32),
}


async def echo(connection):
    await connection.send(encode({"hello": "there"}))
    async for data in connection:
        await connection.send(data)


def after(count, then):
    """Answers `count` requests, then does something else with the next."""

    async def handle(connection):
        await connection.send(encode({"count": count}))
        for _ in range(count):
            await connection.send(await connection.recv())
        await connection.recv()
        await then(connection)

    return handle


async def fall_silent(connection):
    await connection.wait_closed()


async def hang_up(connection):
    connection.transport.abort()


async def fail(connection):
    await connection.send("Traceback: the policy is broken")
    await connection.close(1011)


async def say_garbage(connection):
    await connection.send(b"\x81\xa1a\xc1")


async def say_too_much(connection):
    await connection.send(bytes(3_000_000))


async def answer_in_pieces(connection):
    data = encode(IMAGES)
    await connection.ping()
    await connection.send([data[:1000], data[1000:1001], data[1001:]])


def connected(port, **options):
    return PolicyConnection(f"ws://127.0.0.1:{port}", **{"timeout_s": 5.0, **options})


def assert_same(got, expected):
    assert got.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(got[key], value)


def test_messages_of_every_length_come_back(start):
    with connected(start(echo)) as connection:
        assert connection.metadata == {"hello": "there"}
        for size in (0, 1, 100, 125, 126, 127, 60_000, 65_535, 65_536, 3_000_000):
            message = {"a": np.arange(size, dtype=np.uint8)}
            assert_same(connection.ask(message), message)


def test_a_server_that_is_openpis_own_is_understood(openpi, start):
    async def handle(connection):
        packer = openpi.msgpack_numpy.Packer()
        await connection.send(packer.pack({"name": "pi"}))
        async for data in connection:
            seen = openpi.msgpack_numpy.unpackb(data)
            actions = np.full((50, 14), float(seen["image"].sum()) + seen["state"].sum())
            await connection.send(packer.pack({"actions": actions, "server_timing": {}}))

    image = np.ones((64, 64, 3), np.uint8)
    with connected(start(handle)) as connection:
        answer = connection.ask({"image": image, "state": np.float32([0.5, 0.25])})

    assert connection.metadata == {"name": "pi"}
    np.testing.assert_array_equal(answer["actions"], np.full((50, 14), 64 * 64 * 3 + 0.75))


def test_openpis_own_client_is_understood(openpi, start, recwarn):
    async def handle(connection):
        await connection.send(encode({"name": "ours"}))
        async for data in connection:
            seen = decode(data)
            await connection.send(encode({"actions": seen["image"][0] * np.float32(0.5)}))

    port = start(handle)
    client = openpi.websocket_client_policy.WebsocketClientPolicy("127.0.0.1", port)
    try:
        image = np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3)
        answer = client.infer({"image": image, "prompt": "push"})
    finally:
        client._ws.close()

    assert client.get_server_metadata() == {"name": "ours"}
    np.testing.assert_array_equal(answer["actions"], image[0] * np.float32(0.5))


def test_answers_in_pieces_and_pings_in_between_are_understood(start):
    with connected(start(after(0, answer_in_pieces))) as connection:
        assert_same(connection.ask({}), IMAGES)


def test_nobody_there_is_said_at_once():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    with pytest.raises(HardwareError, match=r"lost.*refused.*is it running"):
        connected(port)


@pytest.mark.parametrize("listens", [b"", b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 404 No\r\n\r\n"])
def test_what_is_no_policy_server_is_told_in_time(listens):
    with socket.create_server(("127.0.0.1", 0)) as server:
        begun_s = time.monotonic()

        def accept():
            taken, _ = server.accept()
            with taken:
                taken.sendall(listens)
                time.sleep(0.0 if listens else 1.0)

        thread = threading.Thread(target=accept)
        thread.start()
        with pytest.raises(HardwareError):
            connected(server.getsockname()[1], timeout_s=0.3)
        assert time.monotonic() - begun_s < 5.0
        thread.join()


@pytest.mark.parametrize(
    ("then", "kind", "words"),
    [
        (fall_silent, HardwareError, "timed out"),
        (hang_up, HardwareError, "lost"),
        (fail, ContractError, "the policy is broken"),
        (say_garbage, ContractError, "message"),
        (say_too_much, ContractError, "at most 2000000"),
    ],
)
def test_after_a_failure_the_next_request_connects_anew(start, then, kind, words):
    with connected(start(after(1, then)), max_bytes=2_000_000) as connection:
        for _ in range(3):
            assert_same(connection.ask(IMAGES), IMAGES)
            with pytest.raises(kind, match=words):
                connection.ask(IMAGES, timeout_s=0.5 if then is fall_silent else 5.0)


def test_a_server_that_has_come_back_is_found_by_the_next_request():
    with serving(echo) as port:
        connection = connected(port)
        assert connection.ask({"a": 1}) == {"a": 1}
    with pytest.raises(HardwareError):
        connection.ask({"a": 2})
    with serving(echo, port=port), connection:
        assert connection.ask({"a": 3}) == {"a": 3}


def test_a_line_that_died_between_two_requests_costs_no_request(start):
    async def answer_once(connection):
        await connection.send(encode({}))
        await connection.send(await connection.recv())

    with connected(start(answer_once)) as connection:
        for i in range(5):
            assert connection.ask({"a": i}) == {"a": i}
            time.sleep(0.05)


def test_a_hundred_lost_lines_leave_nothing_behind(start):
    connection = connected(start(after(0, hang_up)))
    threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
    for _ in range(100):
        with pytest.raises(HardwareError):
            connection.ask({})

    assert threading.active_count() == threads
    # The server lets go of its end a little later.
    deadline_s = time.monotonic() + 5.0
    while len(os.listdir("/proc/self/fd")) > files and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert len(os.listdir("/proc/self/fd")) <= files
    connection.close()


def test_the_key_is_told_and_a_wrong_one_is_refused(start):
    def admit(connection, request):
        good = request.headers.get("Authorization") == "Api-Key sesame"
        return None if good else connection.respond(401, "no")

    port = start(echo, process_request=admit)
    with connected(port, api_key="sesame") as connection:
        assert connection.ask({"a": 1}) == {"a": 1}
    for key in (None, "wrong"):
        with pytest.raises(ConfigError, match="401"):
            connected(port, api_key=key)


@pytest.mark.parametrize("url", ["http://a", "ws://", "127.0.0.1:8000", "", "unix:"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(ConfigError, match="url"):
        PolicyConnection(url)


def test_a_key_does_not_travel_in_the_clear():
    with pytest.raises(ConfigError, match="wss://"):
        PolicyConnection("ws://192.0.2.1:1", api_key="sesame")


def test_a_server_behind_a_unix_socket(tmp_path):
    path, ready, end = tmp_path / "policy.sock", threading.Event(), []

    async def run():
        end.extend([asyncio.get_running_loop(), asyncio.Event()])
        async with unix_serve(echo, str(path), max_size=None):
            ready.set()
            await end[1].wait()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    assert ready.wait(10)
    try:
        with PolicyConnection(f"unix://{path}") as connection:
            assert_same(connection.ask(IMAGES), IMAGES)
    finally:
        end[0].call_soon_threadsafe(end[1].set)
        thread.join()
