"""Checks of the data files' columns: type, shape, finite values, embedded pictures.

Which rows belong to which episode is checked in `rows.py`.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from robot_rl.data.exchange.lerobot.examination.damage import Chart, DamageError, Kind
from robot_rl.data.exchange.lerobot.examination.files import arrow
from robot_rl.data.exchange.lerobot.examination.layout import NUMBERS, Feature, Info


def check_schema(path: Path, schema: Any, info: Info, chart: Chart) -> None:
    """Check a data file's columns against info.json.

    Args:
        path: the file.
        schema: its `pyarrow.Schema`.
        info: what is expected.
        chart: where a width other than declared goes; the loader casts it, nothing is lost.

    Raises:
        DamageError: a column is missing, too many, or of another kind.
    """
    stored = {key: value for key, value in info.features.items() if value.dtype != "video"}
    names = set(schema.names)
    if names != set(stored):
        missing, more = sorted(set(stored) - names), sorted(names - set(stored))
        raise DamageError(
            Kind.FEATURE, path, f"missing columns {missing}, unknown {more}, by info.json"
        )
    for key, feature in stored.items():
        _check_type(path, key, schema.field(key).type, feature, chart)


def _check_type(path: Path, key: str, found: Any, feature: Feature, chart: Chart) -> None:
    pa = arrow()
    if feature.dtype not in NUMBERS:
        types = pa.types
        text = types.is_string(found) or types.is_large_string(found)
        if not {"image": types.is_struct(found), "string": text}.get(feature.dtype, True):
            raise _mismatch(path, key, found, feature)
        return
    value, depth = _peeled(found)
    if depth != _depth(feature):
        raise _mismatch(path, key, found, feature)
    wanted = np.dtype(feature.dtype)
    try:
        got = cast(np.dtype[np.generic], np.dtype(value.to_pandas_dtype()))
    except (NotImplementedError, TypeError) as error:
        raise _mismatch(path, key, found, feature) from error
    if got.kind != wanted.kind:
        raise _mismatch(path, key, found, feature)
    if got != wanted:
        chart.note(Kind.FEATURE, path, f"{key!r} is {got}, expected {wanted}; the loader casts it")


def _mismatch(path: Path, key: str, found: Any, feature: Feature) -> DamageError:
    return DamageError(
        Kind.FEATURE, path, f"{key!r} is {found}, expected {feature.dtype} of {feature.shape}"
    )


def _depth(feature: Feature) -> int:
    return 0 if feature.shape == (1,) else len(feature.shape)


def _peeled(kind: Any) -> tuple[Any, int]:
    """Return what a nest of lists holds, and how deep it is."""
    pa, depth = arrow(), 0
    while True:
        if isinstance(kind, pa.BaseExtensionType):
            kind = kind.storage_type
        elif _is_list(kind):
            kind, depth = kind.value_type, depth + 1
        else:
            return kind, depth


def _is_list(kind: Any) -> bool:
    types = arrow().types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def faulty_rows(path: Path, table: Any, info: Info) -> npt.NDArray[np.int16]:
    """Return per row 0, or 1 + the place in `info.features` of a column that is not whole there.

    Not whole: a number that is not finite or not there, a picture that cannot be read.

    Raises:
        DamageError: a column's shape is not that of info.json.
    """
    faults: npt.NDArray[np.int16] = np.zeros(len(table), np.int16)
    for place, (key, feature) in enumerate(info.features.items(), start=1):
        if feature.dtype in NUMBERS:
            good = _finite(path, key, table.column(key), feature)
        elif feature.dtype == "image":
            cells = table.column(key).to_pylist()
            good = np.array([_is_picture(cell, feature) for cell in cells], np.bool_)
        else:
            continue
        faults[~good & (faults == 0)] = place
    return faults


def _finite(path: Path, key: str, column: Any, feature: Feature) -> npt.NDArray[np.bool_]:
    """Return which rows of a column are finite; a row that is not there is not."""
    pa, rows, values = arrow(), len(column), _one_array(column)
    if values.null_count:
        return np.asarray(values.is_valid(), np.bool_)
    for size in feature.shape[: _depth(feature)]:
        if isinstance(values.type, pa.BaseExtensionType):
            values = values.storage
        lengths = arrow("pyarrow.compute").list_value_length(values).unique().to_pylist()
        if lengths not in ([size], []):
            raise DamageError(
                Kind.FEATURE,
                path,
                f"{key!r} has rows of {lengths[:5]} values, expected shape {feature.shape}",
            )
        values = values.flatten()
    flat = np.asarray(values.to_numpy(zero_copy_only=False)).reshape(rows, -1)
    if flat.dtype.kind not in "fiub":
        return np.array([None not in row for row in flat.tolist()], np.bool_)
    return np.asarray(np.isfinite(flat).all(axis=1), np.bool_)


def flat_numbers(column: Any) -> npt.NDArray[np.float64]:
    """Return all numbers of a sound column in one row."""
    values = _one_array(column)
    while _is_list(values.type) or isinstance(values.type, arrow().BaseExtensionType):
        values = values.flatten() if _is_list(values.type) else values.storage
    return np.asarray(values.to_numpy(zero_copy_only=False), np.float64)


def _one_array(column: Any) -> Any:
    values = column.combine_chunks()
    pa = arrow()
    return pa.concat_arrays(values.chunks) if isinstance(values, pa.ChunkedArray) else values


def _is_picture(cell: Any, feature: Feature) -> bool:
    """Return whether a picture is stored here and now; a path to elsewhere is not followed."""
    data = cell["bytes"] if cell else None
    if not data:
        return False
    try:
        with Image.open(io.BytesIO(data), formats=["PNG", "JPEG", "TIFF"]) as picture:
            height, width = feature.height_width
            if picture.size != (width, height):
                return False
            picture.verify()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False
    return True
