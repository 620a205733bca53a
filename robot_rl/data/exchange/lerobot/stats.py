"""Statistics of an episode's features as LeRobot v3 keeps them, computed exactly.

lerobot 0.6 estimates quantiles from histograms of 5000 bins; here they are those of the values.
Its `aggregate_stats` then joins the episodes. Keys, shapes and which frames are sampled are
lerobot's (`compute_stats.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.types import Image

Statistics = dict[str, NDArray[Any]]

_QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
_LEVELS = np.arange(256)


def of_numbers(columns: Mapping[str, NDArray[Any]]) -> dict[str, Statistics]:
    """Statistics of each column over its T rows.

    Args:
        columns: [T] or [T, d] by name; the statistics have the shape [1] or [d].
    """
    rows = {key: values.reshape(len(values), -1) for key, values in columns.items()}
    together = _of_rows(np.concatenate([*rows.values()], axis=1, dtype=np.float64))
    ends = np.cumsum([values.shape[1] for values in rows.values()])
    return {
        key: {
            name: v if name == "count" else v[end - rows[key].shape[1] : end]
            for name, v in together.items()
        }
        for key, end in zip(rows, ends, strict=True)
    }


def _of_rows(rows: NDArray[np.float64]) -> Statistics:
    quantiles = np.quantile(rows, list(_QUANTILES.values()), axis=0)
    return {
        "min": rows.min(axis=0),
        "max": rows.max(axis=0),
        "mean": rows.mean(axis=0),
        "std": rows.std(axis=0),
        "count": np.array([len(rows)]),
        **dict(zip(_QUANTILES, quantiles, strict=True)),
    }


def of_images(images: Image, sample: list[int]) -> Statistics:
    """Statistics over the pixels of some frames of uint8[T, h, w, 3], in [0, 1], shape [3, 1, 1].

    Args:
        images: all frames.
        sample: which of them count.
    """
    step = _thinning(images.shape[1], images.shape[2])
    counts = np.zeros((3, 256), np.int64)
    for index in sample:
        pixels = images[index, ::step, ::step].reshape(-1, 3)
        counts += [np.bincount(pixels[:, c], minlength=256) for c in range(3)]
    total = counts[0].sum()
    mean = counts @ _LEVELS / total
    seen = counts > 0
    below = np.cumsum(counts, axis=1)
    result = {
        "min": seen.argmax(axis=1),
        "max": 255 - seen[:, ::-1].argmax(axis=1),
        "mean": mean,
        "std": np.sqrt(np.maximum(counts @ _LEVELS**2 / total - mean**2, 0)),
        **{name: (below < q * total).sum(axis=1) for name, q in _QUANTILES.items()},
    }
    scaled = {name: (v / 255.0).reshape(3, 1, 1) for name, v in result.items()}
    return {**scaled, "count": np.array([len(sample)])}


def _thinning(height: int, width: int) -> int:
    """Every how many pixels one counts: images of 300 and more come down to about 150."""
    longest = width if width > height else height
    return 1 if max(height, width) < 300 else int(longest / 150)
