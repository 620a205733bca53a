"""A `Label` as the members of one zarr 3 group, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from robot_rl.core.errors import ContractError, StorageError
from robot_rl.data.store.format.episode_zip import Archive
from robot_rl.data.store.format.zarr_columns import (
    DTYPES,
    Column,
    decode_attributes,
    decode_column,
    decode_document,
    encode_column,
    encode_group,
)
from robot_rl.data.store.label import Label
from robot_rl.data.store.layout import is_label_name

_COLUMN = "values"


def check_label(label: Label, steps: int) -> None:
    """Refuse a label that does not fit an episode of so many steps, or that no file can hold.

    Raises:
        ContractError: naming what was got and expected.
    """
    if not is_label_name(label.name):
        raise ContractError(
            f"label name {label.name!r}: expected lower-case letters, digits, '.', '_' and '-'"
        )
    lengths = (1, steps, steps + 1)
    values = label.values
    if values.ndim != 1 or len(values) not in lengths or values.dtype.name not in DTYPES:
        raise ContractError(
            f"label {label.name!r}: got {values.dtype}{list(values.shape)}, expected one value, "
            f"{steps} (one a step) or {steps + 1} (one an observation), of {', '.join(DTYPES)}"
        )


def label_members(label: Label, episode_id: str, version: int) -> Iterator[tuple[str, bytes]]:
    """Yield the members of the group.

    Raises:
        ContractError: if the parameters are not JSON values.
    """
    yield encode_group(
        {
            "episode_id": episode_id,
            "name": label.name,
            "version": version,
            "made_by": label.made_by,
            "parameters": dict(label.parameters),
        }
    )
    yield from encode_column(_column(label.values.dtype.name, len(label.values)), label.values)


def decode_label(archive: Archive) -> tuple[str, int, Label]:
    """Return episode id, version and label.

    Raises:
        StorageError: if members or attributes are missing, or it is of another schema.
    """
    document = decode_document(archive, f"{_COLUMN}/zarr.json")
    dtype, shape = document.get("data_type"), document.get("shape")
    try:
        told = msgspec.convert(decode_attributes(archive), type=_Told)
        rows = msgspec.convert(shape, type=tuple[int])[0]
    except msgspec.ValidationError as error:
        raise StorageError(f"{archive.title}: its attributes are not whole: {error}") from error
    if not isinstance(dtype, str) or dtype not in DTYPES or rows < 1:
        raise StorageError(f"{archive.title}: got {dtype}[{rows}], expected a column of labels")
    label = Label(
        name=told.name,
        values=decode_column(_column(dtype, rows), archive),
        made_by=told.made_by,
        parameters=told.parameters,
    )
    return told.episode_id, told.version, label


def _column(dtype: str, rows: int) -> Column:
    return Column(name=_COLUMN, dtype=dtype, shape=(rows,), rows=rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    episode_id: str
    name: str
    version: int
    made_by: str
    parameters: Mapping[str, Any]
