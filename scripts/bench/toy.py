"""The toy: what demonstrations, a person and a person's objections are worth to RLPD, in minutes.

Two joints in the plane reach a point (`configs/runs/point_reach.yaml`). A trial is one learner
with one seed: 4,000 environment steps, then greedy evaluation from held-out starts, with nobody
helping. There is no base policy. Parts:

- demonstrations: RLPD with 20, and the same learner with none;
- person: RLPD with few demonstrations, with and without a person who corrects;
- objections: no task reward at all (RLIF); a person who judges, one who steps in at random as
  often, and nobody. Even without anybody the learner is told something: success ends an episode,
  and then nothing bad can follow.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from report import Claim, Row, at_least, at_most
from toy_trial import MANY, Arm, toy_config, trial
from workload import CONFIGS

from robot_rl.runtime.statistics import median_and_spread
from robot_rl_sim.person_judging import RandomHelperConfig, ValueJudgeConfig

OBJECTIONS = (f"reward={CONFIGS}/rewards/rlif.yaml", "learner.target_range=[-10.0, 0.0]")
JUDGE = ValueJudgeConfig(margin_m=0.02, correction_steps=5)
FEW = 3
"""Demonstrations, of the part on what a person adds."""
QUICK = ("improve.env_steps=1500", "evaluate.episodes=20")
"""Budget of the quick form."""
RLPD, SCRATCH = "20 demonstrations", "no demonstrations"
ALONE, HELPED = "3 demonstrations", "3 and a person"
JUDGED, AT_RANDOM, UNWATCHED = "rlif, judge", "rlif, random", "rlif, nobody"
COMPARED = ((RLPD, SCRATCH), (HELPED, ALONE), (JUDGED, AT_RANDOM), (JUDGED, UNWATCHED))
SHOWN = ("success", "ci95", "demonstrations", "interventions", "human_share", "cpu_s", "wall_s")
"""Columns of the table; success is without help, from held-out starts."""


def toy_rows(seeds: Sequence[int], *, quick: bool) -> tuple[list[Row], list[Claim]]:
    """Run every arm with every seed; the quick form does the first part, with less."""
    if quick:
        rows = [row for seed in seeds for row in demonstrations_part(seed, QUICK)]
        return [*rows, *spreads(rows), *differences(rows)], quick_claims(rows)
    parts = (demonstrations_part, person_part, objections_part)
    rows = [row for part in parts for seed in seeds for row in part(seed)]
    return [*rows, *spreads(rows), *differences(rows)], claims(rows)


def demonstrations_part(seed: int, budget: Sequence[str] = ()) -> list[Row]:
    """RLPD with demonstrations, and without."""
    arms = (Arm(name=RLPD, demonstrations=MANY), Arm(name=SCRATCH, demonstrations=0))
    return [trial(arm, seed, budget) for arm in arms]


def person_part(seed: int, budget: Sequence[str] = ()) -> list[Row]:
    """RLPD with few demonstrations, alone and with a person who corrects what has stalled."""
    person = toy_config(()).supervisor
    arms = (
        Arm(name=ALONE, demonstrations=FEW),
        Arm(name=HELPED, demonstrations=FEW, person=person),
    )
    return [trial(arm, seed, budget) for arm in arms]


def objections_part(seed: int, budget: Sequence[str] = ()) -> list[Row]:
    """No task reward: a judging person, a random one at the judge's own rate, and nobody."""
    judge = Arm(name=JUDGED, demonstrations=MANY, person=JUDGE, settings=OBJECTIONS)
    judged = trial(judge, seed, budget)
    at_random = RandomHelperConfig(
        rate=judged["rate"], hand=JUDGE.hand, correction_steps=JUDGE.correction_steps
    )
    others = (
        dataclasses.replace(judge, name=AT_RANDOM, person=at_random),
        dataclasses.replace(judge, name=UNWATCHED, person=None),
    )
    return [judged, *(trial(arm, seed, budget) for arm in others)]


def spreads(rows: Sequence[Row]) -> list[Row]:
    """Three rows for each arm: median, 10th to 90th percentile, and mean over its seeds.

    The interval of the mean is bootstrapped over seeds.
    """
    found: list[Row] = []
    for name, values in successes(rows).items():
        median, low, high = median_and_spread(values)
        found.append({"variant": name, "seed": "median", "success": median})
        found.append({"variant": name, "seed": "p10..p90", "success": [low, high]})
        found.append(_mean_row(name, "mean", values))
    return found


def differences(rows: Sequence[Row]) -> list[Row]:
    """A row for each comparison: the mean over seeds of one arm's success minus the other's."""
    by_arm = successes(rows)
    return [
        _mean_row(f"{one} - {other}", "paired", np.subtract(by_arm[one], by_arm[other]).tolist())
        for one, other in COMPARED
        if one in by_arm and other in by_arm
    ]


def successes(rows: Sequence[Row]) -> dict[str, list[float]]:
    """Success of each arm, in the order of the seeds."""
    by_arm: dict[str, list[float]] = {}
    for row in rows:
        by_arm.setdefault(row["variant"], []).append(row["success"])
    return by_arm


def claims(rows: Sequence[Row]) -> list[Claim]:
    """What must be true of these rows; of a person's worth nothing is claimed."""
    middle = {name: median_and_spread(values)[0] for name, values in successes(rows).items()}
    return [
        at_least("toy: RLPD from 20 demonstrations, median success", middle[RLPD], "", 0.9),
        at_most("toy: the same without them, median success", middle[SCRATCH], "", 0.2),
        at_most("toy: longest trial, CPU time", max(row["cpu_s"] for row in rows), "s", 60),
    ]


def quick_claims(rows: Sequence[Row]) -> list[Claim]:
    """What must be true after the quick form's budget, in every seed."""
    by_arm = successes(rows)
    gain = float(np.subtract(by_arm[RLPD], by_arm[SCRATCH]).min())
    return [at_least("toy: what 20 demonstrations add, least over seeds", gain, "", 0.3)]


def bootstrap_interval(values: Sequence[float], draws: int = 10_000) -> tuple[float, float]:
    """Return the 95 % percentile interval of the mean, drawing the values with replacement."""
    rng = np.random.default_rng(0)
    means = np.asarray(values)[rng.integers(len(values), size=(draws, len(values)))].mean(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def _mean_row(variant: str, seed: str, values: Sequence[float]) -> Row:
    mean, interval = float(np.mean(values)), bootstrap_interval(values)
    return {"variant": variant, "seed": seed, "success": mean, "ci95": interval}
