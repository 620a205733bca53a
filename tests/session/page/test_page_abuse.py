"""Whoever misbehaves is sent away, and nobody else notices."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import time

import pytest
from page_rig import Page, frame, view
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from robot_rl.session.command import Command
from robot_rl.session.mode import Verb
from robot_rl.session.page.message import PROTOCOL


def closing(page: Page, *messages: object, **options) -> int:
    """Say something first, and return the code with which the websocket is closed."""
    with connect(page.ws_address, **options) as socket_:
        with contextlib.suppress(ConnectionClosed):
            for message in messages:
                said = isinstance(message, str | bytes)
                socket_.send(message if said else json.dumps(message))
            while True:
                socket_.recv(20)
        return socket_.close_code or 0


def resident(page: Page) -> int:
    """Memory of the page's process [bytes]."""
    with open(f"/proc/{page.process.pid}/statm") as file:
        return int(file.read().split()[1]) * 4096


@pytest.mark.parametrize(
    "first",
    [
        {"type": "motion", "number": 1, "active": True, "action": [1, 1, 1, 1]},
        {"type": "command", "number": 1, "verb": "start"},
        {"type": "hidden"},
        {"type": "hello", "protocol": PROTOCOL},
        "x",
        b"x",
    ],
    ids=str,
)
def test_hello_comes_first(page: Page, first):
    assert closing(page, first) == 4401


def test_another_protocol_is_refused(page: Page):
    assert closing(page, {"type": "hello", "token": page.token, "protocol": PROTOCOL - 1}) == 4401


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost"])
def test_a_page_of_another_origin_is_refused_though_it_knows_the_token(page: Page, origin):
    hello = {"type": "hello", "token": page.token, "protocol": PROTOCOL}
    assert closing(page, hello, origin=origin) == 4403


def test_another_host_is_refused_though_it_knows_the_token(page: Page):
    hello = {"type": "hello", "token": page.token, "protocol": PROTOCOL}
    rebound = page.ws_address.replace("127.0.0.1", "evil.example")
    # The name that somebody points at this machine.
    with connect(rebound, sock=socket.create_connection(("127.0.0.1", page.port))) as socket_:
        with contextlib.suppress(ConnectionClosed):
            socket_.send(json.dumps(hello))
            socket_.recv(20)
        assert socket_.close_code == 4403


def test_its_own_origin_is_welcome(page: Page):
    with page.browser(origin=page.address) as browser:
        assert browser.name


def test_who_says_no_hello_is_sent_away_after_two_seconds(page: Page):
    began_s = time.monotonic()
    assert closing(page) == 4401
    assert 1.8 < time.monotonic() - began_s < 5.0


def test_a_thousand_messages_of_nonsense_end_one_connection_alone(page: Page):
    chance = random.Random(0)
    # The client reads on only while it is asked for what it has read.
    with page.browser() as other, page.browser(close_timeout=0.2) as browser:
        errors = 0
        with contextlib.suppress(ConnectionClosed):
            for _ in range(1000):
                browser.socket.send(
                    bytes(chance.randrange(256) for _ in range(40)).decode("latin1")
                )
            while True:
                errors += json.loads(browser.socket.recv(20))["type"] == "error"
        assert browser.socket.close_code == 1008
        assert errors <= 21
        other.say(type="command", number=1, verb="stop")
        assert other.until("answer")["done"]


def test_a_few_mistakes_are_answered_with_words(page: Page):
    with page.browser() as browser:
        browser.say(type="motion", number=1, active=True, action=[1.0])
        assert "expected 4" in browser.until("error")["words"]
        browser.say(type="hello", token=page.token, protocol=PROTOCOL)
        assert "once" in browser.until("error")["words"]
        browser.socket.send("x" * 70_000)
        assert "at most 65536" in browser.until("error")["words"]
        browser.say(type="command", number=1, verb="stop")
        assert browser.until("answer")["done"]


