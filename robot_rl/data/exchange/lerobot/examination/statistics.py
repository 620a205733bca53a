"""Statistics of a dataset, computed anew: stats.json as lerobot 0.6.1 lays it out.

Columns of numbers are computed from all rows. Cameras are put together from the statistics of
each episode in the episodes table (mean and variance by Chan et al. 1979), as their pictures were
sampled when they were recorded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robot_rl.data.exchange.lerobot.examination.columns import flat_numbers
from robot_rl.data.exchange.lerobot.examination.damage import Kind
from robot_rl.data.exchange.lerobot.examination.diagnosis import what_is_impossible
from robot_rl.data.exchange.lerobot.examination.files import open_parquet
from robot_rl.data.exchange.lerobot.examination.layout import NUMBERS, Feature, Info

_QUANTILES = (0.01, 0.1, 0.5, 0.9, 0.99)
_NAMES = tuple(f"q{round(100 * quantile):02d}" for quantile in _QUANTILES)

Array = npt.NDArray[np.float64]


def statistics(root: Path, data: list[str], tables: list[str], info: Info) -> dict[str, Any]:
    """Return the content of stats.json.

    Args:
        root: the dataset.
        data: relative paths of its data files.
        tables: relative paths of its episodes tables.
        info: its features; a camera without sound statistics per episode is left out.
    """
    found: dict[str, Any] = {}
    for key, feature in info.features.items():
        if feature.dtype in NUMBERS:
            found[key] = _plain(_of_columns(_columns(root, data, key), feature))
        elif feature.dtype in ("image", "video"):
            parts = _per_episode(root, tables, key)
            if parts and not any(what_is_impossible(part, feature) for part in parts):
                found[key] = _plain(_merged(parts))
    return found


def _columns(root: Path, names: list[str], key: str) -> Iterator[Any]:
    """Give one column of file after file; an absent file or column has none."""
    for name in names:
        if not (root / name).is_file():
            continue
        file = open_parquet(root, name, Kind.WRONG_FILE)
        try:
            if key in file.schema_arrow.names:
                yield file.read(columns=[key]).column(key)
        finally:
            file.close()


def _of_columns(columns: Iterator[Any], feature: Feature) -> dict[str, Array]:
    """Return the statistics per place on the feature's last axis, over all others."""
    flat = np.concatenate([flat_numbers(column) for column in columns])
    rows = flat.reshape(-1, feature.shape[-1])
    frames = flat.size // math.prod(feature.shape)
    quantiles = np.quantile(rows, _QUANTILES, axis=0)
    return {
        "min": rows.min(axis=0),
        "max": rows.max(axis=0),
        "mean": rows.mean(axis=0),
        "std": rows.std(axis=0),
        "count": np.array([frames], np.float64),
        **dict(zip(_NAMES, quantiles, strict=True)),
    }


def _per_episode(root: Path, tables: list[str], key: str) -> list[dict[str, Array]]:
    names = ("min", "max", "mean", "std", "count", *_NAMES)
    columns = {
        name: [
            row
            for column in _columns(root, tables, f"stats/{key}/{name}")
            for row in column.to_pylist()
        ]
        for name in names
    }
    episodes = len(columns["count"])
    held = {name: column for name, column in columns.items() if len(column) == episodes}
    try:
        return [
            {name: np.asarray(column[row], np.float64) for name, column in held.items()}
            for row in range(episodes)
        ]
    except (TypeError, ValueError):
        return []


def _merged(parts: list[dict[str, Array]]) -> dict[str, Array]:
    counts = np.array([part["count"].item() for part in parts])
    weights = counts / counts.sum()

    def weighted(values: list[Array]) -> Array:
        return np.asarray(np.tensordot(weights, np.stack(values), axes=1), np.float64)

    mean = weighted([part["mean"] for part in parts])
    spread = weighted([part["std"] ** 2 + (part["mean"] - mean) ** 2 for part in parts])
    return {
        "min": np.min([part["min"] for part in parts], axis=0),
        "max": np.max([part["max"] for part in parts], axis=0),
        "mean": mean,
        "std": np.sqrt(spread),
        "count": np.array([counts.sum()]),
        **{
            name: weighted([part[name] for part in parts])
            for name in _NAMES
            if all(name in part for part in parts)
        },
    }


def _plain(stats: Mapping[str, Array]) -> dict[str, Any]:
    return {
        name: [int(values[0])] if name == "count" else values.tolist()
        for name, values in stats.items()
    }
