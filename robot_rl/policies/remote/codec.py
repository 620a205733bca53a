"""openpi's msgpack with numpy arrays, both ways, made safe to read from anybody.

    array   {b"__ndarray__": true, b"data": bytes, b"dtype": "<f4", b"shape": [h, w, ...]}
    scalar  {b"__npgeneric__": true, b"data": 1.5, b"dtype": "<f4"}

A message is read one list or map at a time: the head of each is checked before what it holds is
made, so what reading takes is bounded by the message's own length and `MAX_ENTRIES`. Arrays of
bytes are read-only views of the message, which must not be written to; others have their own
memory. Nothing here can carry code.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, cast

import msgspec
import numpy as np
from msgspec import Meta, Raw
from msgspec.msgpack import Decoder, Encoder

from robot_rl.core.errors import ContractError

MAX_BYTES = 64 << 20
"""No message is longer, unless the caller says so."""
MAX_ENTRIES = 1 << 16
"""Of all lists and maps of one message together."""
MAX_NESTING = 8
"""Of lists and maps in each other."""
MAX_DIMENSIONS = 8

DTYPES = {
    dtype.str: dtype
    for dtype in map(
        np.dtype,
        ("?", "i1", "<i2", "<i4", "<i8", "u1", "<u2", "<u4", "<u8", "<f2", "<f4", "<f8"),
    )
}
"""What may travel, by the name it has on the wire."""

Buffer = bytes | bytearray | memoryview
Array = np.ndarray[Any, Any]

_LARGE = 4096
"""Bytes from which on an array is sent from where it lies."""
_ARRAY, _SCALAR = b"__ndarray__", b"__npgeneric__"
_DATA, _DTYPE, _SHAPE = b"data", b"dtype", b"shape"
_ARRAY_KEYS, _SCALAR_KEYS = {_ARRAY, _DATA, _DTYPE, _SHAPE}, {_SCALAR, _DATA, _DTYPE}
_DATA_HEAD = b"\x84\xc4\x0b__ndarray__\xc3\xc4\x04data\xc6"

_MAP = Decoder(Annotated[dict[str, Raw], Meta(max_length=MAX_ENTRIES)])
_LIST = Decoder(Annotated[list[Raw], Meta(max_length=MAX_ENTRIES)])
_FIELDS = Decoder(Annotated[dict[bytes, Raw], Meta(max_length=4)])
_BYTES = Decoder(memoryview)
_PLAIN = Decoder[str | int | float | bool | None](str | int | float | bool | None)
_NUMBER = Decoder[int | float | bool](int | float | bool)
_NAME = Decoder(Annotated[str, Meta(max_length=8)])
_LENGTHS = Decoder(
    Annotated[list[Annotated[int, Meta(ge=0)]], Meta(max_length=MAX_DIMENSIONS)],
)


def encode(message: Mapping[str, object]) -> bytes:
    """Return a message as bytes.

    Raises:
        ContractError: if a value cannot travel.
    """
    return b"".join(encode_parts(message))


def encode_parts(message: Mapping[str, object]) -> list[Buffer]:
    """Return the same in pieces: large arrays are views of their own memory, not copies.

    Raises:
        ContractError: if a value cannot travel.
    """
    head, parts = bytearray(_map_head(len(message))), list[Buffer]()
    try:
        for key, value in message.items():
            head += _ENCODER.encode(key)
            if isinstance(value, np.ndarray) and value.nbytes >= _LARGE:
                array = cast(Array, value)
                head += _DATA_HEAD + array.nbytes.to_bytes(4)
                parts += [head, _bytes_of(array)]
                head = bytearray(b"\xc4\x05dtype") + _ENCODER.encode(array.dtype.str)
                head += b"\xc4\x05shape" + _ENCODER.encode(array.shape)
            else:
                head += _ENCODER.encode(value)
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError) as error:
        raise ContractError(f"message: cannot be encoded: {error}") from error
    return [*parts, head]


def decode(data: Buffer, max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """Return the message; its arrays of bytes are read-only views of `data`.

    Raises:
        ContractError: if it is no message, or more than may come.
    """
    if len(data) > max_bytes:
        raise ContractError(f"message: got {len(data)} bytes, expected at most {max_bytes}")
    try:
        message = _Reader().value(memoryview(data).toreadonly(), 0)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ContractError(f"message: cannot be decoded: {error}") from error
    if not isinstance(message, dict):
        raise ContractError(f"message: got {type(message).__name__}, expected a map")
    return cast(dict[str, Any], message)


class _Reader:
    """Reads one message, counting what it holds."""

    def __init__(self) -> None:
        self._entries = 0

    def value(self, view: memoryview, nesting: int) -> object:
        """Return the one value that `view` is."""
        first = view[0] if len(view) else 0xC1
        if 0x80 <= first < 0x90 or first in (0xDE, 0xDF):
            if first in (0x83, 0x84) and view[1:2] == b"\xc4":
                return _array_or_scalar(_FIELDS.decode(view))
            raws = _MAP.decode(view)
            self._enter(len(raws), nesting)
            return {k: self.value(memoryview(raw), nesting + 1) for k, raw in raws.items()}
        if 0x90 <= first < 0xA0 or first in (0xDC, 0xDD):
            raws = _LIST.decode(view)
            self._enter(len(raws), nesting)
            return [self.value(memoryview(raw), nesting + 1) for raw in raws]
        if 0xC4 <= first <= 0xC6:
            return bytes(_BYTES.decode(view))
        return _PLAIN.decode(view)

    def _enter(self, entries: int, nesting: int) -> None:
        self._entries += entries
        if self._entries > MAX_ENTRIES:
            raise ContractError(f"message: got more than {MAX_ENTRIES} entries")
        if nesting >= MAX_NESTING:
            raise ContractError(f"message: nested deeper than {MAX_NESTING}")


def _array_or_scalar(fields: Mapping[bytes, Raw]) -> object:
    if fields.keys() == _ARRAY_KEYS:
        return _array(
            _BYTES.decode(fields[_DATA]),
            _dtype(_NAME.decode(fields[_DTYPE])),
            _LENGTHS.decode(fields[_SHAPE]),
        )
    if fields.keys() == _SCALAR_KEYS:
        return _scalar(_NUMBER.decode(fields[_DATA]), _dtype(_NAME.decode(fields[_DTYPE])))
    raise ContractError(f"message: got the keys {sorted(fields)}, expected text, or an array's")


def _array(data: memoryview, dtype: np.dtype[Any], shape: list[int]) -> Array:
    """Make the array, once dtype, shape and number of bytes agree."""
    # Zeros count as ones: numpy multiplies the rest of an empty shape up all the same.
    if math.prod(n or 1 for n in shape) > 1 << 32 or math.prod(shape) * dtype.itemsize != len(
        data
    ):
        raise ContractError(f"array: {len(data)} bytes do not fill {dtype}{shape}")
    array = np.ndarray(shape, dtype, data) if len(data) else np.empty(shape, dtype)
    if dtype.kind == "b" and (array.view(np.uint8) > 1).any():
        raise ContractError("array: a byte of more than 1 is no truth value")
    return array if dtype.itemsize == 1 else array.copy()


def _scalar(value: float, dtype: np.dtype[Any]) -> np.generic:
    limits = np.iinfo(dtype) if dtype.kind in "iu" else None
    whole = isinstance(value, int) and not isinstance(value, bool)
    if (dtype.kind == "b") != isinstance(value, bool) or (
        limits is not None and not (whole and limits.min <= value <= limits.max)
    ):
        raise ContractError(f"scalar: {value!r} is no {dtype}")
    with np.errstate(over="ignore"):
        return dtype.type(value)


def _dtype(name: str) -> np.dtype[Any]:
    if name not in DTYPES:
        raise ContractError(f"dtype {name!r} may not travel; valid: {', '.join(DTYPES)}")
    return DTYPES[name]


def _plain(value: object) -> object:
    """What msgspec does not know, as what it knows: numpy's values, and any mapping."""
    if isinstance(value, np.ndarray):
        array = cast(Array, value)
        data = _bytes_of(array)
        return {_ARRAY: True, _DATA: data, _DTYPE: array.dtype.str, _SHAPE: array.shape}
    if isinstance(value, np.generic):
        return {_SCALAR: True, _DATA: value.item(), _DTYPE: _dtype(value.dtype.str).str}
    if isinstance(value, Mapping):
        return dict(cast(Mapping[object, object], value))
    raise TypeError(f"{type(value).__name__} may not travel")


_ENCODER = Encoder(enc_hook=_plain)


def _bytes_of(array: Array) -> memoryview:
    _dtype(array.dtype.str)
    if array.ndim > MAX_DIMENSIONS:
        raise ContractError(f"array: got {array.ndim} dimensions, expected at most 8")
    return memoryview(np.ascontiguousarray(array).reshape(-1).view(np.uint8))


def _map_head(length: int) -> bytes:
    return bytes([0x80 | length]) if length < 16 else b"\xde" + length.to_bytes(2)
