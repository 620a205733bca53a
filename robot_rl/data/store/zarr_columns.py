"""The part of zarr 3 that episodes are kept in: uncompressed arrays, chunked along rows.

Written by hand because the format is two JSON documents and raw bytes, while zarr itself takes
1-2 ms an array each way, which between two episodes is felt. Any zarr 3 reader opens the result
(the tests do). Format: https://zarr-specs.readthedocs.io/en/latest/v3/core/
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.errors import ContractError, StorageError

DTYPES = ("float32", "float64", "int64", "uint8", "bool")
"""The only data types that are written or read."""


def encode_group(attributes: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the files of an empty group."""
    document = {"zarr_format": 3, "node_type": "group", "attributes": dict(attributes)}
    return {"zarr.json": _json(document)}


def decode_attributes(files: Mapping[str, bytes]) -> dict[str, Any]:
    """Return the attributes of the group that `files` hold.

    Raises:
        StorageError: if there is no readable group.
    """
    return _document("zarr.json", files).get("attributes", {})


def encode_column(
    name: str, column: NDArray[Any], attributes: Mapping[str, Any], rows_per_chunk: int
) -> dict[str, bytes]:
    """Return the files of the array `name`, one chunk per `rows_per_chunk` rows.

    Every chunk is written, zeros too: zarr reads a missing chunk as zeros without a word, so a
    missing file must always be an error.

    Raises:
        ContractError: if the data type is not one of `DTYPES`.
    """
    if column.dtype.name not in DTYPES:
        raise ContractError(
            f"column {name!r}: got dtype {column.dtype}, expected one of {', '.join(DTYPES)}"
        )
    rows = min(rows_per_chunk, len(column))
    files = {f"{name}/zarr.json": _json(_array_document(column, rows, attributes))}
    for chunk, key in enumerate(_chunk_keys(name, column.shape, rows)):
        part = column[chunk * rows : (chunk + 1) * rows]
        padding = [(0, rows - len(part))] + [(0, 0)] * (column.ndim - 1)
        whole = np.pad(part, padding) if len(part) < rows else part
        files[key] = whole.astype(column.dtype.newbyteorder("<"), copy=False).tobytes()
    return files


def decode_column(name: str, files: Mapping[str, bytes]) -> NDArray[Any]:
    """Return the array `name`, writable and owned by the caller.

    Raises:
        StorageError: if a chunk is missing or has the wrong size.
    """
    document = _document(f"{name}/zarr.json", files)
    try:
        shape: list[int] = document["shape"]
        chunk: list[int] = document["chunk_grid"]["configuration"]["chunk_shape"]
        if document["data_type"] not in DTYPES:
            raise ValueError(f"data type {document['data_type']!r} is not allowed")
        dtype = np.dtype(document["data_type"])
        parts = [
            np.frombuffer(files[key], dtype.newbyteorder("<")).reshape(chunk)
            for key in _chunk_keys(name, tuple(shape), chunk[0])
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise StorageError(f"column {name!r} is not readable: {error}") from error
    return np.concatenate(parts)[: shape[0]].astype(dtype, copy=False)


def _array_document(
    column: NDArray[Any], rows: int, attributes: Mapping[str, Any]
) -> dict[str, Any]:
    encoding = {"name": "default", "configuration": {"separator": "."}}
    chunk = {"chunk_shape": [rows, *column.shape[1:]]}
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(column.shape),
        "data_type": column.dtype.name,
        "chunk_grid": {"name": "regular", "configuration": chunk},
        "chunk_key_encoding": encoding,
        "fill_value": False if column.dtype == np.bool_ else 0,
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
        "attributes": dict(attributes),
    }


def _chunk_keys(name: str, shape: tuple[int, ...], rows: int) -> list[str]:
    tail = ".0" * (len(shape) - 1)
    return [f"{name}/c.{chunk}{tail}" for chunk in range(math.ceil(shape[0] / rows))]


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=1).encode()


def _document(key: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    try:
        return json.loads(files[key])
    except (KeyError, ValueError) as error:
        raise StorageError(f"{key} is missing or not JSON: {error}") from error
