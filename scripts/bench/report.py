"""What a benchmark hands over: rows and claims, as tables for people and as JSON for programs."""

from __future__ import annotations

import json
import math
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from rich.console import Console
from rich.table import Table

from robot_rl.config.provenance import provenance
from robot_rl.runtime.statistics import median_and_spread

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A sentence about a number, and whether it is true. A value that is NaN holds nothing."""

    name: str
    value: float
    unit: str
    target: str
    holds: bool


def at_least(name: str, value: float, unit: str, target: float) -> Claim:
    """Claim that `value` reaches `target`."""
    return Claim(name=name, value=value, unit=unit, target=f">= {target:g}", holds=value >= target)


def at_most(name: str, value: float, unit: str, target: float) -> Claim:
    """Claim that `value` does not exceed `target`."""
    return Claim(name=name, value=value, unit=unit, target=f"<= {target:g}", holds=value <= target)


def measured(name: str, unit: str, values: ArrayLike, **more: object) -> Row:
    """A row of one measurement: its median and its 10th and 90th percentile over repeats."""
    median, p10, p90 = median_and_spread(values)
    spread = {"median": median, "p10": p10, "p90": p90, "repeats": np.size(values)}
    return {"name": name, "unit": unit, **spread, **more}


def skipped(name: str, reason: str) -> Row:
    """A row of something that could not be measured here."""
    return {"name": name, "skipped": reason}


def publish(
    title: str,
    rows: Sequence[Row],
    claims: Sequence[Claim],
    file: Path | None,
    columns: Sequence[str] = ("name", "median", "p10", "p90", "unit", "skipped"),
) -> None:
    """Print both tables; write `rows`, `claims` and where they come from to `file`, if given."""
    # Where there is no terminal, rich would cut the names to fit 80 characters.
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(_table(title, rows, columns))
    console.print(
        _table("claims", [{**asdict(c), "holds": "yes" if c.holds else "NO"} for c in claims])
    )
    if file:
        facts = provenance()
        about = {
            "title": title,
            "code": facts.code_version,
            "python": facts.python,
            "platform": facts.platform,
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "torch_threads": torch.get_num_threads(),
            "libraries": dict(facts.libraries),
        }
        content = {"about": about, "rows": rows, "claims": [asdict(c) for c in claims]}
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(_plain(content), indent=2, allow_nan=False) + "\n")


def _table(title: str, rows: Sequence[Row], columns: Sequence[str] = ()) -> Table:
    known = columns or list(dict.fromkeys(key for row in rows for key in row))
    table = Table(title=title)
    for column in (used := [c for c in known if any(c in row for row in rows)]):
        words = column in ("name", "variant", "skipped")
        table.add_column(column, justify="left" if words else "right", overflow="fold")
    for row in rows:
        table.add_row(*(_text(row.get(column)) for column in used))
    return table


def _text(value: object) -> str:
    if isinstance(value, float):
        if not math.isfinite(value):
            return "-"
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    if isinstance(value, list | tuple):
        return "..".join(_text(v) for v in value)
    return "" if value is None else str(value)


def _plain(value: Any) -> Any:
    """JSON has no NaN: what could not be measured is null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
