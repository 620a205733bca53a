"""The ablation of the main job over seeds: what person, base policy and demonstrations are worth.

Usage: .venv/bin/python scripts/bench/learning.py [--quick] [--seeds N ...] [--variants NAME ...]
           [--override KEY=VALUE ...] [--runs DIR] [--json FILE] [--jobs N]
       .venv/bin/python scripts/bench/learning.py --toy [--quick] [--seeds N ...] [--json FILE]

Variants of peg_insert: `person` (residual on the base, a person at hand), `residual` (nobody
helps), `steered` (DSRL on a one-step student of the base), `rlpd` (demonstrations, no base),
`scratch` (soft actor-critic from nothing). `pick` is pick_cube as shipped, `images` peg_insert
from two cameras without the bore's pose. A variant shares the demonstrations and the base policy
with the first one of its seed, where they are alike. `--peers` trains lerobot's and
stable-baselines3's SAC on the demonstrations of `person`. An interrupted benchmark goes on where
it was. `--toy` does without a base policy, on two joints in the plane: see `toy.py`.
"""

from __future__ import annotations

import importlib.util
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
from peer_curve import PEERS, Budget, our_row, peer_row
from report import Claim, Row, at_least, at_most, publish, skipped
from sac_peers import INSTALL
from student import student_row
from toy import SHOWN as TOY_SHOWN
from toy import toy_rows

from robot_rl.core.errors import RobotRlError
from robot_rl.runtime.statistics import median_and_spread

TARGETS = {"person": 0.95, "pick": 0.95, "images": 0.90}
"""Success that a variant is to reach from held-out starts."""
STUDENT_SHOWN = ("teacher", "student", "latency_ratio")
CONTEST_SHOWN = ("steps_to_90", "best", "budget")
"""Columns of the other tables."""


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

    peers: bool = False
    """Also train the peers, for as many steps as `person` may take."""

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
    students = [student_row(trial) for trial in trials if trial.config.imitate.student]
    contest = side_by_side(trials) if arguments.peers else []
    publish(
        "the main job and its variants: success from held-out starts, nobody helping",
        [*rows, *spreads(rows), *students, *contest],
        [*claims(rows, quick), *student_claims(students), *contest_claims(contest)],
        arguments.json,
        columns=("name", "variant", "seed", *SHOWN, *STUDENT_SHOWN, *CONTEST_SHOWN, "skipped"),
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
    for variant, target in TARGETS.items():
        chosen = [row["deployed"] for row in rows if row["variant"] == variant]
        if chosen:
            name = f"{variant}: median success from held-out starts, nobody helping"
            found.append(at_least(name, median_and_spread(chosen)[0], "", target))
    steered = [row for row in rows if row["variant"] == "steered"]
    if steered:
        gone = [(row["deployed"] - row["base"]) / (1.0 - row["base"]) for row in steered]
        name = "steered: median share of the base's failures that are gone"
        found.append(at_least(name, median_and_spread(gone)[0], "", 0.5))
    spent = [row["env_steps"] for row in rows]
    found.append(at_most("longest online phase", max(spent), "steps", 20_000))
    return found


def student_claims(rows: Sequence[Row]) -> list[Claim]:
    """Whether a student is as good as its teacher, and how much faster."""
    if not rows:
        return []
    behind = [row["teacher"] - row["student"] for row in rows]
    faster = [row["latency_ratio"] for row in rows]
    return [
        at_most("student: median success behind its teacher", _median(behind), "", 0.03),
        at_least("student: median latency of the teacher to its own", _median(faster), "x", 5.0),
    ]


def side_by_side(trials: Sequence[Trial]) -> list[Row]:
    """Steps until 90 % of the judging starts are solved, ours and the peers'."""
    rows: list[Row] = []
    for trial in (t for t in trials if t.variant == "person"):
        judge = trial.config.improve
        budget = Budget(
            env_steps=judge.env_steps,
            judge_every_steps=judge.judge_every_steps,
            judge_episodes=judge.judge_episodes,
            updates_per_step=round(trial.config.schedule.utd),
        )
        rows.append(our_row(trial))
        for name, (package, _) in PEERS.items():
            if importlib.util.find_spec(package):
                logging.info("%s, seed %d", name, trial.config.seed)
                rows.append(peer_row(trial, name, budget))
            else:
                rows.append(skipped(name, INSTALL))
    return rows


def contest_claims(rows: Sequence[Row]) -> list[Claim]:
    """Ours against the best peer; one that never got there counts with its whole budget."""
    steps = {
        name: _median([min(r["steps_to_90"], r["budget"]) for r in rows if r["name"] == name])
        for name in {row["name"] for row in rows if "steps_to_90" in row}
    }
    peers = [steps[name] for name in PEERS if name in steps]
    ours = [value for name, value in steps.items() if name not in PEERS]
    if not peers or not ours:
        return []
    name = "steps to 90 %, ours to the best peer's"
    return [at_most(name, ours[0] / min(peers), "x", 0.5)]


def _median(values: Sequence[float]) -> float:
    return median_and_spread(values)[0]


def _default_root(quick: bool, stack: ExitStack) -> Path:
    if quick:
        return Path(stack.enter_context(TemporaryDirectory(prefix="bench-")))
    return Path("runs", "bench")


if __name__ == "__main__":
    main()
