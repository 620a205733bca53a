"""What is said of a recording after the fact: a named column beside it, never in its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One column of labels of one episode of T steps.

    Args:
        name: lower-case letters, digits, `.`, `_`, `-`; e.g. `reward`, `success`, `rlif`.
        values: [T] one a step, [T + 1] one an observation, or [1] one for the episode; a dtype of
            `zarr_columns.DTYPES`.
        made_by: the function, the model or the person it is from.
        parameters: with which it was computed, JSON values.
    """

    name: str
    values: NDArray[Any]
    made_by: str
    parameters: Mapping[str, Any] = field(default_factory=lambda: dict[str, Any]())
