"""The records of an MCAP file that may end anywhere, up to the first that is torn or damaged."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, Footer, McapRecord, Message, Metadata, Statistics
from mcap.stream_reader import breakup_chunk
from mcap.writer import MCAP0_MAGIC

_PREFIX = struct.Struct("<BQ")
_FOOTER_BYTES = _PREFIX.size + 20

# What mcap's readers raise on bytes that are not what they should be.
_BROKEN = (McapError, ValueError, KeyError, struct.error, OverflowError)


class TornError(Exception):
    """From here on the file cannot be trusted; the message says why."""


@dataclass(frozen=True, slots=True)
class Ending:
    """The footer is there and whole: `messages` were written."""

    messages: int


def scan(path: Path) -> Iterator[Metadata | Channel | Message | Ending]:
    """Yield metadata records, the verified contents of chunks and, if it is whole, the ending.

    Raises:
        TornError: where the first torn or damaged record begins; what was yielded is intact.
        OSError: if the file cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(len(MCAP0_MAGIC)) != MCAP0_MAGIC:
            raise TornError("it does not begin as an MCAP file")
        while True:
            at = file.tell()
            opcode, body = _read_record(file, size)
            try:
                if opcode == Opcode.METADATA:
                    yield Metadata.read(_stream(body))
                elif opcode == Opcode.CHUNK:
                    yield from _chunk(body)
                elif opcode == Opcode.DATA_END:
                    yield _ending(file.read())
                    return
            except _BROKEN as error:
                raise TornError(f"the record at byte {at} is damaged: {error}") from error


def _read_record(file: BinaryIO, size: int) -> tuple[int, bytes]:
    at = file.tell()
    prefix = file.read(_PREFIX.size)
    if len(prefix) < _PREFIX.size:
        raise TornError(f"it ends at byte {size}, without a footer")
    opcode, length = _PREFIX.unpack(prefix)
    if opcode == 0:
        raise TornError(f"there is no record at byte {at}")
    # Before anything is read: a damaged length may be any number.
    if length > size - file.tell():
        raise TornError(f"the record at byte {at} is cut off at byte {size}")
    return opcode, file.read(length)


def _chunk(body: bytes) -> Iterator[Channel | Message]:
    chunk = Chunk.read(_stream(body))
    if chunk.compression:
        raise ValueError(f"a log's chunks are not compressed, got {chunk.compression!r}")
    if chunk.uncompressed_crc == 0 or len(chunk.data) != chunk.uncompressed_size:
        raise ValueError("the chunk has no checksum or not its length")
    for record in breakup_chunk(chunk, validate_crc=True):
        if isinstance(record, Channel | Message):
            yield record


def _ending(rest: bytes) -> Ending:
    if len(rest) < _FOOTER_BYTES + len(MCAP0_MAGIC) or not rest.endswith(MCAP0_MAGIC):
        raise ValueError("the footer is cut off")
    summary = rest[: -len(MCAP0_MAGIC) - _FOOTER_BYTES]
    footer = _records(rest[len(summary) : -len(MCAP0_MAGIC)], {Opcode.FOOTER: Footer.read})
    checksum = zlib.crc32(rest[: -len(MCAP0_MAGIC) - 4])
    if [f.summary_crc for f in footer if isinstance(f, Footer)] != [checksum]:
        raise ValueError("the footer's checksum is wrong")
    counts = _records(summary, {Opcode.STATISTICS: Statistics.read})
    return Ending(sum(s.message_count for s in counts if isinstance(s, Statistics)))


def _records(
    data: bytes, readers: Mapping[int, Callable[[ReadDataStream], Any]]
) -> list[McapRecord]:
    """Read those records of a verified summary for which there is a reader."""
    found: list[McapRecord] = []
    at = 0
    while at < len(data):
        opcode, length = _PREFIX.unpack_from(data, at)
        at += _PREFIX.size
        if opcode in readers:
            found.append(readers[opcode](_stream(data[at : at + length])))
        at += length
    return found


def _stream(body: bytes) -> ReadDataStream:
    return ReadDataStream(BytesIO(body))
