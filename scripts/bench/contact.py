"""With what force the simulated FR3 runs into things, through the cell's gate.

    .venv/bin/python scripts/bench/contact.py [--quick] [--json FILE]

200 approaches of the peg insertion's arm at the speed limit: table, fixture from above and from
beside, and a person's hand; and 40 more with an impedance law so stiff that the tool really comes
up to the limit. Each peak is held against the bound of `contact_trial`, and all of them against
what ISO/TS 15066 allows a hand: 140 N that last, 280 N for half a second.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from contact_scene import OBSTACLES
from contact_trial import SOFT, STIFF, Impact, Ramming
from report import Claim, Row, at_most, publish

from robot_rl.app.run_config import CellConfig
from robot_rl.config.load import load

CELL = Path(__file__).parents[2] / "configs/cells/sim_fr3.yaml"
HAND_N, HAND_TRANSIENT_N = 140.0, 280.0
"""ISO/TS 15066, table A.2, hands and fingers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What may be chosen.

    Args:
        quick: a tenth of the approaches.
        file: where the result goes as JSON.
    """

    quick: bool = False
    file: Annotated[Path | None, tyro.conf.arg(name="json")] = None


def row(name: str, impacts: Sequence[Impact]) -> Row:
    """What approaches of one kind came to."""
    peaks_n = np.array([i.peak_n for i in impacts])
    return {
        "name": name,
        "approaches": len(impacts),
        "median_n": float(np.median(peaks_n)),
        "p99_n": float(np.quantile(peaks_n, 0.99)),
        "max_n": float(peaks_n.max()),
        "of_bound": max(i.peak_n / i.bound_n for i in impacts),
        "pressed_n": max(i.pressed_n for i in impacts),
        "speed_m_s": float(np.median([i.speed_m_s for i in impacts])),
        "mass_kg": float(np.median([i.mass_kg for i in impacts])),
        "bound_at_limit_n": float(np.median([i.bound_at_limit_n for i in impacts])),
        "stops": sum(i.stopped for i in impacts),
    }


def claims(soft: Row, stiff: Row) -> list[Claim]:
    """What should hold of all approaches with each law."""
    return [
        at_most("peak force over its bound, worst approach", soft["of_bound"], "", 1.0),
        at_most("the same, stiff law", stiff["of_bound"], "", 1.0),
        at_most("peak force, worst approach", soft["max_n"], "N", HAND_N),
        at_most("the same, stiff law", stiff["max_n"], "N", HAND_N),
        at_most("the same, stiff law, as it does not last", stiff["max_n"], "N", HAND_TRANSIENT_N),
        at_most("force that lasts, stiff law", stiff["pressed_n"], "N", HAND_N),
    ]


def main(options: Options) -> None:
    """Run into everything with either law."""
    # A stop that latches is the point of it all.
    logging.getLogger("robot_rl").setLevel(logging.ERROR)
    cell = load(CELL, CellConfig)
    rows: list[Row] = []
    for name, stiffness, count in (("peg insertion", SOFT, 50), ("stiff law", STIFF, 10)):
        impacts: list[Impact] = []
        for obstacle in OBSTACLES:
            ramming = Ramming(cell, obstacle, stiffness)
            found = [ramming.run(seed) for seed in range(count // 10 if options.quick else count)]
            rows.append(row(f"{name}, {obstacle}", found))
            impacts += found
        rows.append(row(f"{name}, all", impacts))
    soft, stiff = (r for r in rows if r["name"].endswith("all"))
    publish("contact at the speed limit", rows, claims(soft, stiff), options.file, list(rows[0]))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
