"""Policy serving: how long a plan takes on its way, and how long it takes to be made.

Usage: .venv/bin/python scripts/bench/serving.py [--quick] [--only PART ...] [--json FILE]
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import serving_inference
import serving_wire
import tyro
from report import Claim, Row, publish

PARTS = {"wire": serving_wire.measure, "inference": serving_inference.measure}


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """Measure all parts, or some of them."""

    quick: bool = False
    """Fewer repeats: less than two minutes on two cores."""

    only: tuple[Literal["wire", "inference"], ...] = ()
    """The parts to measure; all without it."""

    json: Path | None = None
    """Where rows and claims go."""


def main() -> None:
    """Measure, compare, print, write."""
    arguments = tyro.cli(Arguments, description=__doc__)
    rows, claims = list[Row](), list[Claim]()
    for name in arguments.only or PARTS:
        more_rows, more_claims = PARTS[name](arguments.quick)
        rows += more_rows
        claims += more_claims
    columns = ("name", "median", "p10", "p90", "p99", "unit", "repeats", "skipped")
    publish("policy serving", rows, claims, arguments.json, columns=columns)


if __name__ == "__main__":
    main()
