"""The part of zarr 3 that episodes and labels are kept in: plain arrays, chunked along rows.

Written by hand because the format is two JSON documents and raw bytes, while zarr itself takes
1-2 ms an array each way, which between two episodes is felt. Any zarr 3 reader opens the result
(the tests do). Reading trusts no document: a column must be what its reader expects, before
memory is taken for it. Format: https://zarr-specs.readthedocs.io/en/latest/v3/core/
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.errors import ContractError, StorageError
from robot_rl.data.store.format.episode_zip import Archive

DTYPES = ("float32", "float64", "int64", "uint8", "bool")
"""The only data types that are written or read."""
SCHEMA = 2
"""Version of the layout of store, episodes and labels; a reader refuses any other."""
ATTRIBUTES = "zarr.json"
"""Name of the member that holds the attributes of the group."""
_MAX_DOCUMENT = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """What an array is to be.

    Args:
        name: of the array.
        dtype: one of `DTYPES`.
        shape: rows first.
        rows: in one chunk, at most.
        attributes: JSON values that say what the numbers mean.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    rows: int
    attributes: Mapping[str, Any] = field(default_factory=lambda: dict[str, Any]())

    @property
    def chunk_shape(self) -> tuple[int, ...]:
        """Shape of a chunk; the last one is padded to it."""
        rows = max(1, min(self.rows, self.shape[0]))
        return rows, *(max(1, size) for size in self.shape[1:])

    @property
    def chunk_bytes(self) -> int:
        """Size of a chunk [bytes]."""
        return math.prod(self.chunk_shape) * np.dtype(self.dtype).itemsize

    def members(self) -> Iterator[str]:
        """Yield the names of the members: the document, then the chunks."""
        yield f"{self.name}/zarr.json"
        yield from self.chunks()

    def chunks(self) -> Iterator[str]:
        """Yield the names of the members that hold the rows, in their order."""
        empty = not math.prod(self.shape)
        tail = ".0" * (len(self.shape) - 1)
        for chunk in range(0 if empty else math.ceil(self.shape[0] / self.chunk_shape[0])):
            yield f"{self.name}/c.{chunk}{tail}"

    def document(self) -> dict[str, Any]:
        """Return what zarr is told of the array."""
        grid = {"chunk_shape": list(self.chunk_shape)}
        return {
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(self.shape),
            "data_type": self.dtype,
            "chunk_grid": {"name": "regular", "configuration": grid},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
            "fill_value": False if self.dtype == "bool" else 0,
            "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
            "attributes": dict(self.attributes),
        }


def encode_group(attributes: Mapping[str, Any]) -> tuple[str, bytes]:
    """Return the member of an empty group; `attributes` are JSON values.

    Raises:
        ContractError: if they are not.
    """
    stamped = {"schema": SCHEMA, **attributes}
    document = {"zarr_format": 3, "node_type": "group", "attributes": stamped}
    return ATTRIBUTES, _json(document)


def decode_attributes(archive: Archive) -> dict[str, Any]:
    """Return the attributes of the group in a file.

    Raises:
        StorageError: if there is no readable group, or it is of another schema.
    """
    attributes = decode_document(archive, ATTRIBUTES).get("attributes")
    if not isinstance(attributes, dict):
        raise StorageError(f"{archive.title}: member {ATTRIBUTES!r} has no attributes")
    found = cast(dict[str, Any], attributes)
    check_schema(archive.title, found.get("schema"))
    return found


def check_schema(title: str, schema: object) -> None:
    """Refuse what another version wrote.

    Raises:
        StorageError: naming the file, both versions and the remedy.
    """
    if schema == SCHEMA:
        return
    newer = isinstance(schema, int) and schema > SCHEMA
    remedy = (
        "update robot_rl"
        if newer
        else "read it with the version of robot_rl that wrote it, or record again"
    )
    raise StorageError(f"{title}: schema {schema!r}, this version reads {SCHEMA}; {remedy}")


