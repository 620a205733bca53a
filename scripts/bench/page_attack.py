"""Somebody who means no good at the page: messages that are none, connections that say nothing.

A process of its own, which is asked through `page_helper`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import resource
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from page_helper import answer_lines
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from robot_rl.session.page.message import PROTOCOL

MALFORMED: tuple[str | bytes, ...] = (
    "",
    "no JSON",
    '{"type":"motion","number":1,"active":true,"action":[NaN,0,0,0,0,0]}',
    '{"type":"motion","number":1,"active":true,"action":[1e999,2]}',
    '{"type":"command","number":-1,"verb":"start","arguments":{}}',
    '{"type":"command","number":1,"verb":"explode","arguments":{}}',
    '{"type":"painted","camera":1e300,"number":1}',
    '{"type":"nothing"}',
    "[" * 5000,
    json.dumps({"type": "hello", "token": "t" * 60_000, "protocol": PROTOCOL}),
    '{"type":"note","text":"' + "x" * 70_000 + '"}',
    b"\x00" * 24,
)
_UPGRADE = (
    "GET /ws HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
_AT_ONCE = 25
_LINGER_S = 1.0
_FOES = 4
_HASTE = 0.8
"""Of the time is for what is to be sent; the rest is for connections that come slowly."""
_DESCRIPTORS_BESIDE = 200
_NICE = 15


def attack(url: str, messages: int, connections: int, seconds: float) -> tuple[int, int]:
    """Send and connect over the time; return how many messages and connections it was in fact.

    Every second connection asks for a websocket, and then says nothing either.
    """
    _allow_descriptors(connections + _DESCRIPTORS_BESIDE)
    return asyncio.run(_attack(url, messages, connections, seconds))


def main() -> None:
    """Attack as often as is asked for; what that costs here is not the page's doing."""
    os.nice(_NICE)
    answer_lines({"attack": attack})


async def _attack(url: str, messages: int, connections: int, seconds: float) -> tuple[int, int]:
    end_s = time.monotonic() + seconds
    share = messages // _FOES
    foes = [_send(url, share + (foe < messages % _FOES), seconds) for foe in range(_FOES)]
    *sent, opened = await asyncio.gather(*foes, _idle(url, connections, seconds, end_s))
    return sum(sent), opened


async def _send(url: str, count: int, seconds: float) -> int:
    """Send messages that are none; the page closes a connection after a few of them."""
    address, token = _address(url), url.partition("#token=")[2]
    hello = json.dumps({"type": "hello", "token": token, "protocol": PROTOCOL, "name": "foe"})
    junk, sent, began_s = itertools.cycle(MALFORMED), 0, time.monotonic()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while sent < count:
                with contextlib.suppress(OSError, WebSocketException):
                    async with connect(f"ws://{address}/ws", close_timeout=0.1) as socket:
                        await socket.send(hello)
                        await socket.recv()
                        while sent < count:
                            await socket.send(next(junk))
                            sent += 1
                            due_s = began_s + _HASTE * seconds * sent / count
                            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
    return sent


async def _idle(url: str, count: int, seconds: float, end_s: float) -> int:
    """Open so many connections, and hold them for as long as the page lets them be."""
    address = _address(url)
    host, _, port = address.rpartition(":")
    held: list[asyncio.StreamWriter] = []
    began_s = time.monotonic()
    try:
        for part in _parts(count):
            made = [asyncio.open_connection(host, int(port)) for _ in part]
            for number, found in zip(
                part, await asyncio.gather(*made, return_exceptions=True), strict=True
            ):
                if isinstance(found, BaseException):
                    continue
                held.append(found[1])
                if number % 2:
                    found[1].write(_UPGRADE.format(host=address).encode())
            due_s = began_s + max(0.0, seconds - _LINGER_S) * len(held) / count
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        await asyncio.sleep(max(0.0, end_s - time.monotonic()))
        return len(held)
    finally:
        for writer in held:
            writer.transport.abort()


def _parts(count: int) -> Iterator[range]:
    return (range(at, min(at + _AT_ONCE, count)) for at in range(0, count, _AT_ONCE))


def _address(url: str) -> str:
    return urlsplit(url).netloc


def _allow_descriptors(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        most = count if hard == resource.RLIM_INFINITY else min(count, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