def test_a_message_of_a_megabyte_ends_its_connection(page: Page):
    before = resident(page)
    with page.browser() as browser:
        with contextlib.suppress(ConnectionClosed):
            browser.socket.send("x" * (1 << 20))
        assert browser.code_of_closing() == 1009
    assert resident(page) - before < 16 << 20


def test_a_flood_is_cut_off_and_its_stops_are_heard(page: Page):
    with page.browser(close_timeout=0.2) as browser:
        said = json.dumps({"type": "motion", "number": 1, "active": False, "action": []})
        with contextlib.suppress(ConnectionClosed):
            for _ in range(205):
                browser.socket.send(said)
            browser.say(type="command", number=7, verb="stop")
            for _ in range(3000):
                browser.socket.send(said)
        assert browser.code_of_closing() == 1008
        _, stop = page.desk.wait_for(Command, browser.name)
        assert stop.verb == Verb.STOP


def test_too_many_tabs_are_told_so(serve):
    page: Page = serve(most_clients=2)
    with page.browser(), page.browser():
        hello = {"type": "hello", "token": page.token, "protocol": PROTOCOL}
        assert closing(page, hello) == 1013
    with page.browser():
        pass
    # More than ten wrong tokens in a minute: then not even the right one is looked at.
    for _ in range(11):
        assert closing(page, hello | {"token": "wrong"}) == 4401
    assert closing(page, hello) == 4401
    assert page.http("GET", "/api/episodes").status_code == 429
    assert page.http("GET", "/healthz", None).status_code == 200


def test_a_thousand_idle_connections_keep_nobody_out(page: Page):
    before = resident(page)
    idle = [socket.create_connection(("127.0.0.1", page.port)) for _ in range(1000)]
    try:
        began_s = time.monotonic()
        with page.browser() as browser:
            browser.say(type="command", number=1, verb="stop")
            assert browser.until("answer")["done"]
            assert time.monotonic() - began_s < 2.0
            for connection in idle:
                connection.settimeout(10)
                with contextlib.suppress(ConnectionResetError):
                    assert connection.recv(1) == b""
        assert time.monotonic() - began_s < 10.0
    finally:
        for connection in idle:
            connection.close()
    assert resident(page) - before < 32 << 20


def test_requests_that_trickle_in_are_cut_off(page: Page):
    head = f"Host: {page.host}\r\nAuthorization: Bearer {page.token}\r\n"
    begun = {
        "nothing": "",
        "half a head": f"GET / HTTP/1.1\r\n{head}",
        "half a second head": f"GET /healthz HTTP/1.1\r\n{head}\r\nGET / HTTP/1.1\r\n",
        "half a body": f"POST /command HTTP/1.1\r\n{head}Content-Length: 1000\r\n\r\n{{",
        "half an upgrade": f"GET /ws HTTP/1.1\r\n{head}Upgrade: websocket\r\n",
    }
    slow = {what: socket.create_connection(("127.0.0.1", page.port)) for what in begun}
    for what, connection in slow.items():
        connection.sendall(begun[what].encode())
        connection.settimeout(0.01)
    until_s = time.monotonic() + 10
    while slow:
        assert time.monotonic() < until_s, f"still there: {', '.join(slow)}"
        time.sleep(0.05)
        for what, connection in tuple(slow.items()):
            if has_ended(connection):
                slow.pop(what).close()


def has_ended(connection: socket.socket) -> bool:
    try:
        if connection.recv(4096) == b"":
            return True
    except TimeoutError:
        pass
    except OSError:
        return True
    with contextlib.suppress(OSError):
        connection.sendall(b"a")
    return False


def test_who_does_not_read_does_not_slow_the_others(page: Page):
    with page.browser(close_timeout=0.2) as stuck, page.browser() as other:
        stuck.socket.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for number in range(2000, 2060):
            page.process.show(view(number))
            page.process.picture(frame("slow", number))
            told = other.until("view", lambda v, n=number: v["number"] >= n)
            assert told["number"] == number
