"""The ablation of the main job over seeds: what person, base policy and demonstrations are worth.

Usage: .venv/bin/python scripts/bench/learning.py [--quick] [--seeds N ...] [--variants NAME ...]
           [--override KEY=VALUE ...] [--runs DIR] [--json FILE] [--jobs N]
       .venv/bin/python scripts/bench/learning.py --toy [--quick] [--seeds N ...] [--json FILE]

Variants: `person` (residual on the base, a person at hand), `residual` (nobody helps), `rlpd`
(demonstrations, no base), `scratch` (reinforcement learning from nothing). A variant shares the
demonstrations and the base policy with the first one of its seed. An interrupted benchmark goes
on where it was. `--toy` does without a base policy, on two joints in the plane: see `toy.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import tyro
from ablation import TOY, VARIANTS, Trial, plan, run
from outcome import SHOWN, outcome, spreads
from report import Claim, Row, at_least, at_most, publish
from toy import SHOWN as TOY_SHOWN
from toy import toy_rows

from robot_rl.core.errors import RobotRlError
from robot_rl.runtime.statistics import median_and_spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """Run every variant with every seed and compare."""

    quick: bool = False
    """A toy with tiny budgets: less than two minutes on two cores."""

    toy: bool = False
    """Instead of the main job: what demonstrations, a person and objections are worth on a toy."""

    seeds: tuple[int, ...] = ()
    """Seeds of the runs: 0 to 2; with --toy 0 to 4, or 0 and 1 if quick."""

    variants: tuple[str, ...] = ()
    """Which of the variants: all; `person` and `rlpd` with --quick."""

    runs: Path | None = None
    """Where the runs are kept: runs/bench; with --quick they are thrown away."""

    json: Path | None = None
    """Where rows and claims go."""

    override: tuple[str, ...] = ()
    """Settings `key=value` for every run, e.g. a smaller budget: `improve.env_steps=8000`."""

    jobs: int | None = None
    """Runs at a time: 1, so that wall times are honest; 2 with --quick."""


def main() -> None:
    """Run, compare, print, write."""
    arguments = tyro.cli(Arguments, description=__doc__)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    try:
        if arguments.toy:
            measure_toy(arguments)
            return
        with ExitStack() as stack:
            root = arguments.runs or _default_root(arguments.quick, stack)
            compare(arguments, root)
    except RobotRlError as error:
        raise SystemExit(f"learning: {error}") from error


def compare(arguments: Arguments, root: Path) -> None:
    """Run what is not run yet in `root`, then compare."""
    quick = arguments.quick
    variants = arguments.variants or (("person", "rlpd") if quick else tuple(VARIANTS))
    more = (*(TOY if quick else ()), *arguments.override)
    trials = plan(variants, arguments.seeds or (0, 1, 2), root, more)
    run_all(trials, arguments.jobs or (2 if quick else 1))
    rows = [outcome(trial) for trial in trials]
    if len(codes := {row["code"] for row in rows}) > 1:
        logging.warning("these runs are of different code: %s", ", ".join(sorted(codes)))
    publish(
        "ablation of the main job: success from held-out starts, nobody helping",
        [*rows, *spreads(rows)],
        claims(rows, quick),
        arguments.json,
        columns=("variant", "seed", *SHOWN),
    )


def measure_toy(arguments: Arguments) -> None:
    """Run the toy's arms with every seed, and compare."""
    seeds = arguments.seeds or tuple(range(2 if arguments.quick else 5))
    rows, claimed = toy_rows(seeds, quick=arguments.quick)
    title = "the toy: success from held-out starts, nobody helping"
    publish(title, rows, claimed, arguments.json, columns=("variant", "seed", *TOY_SHOWN))


def run_all(trials: Sequence[Trial], jobs: int) -> None:
    """Run the trials; the first of each seed goes first, for the others share what it made."""
    by_seed: dict[int, Trial] = {}
    for trial in trials:
        by_seed.setdefault(trial.config.seed, trial)
    firsts = list(by_seed.values())

    def run_one(trial: Trial) -> None:
        logging.info("%s", trial.path)
        run(trial, firsts)

    with ThreadPoolExecutor(jobs) as pool:
        for batch in (firsts, [t for t in trials if t not in firsts]):
            list(pool.map(run_one, batch))


def claims(rows: Sequence[Row], quick: bool) -> list[Claim]:
    """What must be true of these runs; of the toy only what it costs."""
    found = [
        at_most("longest run", max(row["wall_s"] for row in rows), "s", 900),
        at_most("peak memory of a run", max(row["peak_rss_mb"] for row in rows), "MB", 4096),
    ]
    if quick:
        return found
    bases = [row["base"] for row in rows]
    found.append(at_least("lowest success of a base policy", min(bases), "", 0.30))
    found.append(at_most("highest success of a base policy", max(bases), "", 0.75))
    helped = [row["deployed"] for row in rows if row["variant"] == "person"]
    if helped:
        name = "residual + person: median success from held-out starts, nobody helping"
        found.append(at_least(name, median_and_spread(helped)[0], "", 0.95))
    return found


def _default_root(quick: bool, stack: ExitStack) -> Path:
    if quick:
        return Path(stack.enter_context(TemporaryDirectory(prefix="bench-")))
    return Path("runs", "bench")


if __name__ == "__main__":
    main()