def encode_column(column: Column, array: NDArray[Any]) -> Iterator[tuple[str, bytes]]:
    """Yield the members of an array of the dtype and shape of `column`.

    Every chunk is written, zeros too: zarr reads a missing chunk as zeros without a word, so a
    missing member must always be an error.
    """
    rows = column.chunk_shape[0]
    yield f"{column.name}/zarr.json", _json(column.document())
    for chunk, member in enumerate(column.chunks()):
        part = array[chunk * rows : (chunk + 1) * rows]
        padding = [(0, rows - len(part))] + [(0, 0)] * (array.ndim - 1)
        whole = np.pad(part, padding) if len(part) < rows else part
        yield member, whole.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def check_column(column: Column, archive: Archive) -> None:
    """Refuse a file in which an array is not what it is to be, reading none of its rows.

    Raises:
        StorageError: if it is of another shape, dtype or encoding, or a chunk is missing or of
            another size.
    """
    _check_document(column, archive)
    for member in column.chunks():
        _check_size(column, archive, member)


def decode_column(column: Column, archive: Archive) -> NDArray[Any]:
    """Return an array, writable and owned by the caller.

    Raises:
        StorageError: as `check_column`, or if the file is cut off.
    """
    check_column(column, archive)
    return _rows(column, archive, column.shape[0])


def decode_leading_rows(column: Column, archive: Archive) -> NDArray[Any]:
    """Return the rows of an array before its first missing chunk.

    Raises:
        StorageError: as `check_column`, but for missing chunks.
    """
    _check_document(column, archive)
    there = itertools.takewhile(archive.members.__contains__, column.chunks())
    chunks = 0
    for member in there:
        _check_size(column, archive, member)
        chunks += 1
    whole = chunks == sum(1 for _ in column.chunks())
    return _rows(column, archive, column.shape[0] if whole else chunks * column.chunk_shape[0])


def decode_document(archive: Archive, member: str) -> dict[str, Any]:
    """Return the JSON object in a member.

    Raises:
        StorageError: if it is missing, too large or no JSON object.
    """
    if archive.size(member) > _MAX_DOCUMENT:
        raise StorageError(f"{archive.title}: member {member!r} is too large for a document")
    try:
        document = json.loads(archive.read(member))
    except (ValueError, RecursionError) as error:
        raise StorageError(f"{archive.title}: member {member!r} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise StorageError(f"{archive.title}: member {member!r} is not a JSON object")
    return cast(dict[str, Any], document)


def _check_document(column: Column, archive: Archive) -> None:
    found = decode_document(archive, f"{column.name}/zarr.json")
    for key, expected in column.document().items():
        if key != "attributes" and found.get(key) != expected:
            raise StorageError(
                f"{archive.title}: column {column.name!r} has {key} {str(found.get(key))[:80]}, "
                f"expected {expected}"
            )


def _check_size(column: Column, archive: Archive, member: str) -> None:
    if archive.size(member) != column.chunk_bytes:
        raise StorageError(
            f"{archive.title}: member {member!r} has {archive.size(member)} bytes, expected "
            f"{column.chunk_bytes}"
        )


def _rows(column: Column, archive: Archive, count: int) -> NDArray[Any]:
    dtype = np.dtype(column.dtype).newbyteorder("<")
    array = np.empty((count, *column.shape[1:]), dtype)
    rows = column.chunk_shape[0]
    for start, member in zip(range(0, count, rows), column.chunks(), strict=False):
        part = array[start : start + rows]
        whole = part if len(part) == rows else np.empty(column.chunk_shape, dtype)
        archive.read_into(member, whole.reshape(-1).view(np.uint8).data)
        if whole is not part:
            part[...] = whole[: len(part)]
    return array.astype(dtype.newbyteorder("="), copy=False)


def _json(document: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(document, indent=1).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ContractError(f"cannot be stored, expected JSON values: {error}") from error
