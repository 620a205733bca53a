"""What the loop's process and the page's tell each other over the pipes, as MessagePack."""

from __future__ import annotations

import msgspec

from robot_rl.core.errors import ContractError
from robot_rl.session.command import Answer, Command, Gone, Motion
from robot_rl.session.view import Frame, Shown

MAX_DOWN_BYTES = 1 << 25
"""More than the largest picture that a session is allowed to ask for."""
MAX_UP_BYTES = 1 << 20


class Opened(msgspec.Struct, frozen=True, kw_only=True, tag="opened"):
    """The page is served on that port."""

    port: int


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """The page cannot be served."""

    words: str


class Alive(msgspec.Struct, frozen=True, kw_only=True, tag="alive"):
    """The page's process still turns."""


Down = Shown | Frame | Answer
"""From the loop to the page."""
Up = Command | Motion | Gone | Opened | Failed | Alive
"""From the page to the loop."""

_ENCODER = msgspec.msgpack.Encoder()
_DOWN = msgspec.msgpack.Decoder(Down)
_UP = msgspec.msgpack.Decoder(Up)


def encode(message: Down | Up) -> bytes:
    """Return a message as bytes."""
    return _ENCODER.encode(message)


def decode_down(data: bytes) -> Down:
    """Return what the loop's process said.

    Raises:
        ContractError: if it cannot be read.
    """
    try:
        return _DOWN.decode(data)
    except msgspec.MsgspecError as error:
        raise ContractError(f"a message to the page: {error}") from error


def decode_up(data: bytes) -> Up:
    """Return what the page's process said.

    Raises:
        ContractError: if it cannot be read.
    """
    try:
        return _UP.decode(data)
    except msgspec.MsgspecError as error:
        raise ContractError(f"a message of the page: {error}") from error
