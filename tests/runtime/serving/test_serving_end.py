"""Before READY and after the end was asked for."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from serving_rig import SPEC, Echo, client_of, seen
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from robot_rl.policies.remote.codec import encode
from robot_rl.runtime.serving.config import ServerConfig
from robot_rl.runtime.serving.server import PolicyServer
from robot_rl.runtime.serving.swap import encode_weights


@contextmanager
def running(policy: Echo, **settings):
    """A server that may not be ready yet, a function that asks it to end, and its thread."""
    server = PolicyServer({"echo": policy}, ServerConfig(port=0, **settings))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(server.run(),))
    thread.start()
    while not server.address:
        time.sleep(0.005)
    try:
        yield server.address, lambda: loop.call_soon_threadsafe(server.stop), thread
    finally:
        if thread.is_alive():
            loop.call_soon_threadsafe(server.stop)
        thread.join(10)
        assert not thread.is_alive()
        loop.close()


def status(address: str, path: str) -> int:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=10)
    connection.request("GET", path)
    return connection.getresponse().status


def wait_for(condition, seconds: float = 10.0) -> None:
    until_s = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.01)


def test_while_it_warms_up_it_is_healthy_but_not_ready_and_early_clients_wait():
    policy = Echo()
    policy.hold.clear()
    with running(policy) as (address, _, _):
        assert (status(address, "/healthz"), status(address, "/readyz")) == (200, 503)
        threading.Timer(0.3, policy.hold.set).start()
        with client_of(address) as client:
            assert status(address, "/readyz") == 200
            assert client.ask(seen())
    assert policy.sizes[:4] == [1, 8, 1, 8]


def test_an_end_during_warm_up_is_an_end():
    policy = Echo()
    policy.hold.clear()
    with running(policy) as (_, stop, thread):
        stop()
        thread.join(10)
        assert not thread.is_alive()
        policy.hold.set()


def test_what_is_in_flight_is_answered_and_everybody_is_told_why_it_ends():
    policy = Echo()
    with (
        running(policy, drain_s=20.0) as (address, stop, thread),
        client_of(address) as busy,
        client_of(address) as idle,
    ):
        policy.begun.clear()
        policy.hold.clear()
        busy.send(seen())
        assert policy.begun.wait(10)
        stop()
        wait_for(lambda: status(address, "/readyz") == 503)
        with pytest.raises(InvalidStatus), client_of(address):
            pass
        policy.hold.set()
        assert busy.receive()
        for client in (busy, idle):
            with pytest.raises(ConnectionClosed) as ended:
                client.connection.recv(10)
            assert ended.value.rcvd.code == 1001
            assert ended.value.rcvd.reason == "the server is ending"
        thread.join(10)
        assert not thread.is_alive()


def test_a_policy_that_hangs_does_not_keep_the_server_from_ending():
    policy = Echo()
    with running(policy, drain_s=0.1) as (address, stop, thread), client_of(address) as client:
        policy.begun.clear()
        policy.hold.clear()
        client.send(seen())
        assert policy.begun.wait(10)
        stop()
        with pytest.raises(ConnectionClosed) as ended:
            client.connection.recv(10)
        assert ended.value.rcvd.code == 1001
        thread.join(10)
        assert not thread.is_alive()
        policy.hold.set()


def test_a_client_that_does_not_read_does_not_keep_the_server_from_ending():
    wide = Echo(replace(SPEC, horizon=200_000))
    with (
        running(wide, drain_s=0.1) as (address, stop, thread),
        connect(address, compression=None, max_queue=1) as slow,
    ):
        for _ in range(8):
            slow.send(encode(seen()))
        wait_for(lambda: len(wide.sizes) > 5)
        stop()
        thread.join(20)
        assert not thread.is_alive()
        slow.socket.close()


def test_weights_that_are_being_tried_do_not_keep_the_server_from_ending(key_file):
    path, key = key_file("admin")
    policy, tried, hold = Echo(), threading.Event(), threading.Event()

    def with_weights(weights):
        tried.set()
        hold.wait(60)
        raise ValueError("too late")

    policy.with_weights = with_weights
    with running(policy, admin_key_file=path) as (address, stop, thread):
        wait_for(lambda: status(address, "/readyz") == 200)
        headers = {"Authorization": f"Api-Key {key}"}
        where = f"{address}/weights?policy=echo"
        with connect(where, additional_headers=headers, compression=None) as link:
            link.send(encode_weights("echo", 1, policy.weights))
            assert tried.wait(10)
            stop()
            thread.join(20)
            assert not thread.is_alive()
    hold.set()


def test_clients_that_ask_all_the_time_get_an_answer_or_the_end_and_nothing_else():
    policy = Echo(infer_s=0.002)
    outcomes = []

    def ask(address: str) -> None:
        try:
            with client_of(address) as client:
                while True:
                    client.ask(seen())
        except ConnectionClosed as closed:
            outcomes.append(closed.rcvd and closed.rcvd.code)

    with running(policy) as (address, stop, thread):
        clients = [threading.Thread(target=ask, args=(address,)) for _ in range(6)]
        for client in clients:
            client.start()
        wait_for(lambda: sum(policy.sizes) > 100)
        stop()
        for client in clients:
            client.join(20)
        thread.join(10)
    assert outcomes == [1001] * 6


def test_a_client_that_no_longer_answers_pings_is_dropped():
    with running(Echo(), ping_s=0.2) as (address, _, _):
        place = urlsplit(address)
        with socket.create_connection((place.hostname, place.port), timeout=10) as silent:
            silent.sendall(
                b"GET / HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: MDEyMzQ1Njc4OTAxMjM0NQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            heard = b""
            while more := silent.recv(4096):
                heard += more
        assert b"keepalive ping timeout" in heard
