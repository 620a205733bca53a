"""A client's side of an open websocket (RFC 6455): messages over a socket, in one thread.

Written for messages of megabytes: what is sent goes out from where it lies, what comes is received
into memory of its own, and nothing is copied in between. No extensions, thus no compression.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from robot_rl.core.errors import ContractError

Buffer = bytes | bytearray | memoryview

_CONTINUED, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10
_FIN, _MASKED, _LENGTH = 0x80, 0x80, 0x7F
_NORMAL = (1000).to_bytes(2)
_MAX_CONTROL = 125
_MAX_FRAGMENTS = 1024
_CHUNK = 1 << 14

_MASK = bytes(4)
"""A client has to mask what it sends, lest a script in a browser writes what a proxy takes for
another request. This is no browser and nobody else chooses its bytes, so the mask is zero, which
every server accepts, and megabytes need no second pass."""


class ClosedError(OSError):
    """The other side has closed the websocket; the message says why."""


@dataclass(frozen=True, slots=True)
class Message:
    """What came; text only if `is_text`."""

    data: Buffer
    is_text: bool


class FrameSocket:
    """Sends and receives messages; every wait ends at a deadline of the monotonic clock [s].

    Args:
        connected: a socket whose handshake is done; it is closed with this.
        ahead: what was read after the handshake.
        max_bytes: of a message that may come.
    """

    def __init__(self, connected: socket.socket, ahead: bytes, max_bytes: int) -> None:
        self._socket = connected
        self._ahead = ahead
        self._max_bytes = max_bytes

    def send(self, parts: Sequence[Buffer], deadline_s: float) -> None:
        """Send one binary message made of these parts.

        Raises:
            OSError: if it cannot be sent, TimeoutError if not in time.
        """
        self._send(_BINARY, parts, deadline_s)

    def receive(self, deadline_s: float) -> Message:
        """Return the next message; answers pings meanwhile.

        Raises:
            OSError: if none comes, TimeoutError if not in time, ClosedError if none will come.
            ContractError: if what comes breaks the protocol, or is too long.
        """
        parts, opcode, size = list[Buffer](), _CONTINUED, 0
        while True:
            final, kind, data = self._frame(deadline_s, size)
            if kind >= _CLOSE:
                self._control(kind, bytes(data), deadline_s)
                continue
            if (kind == _CONTINUED) != bool(parts) or len(parts) >= _MAX_FRAGMENTS:
                raise ContractError(f"websocket: a message in pieces, broken after {len(parts)}")
            opcode = kind or opcode
            parts.append(data)
            size += len(data)
            if final:
                whole = parts[0] if len(parts) == 1 else b"".join(parts)
                return Message(whole, opcode == _TEXT)

    def refresh(self, deadline_s: float) -> None:
        """Answer what has come since the last message, without waiting for more.

        Raises:
            OSError: if the line is dead; ContractError: if a message came that nobody asked for.
        """
        while self._ahead or self._has_come():
            final, kind, data = self._frame(deadline_s, 0)
            if kind < _CLOSE or not final:
                raise ContractError("websocket: a message came that nobody had asked for")
            self._control(kind, bytes(data), deadline_s)

    def close(self) -> None:
        """Say goodbye if that is possible at once, and hang up."""
        try:
            self._send(_CLOSE, [_NORMAL], time.monotonic() + 0.01)
        except OSError:
            pass
        finally:
            self._socket.close()

    def _has_come(self) -> bool:
        self._socket.settimeout(0.0)
        try:
            self._ahead = self._socket.recv(_CHUNK)
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        if not self._ahead:
            raise ClosedError("the connection has ended")
        return True

    def _control(self, kind: int, data: bytes, deadline_s: float) -> None:
        if kind == _PING:
            self._send(_PONG, [data], deadline_s)
        elif kind == _CLOSE:
            code = int.from_bytes(data[:2]) if data else 1005
            raise ClosedError(
                f"closed by the server, code {code} {data[2:].decode(errors='replace')}"
            )
        elif kind != _PONG:
            raise ContractError(f"websocket: unknown kind of frame {kind}")

    def _frame(self, deadline_s: float, before: int) -> tuple[bool, int, Buffer]:
        """Whether it ends a message, its kind, its data; `before` bytes came with others."""
        self._fill(2, deadline_s)
        first, second = self._ahead[0], self._ahead[1]
        final, kind, length = bool(first & _FIN), first & 0x0F, second & _LENGTH
        if first & 0x70 or second & _MASKED or 2 < kind < _CLOSE:
            raise ContractError(f"websocket: a frame begins with {self._ahead[:2].hex()}")
        head = 2 + {126: 2, 127: 8}.get(length, 0)
        if head > 2:
            self._fill(head, deadline_s)
            length = int.from_bytes(self._ahead[2:head])
        if kind >= _CLOSE and (length > _MAX_CONTROL or not final):
            raise ContractError("websocket: a control frame is too long")
        if before + length > self._max_bytes:
            raise ContractError(
                f"message: got {before + length} bytes, expected at most {self._max_bytes}"
            )
        data, self._ahead = self._ahead[head : head + length], self._ahead[head + length :]
        return final, kind, data if len(data) == length else self._rest(data, length, deadline_s)

    def _rest(self, begun: bytes, length: int, deadline_s: float) -> memoryview:
        # Not a bytearray: that would be filled with zeros before it is filled with data.
        data = memoryview(np.empty(length, np.uint8))
        have = len(begun)
        data[:have] = begun
        while have < length:
            self._until(deadline_s)
            got = self._socket.recv_into(data[have:])
            if not got:
                raise ClosedError("the connection has ended within a message")
            have += got
        return data

    def _fill(self, least: int, deadline_s: float) -> None:
        while len(self._ahead) < least:
            self._until(deadline_s)
            more = self._socket.recv(_CHUNK)
            if not more:
                raise ClosedError("the connection has ended")
            self._ahead += more

    def _send(self, kind: int, parts: Sequence[Buffer], deadline_s: float) -> None:
        length = sum(len(part) for part in parts)
        if length < 126:
            head = bytes([_FIN | kind, _MASKED | length]) + _MASK
        elif length < 1 << 16:
            head = bytes([_FIN | kind, _MASKED | 126]) + length.to_bytes(2) + _MASK
        else:
            head = bytes([_FIN | kind, _MASKED | 127]) + length.to_bytes(8) + _MASK
        if isinstance(self._socket, ssl.SSLSocket):
            self._until(deadline_s)
            self._socket.sendall(b"".join([head, *parts]))
            return
        views = [memoryview(part) for part in (head, *parts)]
        while views:
            self._until(deadline_s)
            sent = self._socket.sendmsg(views)
            while views and sent >= len(views[0]):
                sent -= len(views.pop(0))
            if views:
                views[0] = views[0][sent:]

    def _until(self, deadline_s: float) -> None:
        left_s = deadline_s - time.monotonic()
        if left_s <= 0.0:
            raise TimeoutError("timed out")
        self._socket.settimeout(left_s)
