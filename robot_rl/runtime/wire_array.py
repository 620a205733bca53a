"""Numbers as bytes: numpy arrays in msgpack records, tensors as safetensors, both checked.

A dtype that is not allowed, a shape that does not fit its bytes or that is too large is an error
before memory is taken for it. Not here: what the numbers mean (`wire`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import safetensors
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor

from robot_rl.core.errors import ContractError
from robot_rl.core.types import Image, Vector

MAX_BYTES = 1 << 30
"""No message is longer, and no array has more elements."""

_TENSOR_DTYPES = {
    "F32": torch.float32,
    "F64": torch.float64,
    "I32": torch.int32,
    "I64": torch.int64,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}

_ARRAY_DTYPES: dict[str, Literal["float32", "uint8"]] = {"<f4": "float32", "|u1": "uint8"}

Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""A count, or a stamp [ns]."""


class Record(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Fields in order, without names; another number of them is an error."""


class Array(Record, frozen=True):
    """An array that says what it is; little-endian, last index fastest."""

    dtype: Literal["float32", "uint8"]
    shape: tuple[Number, ...]
    data: bytes


def encode_array(array: NDArray[Any]) -> Array:
    """Return the record of a numpy array.

    Raises:
        ContractError: if it is neither float32 nor uint8.
    """
    name = _ARRAY_DTYPES.get(array.dtype.str)
    if name is None:
        raise ContractError(f"got an array of {array.dtype}, expected float32 or uint8")
    return Array(dtype=name, shape=array.shape, data=array.tobytes())


def decode_vector(name: str, array: Array) -> Vector:
    """Return float32[d], its own memory.

    Raises:
        ContractError: naming what else came.
    """
    return _numbers(name, array, "float32", 1)


def decode_image(name: str, array: Array) -> Image:
    """Return uint8[h, w, c], its own memory.

    Raises:
        ContractError: naming what else came.
    """
    return _numbers(name, array, "uint8", 3)


def _numbers(name: str, array: Array, dtype: str, dimensions: int) -> NDArray[Any]:
    """Return an array of its own memory, once dtype, shape and number of bytes agree."""
    if array.dtype != dtype or len(array.shape) != dimensions:
        raise ContractError(
            f"{name}: got {array.dtype}{list(array.shape)}, expected {dtype} in {dimensions} "
            "dimensions"
        )
    kind = np.dtype(dtype).newbyteorder("<")
    _check_size(name, array.shape)
    if math.prod(array.shape) * kind.itemsize != len(array.data):
        raise ContractError(f"{name}: {len(array.data)} bytes do not fill {list(array.shape)}")
    return np.frombuffer(array.data, kind).reshape(array.shape).astype(np.dtype(dtype))


def _check_size(name: str, shape: tuple[int, ...]) -> None:
    # Zeros count as ones: numpy and torch multiply the rest of an empty shape up all the same.
    if len(shape) > 8 or math.prod(max(n, 1) for n in shape) > MAX_BYTES:
        raise ContractError(f"{name}: shape {list(shape)} is beyond {MAX_BYTES} elements")


def encode_tensors(tensors: Mapping[str, Tensor]) -> bytes:
    """Return tensors by name as safetensors.

    Raises:
        ContractError: naming the tensor whose dtype does not travel.
    """
    for name, tensor in tensors.items():
        if tensor.dtype not in _TENSOR_DTYPES.values():
            raise ContractError(f"tensor {name!r}: {tensor.dtype} is not allowed on the wire")
    # Cloned because safetensors refuses tensors that share memory, as tied weights do.
    own = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    return safetensors.torch.save(own)


def decode_tensors(data: bytes) -> dict[str, Tensor]:
    """Return tensors by name, on the CPU, of their own memory.

    Raises:
        ContractError: if the bytes are no safetensors, or hold a dtype that does not travel.
    """
    try:
        parts: list[tuple[str, dict[str, Any]]] = safetensors.deserialize(data)
    except (safetensors.SafetensorError, ValueError) as error:
        raise ContractError(f"tensors: not safetensors: {error}") from error
    return {
        name: _tensor(name, part["dtype"], part["shape"], part["data"]) for name, part in parts
    }


def _tensor(name: str, dtype: str, shape: list[int], data: bytearray) -> Tensor:
    if dtype not in _TENSOR_DTYPES:
        raise ContractError(f"tensor {name!r}: got {dtype}, expected {', '.join(_TENSOR_DTYPES)}")
    if dtype == "BOOL" and data and max(data) > 1:
        raise ContractError(f"tensor {name!r}: a byte of {max(data)} is no truth value")
    _check_size(f"tensor {name!r}", tuple(shape))
    if not data:
        return torch.empty(shape, dtype=_TENSOR_DTYPES[dtype])
    return torch.frombuffer(data, dtype=_TENSOR_DTYPES[dtype]).reshape(shape)  # pyright: ignore[reportUnknownMemberType]
