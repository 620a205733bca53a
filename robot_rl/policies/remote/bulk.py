"""A server's websocket that takes long messages as they come: into their own memory, once.

`websockets` gathers what it receives in a buffer that grows, cuts the message out of it and
unmasks it into a third place. For a pair of images that is most of the time that they are on
their way. Long binary messages in one frame are received where they stay, all else is left to it.
"""

from __future__ import annotations

import asyncio

import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.server import ServerConnection
from websockets.frames import Frame, Opcode
from websockets.protocol import State

LEAST_BYTES = 1 << 15
"""A shorter message is read by `websockets` itself."""

_SCRATCH = 1 << 16
_WHOLE_BINARY, _MASKED = 0x82, 0x80


class BulkConnection(ServerConnection, asyncio.BufferedProtocol):
    """For `websockets.asyncio.server.serve(create_connection=BulkConnection)`."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BaseProtocol`."""
        super().connection_made(transport)
        self._scratch = memoryview(bytearray(_SCRATCH))
        self._held = b""
        """What came of a frame's head, as long as it is not whole."""
        self._owed = 0
        """Bytes until the next frame begins, all for `websockets`."""
        self._framed: bool | None = None
        """Whether it is known where frames begin; None until the handshake is over."""
        self._long: memoryview | None = None
        self._have = 0
        self._mask = b""

    def get_buffer(self, sizehint: int) -> memoryview:
        """See `asyncio.BufferedProtocol`."""
        return self._scratch if self._long is None else self._long[self._have :]

    def buffer_updated(self, nbytes: int) -> None:
        """See `asyncio.BufferedProtocol`."""
        if self._long is None:
            self._take(bytes(self._scratch[:nbytes]))
            return
        self._have += nbytes
        self._deliver_if_whole(self._long)

    def _take(self, data: bytes) -> None:
        if self.protocol.state is State.CONNECTING:
            # A client that sends frames before it was let in has the slow way for good.
            self._framed = data.endswith(b"\r\n\r\n")
            self.data_received(data)
        elif not self._framed:
            self.data_received(data)
        else:
            self._sort(self._held + data)

    def _sort(self, data: bytes) -> None:
        """Pass on what `websockets` reads, up to where a long message begins."""
        at = 0
        while at < len(data):
            if self._owed == 0:
                if (head := _head(data, at)) is None:
                    break
                body, length = head
                if data[at] == _WHOLE_BINARY and data[at + 1] & _MASKED and self._takes(length):
                    self._begin(data, body, length)
                    return
                self._owed = body - at + length
            passed = min(self._owed, len(data) - at)
            self._owed -= passed
            self.data_received(data[at : at + passed])
            at += passed
        self._held = data[at:]

    def _takes(self, length: int) -> bool:
        protocol, most = self.protocol, self.protocol.max_message_size
        fits = length >= LEAST_BYTES and (most is None or length <= most)
        return fits and protocol.state is State.OPEN and protocol.current_size is None

    def _begin(self, data: bytes, body: int, length: int) -> None:
        """What follows the message in `data`, if anything, is sorted once it is whole."""
        self._mask, self._held = data[body - 4 : body], data[body + length :]
        self._long = memoryview(np.empty(length, np.uint8))
        here = data[body : body + length]
        self._long[: len(here)] = here
        self._have = len(here)
        self._deliver_if_whole(self._long)

    def _deliver_if_whole(self, message: memoryview) -> None:
        if self._have < len(message):
            return
        self._long = None
        _unmask(np.frombuffer(message, np.uint8), self._mask)
        self.process_event(Frame(Opcode.BINARY, message))
        if self._held:
            self._sort(self._held)


def _head(data: bytes, at: int) -> tuple[int, int] | None:
    """Where the data of a frame begin and how many they are; None if its head is not whole."""
    if len(data) < at + 2:
        return None
    code = data[at + 1] & 0x7F
    more = {126: 2, 127: 8}.get(code, 0)
    body = at + 2 + more + (4 if data[at + 1] & _MASKED else 0)
    if len(data) < body:
        return None
    return body, int.from_bytes(data[at + 2 : at + 2 + more]) if more else code


def _unmask(data: NDArray[np.uint8], mask: bytes) -> None:
    if mask == bytes(4):
        return
    whole = len(data) // 4 * 4
    words = data[:whole].view(np.uint32)
    np.bitwise_xor(words, np.frombuffer(mask, np.uint32), out=words)
    data[whole:] ^= np.frombuffer(mask, np.uint8)[: len(data) - whole]
