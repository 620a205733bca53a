"""What a browser may say, and what it is told: JSON text, and pictures behind a short header."""

from __future__ import annotations

import struct
from typing import Annotated

import msgspec
from msgspec import Meta

from robot_rl.core.errors import ContractError
from robot_rl.session.command import Answer
from robot_rl.session.mode import Verb
from robot_rl.session.view import View

PROTOCOL = 2
MAX_MESSAGE_BYTES = 1 << 16
REFERENCE = 1 << 31
"""Added to a camera's index: the picture that its pose is compared with."""

_HEADER = struct.Struct("<IIdd")
_LARGEST = (1 << 53) - 1
"""The largest whole number that a browser counts to."""

Number = Annotated[int, Meta(ge=0, le=_LARGEST)]
Text = Annotated[str, Meta(max_length=4096)]
Arguments = Annotated[
    dict[Annotated[str, Meta(max_length=32)], Text | int | float | bool | None],
    Meta(max_length=16),
]
Axis = Annotated[float, Meta(ge=-1.0, le=1.0)]


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag="hello"):
    """The first message: who comes, and the token that shows that they may."""

    token: Annotated[str, Meta(max_length=1024)]
    protocol: int
    name: Annotated[str, Meta(pattern=r"\A[a-z0-9][a-z0-9_-]{0,31}\Z")] = "page"


class Asked(msgspec.Struct, frozen=True, kw_only=True, tag="command"):
    """A command; whose it is, the server knows. `view`: number of the newest view they saw."""

    number: Number
    verb: Verb
    view: Number = 0
    arguments: Arguments = {}


class Moved(msgspec.Struct, frozen=True, kw_only=True, tag="motion"):
    """What the keys want now. `view`: number of the newest view that their owner saw."""

    number: Number
    active: bool
    view: Number = 0
    action: Annotated[tuple[Axis, ...], Meta(max_length=64)]


class Hidden(msgspec.Struct, frozen=True, kw_only=True, tag="hidden"):
    """Nobody looks at the page now."""


class Painted(msgspec.Struct, frozen=True, kw_only=True, tag="painted"):
    """A picture has been shown: the next one may come."""

    camera: Annotated[int, Meta(ge=-REFERENCE, lt=2 * REFERENCE)]
    number: Number


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """A command of somebody who asks by HTTP. `view`: number of the newest view they saw.

    A request may hang on the way as anything else, and come when nobody means it any more: so all
    but a stop need the number of a view, which `/api/view` has.
    """

    verb: Verb
    view: Number = 0
    arguments: Arguments = {}


Heard = Hello | Asked | Moved | Hidden | Painted

_HEARD = msgspec.json.Decoder(Heard)
_SCRIPT = msgspec.json.Decoder(Script)


def decode(text: str) -> Heard:
    """Return what a client said.

    Raises:
        ContractError: if it says nothing that is known, or is larger than anybody needs.
    """
    return _decoded(text, _HEARD)


def decode_script(body: bytes) -> Script:
    """Return what a script asks for.

    Raises:
        ContractError: if it says nothing that is known, or is larger than anybody needs.
    """
    return _decoded(body, _SCRIPT)


def welcome(client: str, cameras: list[str], store: str) -> str:
    """Return the answer to a good `hello`."""
    fields = {"client": client, "protocol": PROTOCOL, "cameras": cameras, "store": store}
    return _text({"type": "welcome", **fields})


def view_text(view: View) -> str:
    """Return a view as it is told."""
    return '{"type":"view",' + msgspec.json.encode(view)[1:].decode()


def answer_text(answer: Answer) -> str:
    """Return an answer as it is told."""
    return _text(answer)


def cameras_text(names: list[str]) -> str:
    """Return which camera has which index in the pictures' headers."""
    return _text({"type": "cameras", "names": names})


def error_text(words: str) -> str:
    """Return what was wrong with something that a client said."""
    return _text({"type": "error", "words": words})


def framed(channel: int, number: int, taken_ms: float, sent_ms: float, jpeg: bytes) -> bytes:
    """Return a picture behind its header; when it was taken and sent is unix time [ms]."""
    return _HEADER.pack(channel, number & 0xFFFFFFFF, taken_ms, sent_ms) + jpeg


def _decoded[T](said: str | bytes, decoder: msgspec.json.Decoder[T]) -> T:
    if len(said) > MAX_MESSAGE_BYTES:
        raise ContractError(f"got {len(said)} bytes, expected at most {MAX_MESSAGE_BYTES}")
    try:
        return decoder.decode(said)
    # The text of the first quotes what came; deep nesting ends in the second.
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise ContractError(f"not understood: {error}"[:300]) from error


def _text(message: object) -> str:
    return msgspec.json.encode(message).decode()
