"""What leaving out a demonstration's pauses is worth: success of the base policy with and without.

    .venv/bin/python scripts/bench/pauses.py [--quick] [--json FILE]

A simulated person demonstrates peg insertion haltingly: drives for a stretch, lets go, looks, goes
on. Two base policies learn from these same demonstrations, with the same seed: one as imitation
does it, without the steps in which nobody drove, and one from all steps, as if resting had been
shown. Both are judged from the same starts.
"""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from report import Claim, Row, publish
from workload import CONFIGS, demonstrations, untrained

from robot_rl.app.run_config import DEMONSTRATION_SEEDS, HELD_OUT_SEEDS, SEEDS_PER_RUN, RunConfig
from robot_rl.app.station import Station
from robot_rl.config.load import load
from robot_rl.core.episode import Episode, EpisodeMetadata
from robot_rl.core.errors import RobotRlError
from robot_rl.core.types import Source
from robot_rl.data.chunks import chunk_windows
from robot_rl.learning.imitation import train_policy
from robot_rl.policies.chunk_policy import ChunkPolicy
from robot_rl.runtime.evaluator import evaluate
from robot_rl.runtime.rollout import succeeded
from robot_rl.runtime.statistics import paired_difference_bound, wilson_interval

RUN = CONFIGS / "runs" / "peg_insert_session.yaml"
HALTING = (
    "demonstrator={type: robot_rl_sim.person:SupervisorConfig, patience_steps: 6, "
    "correction_steps: 8, attention: 0.5, hand: {noise: 0.1, wander: 0.1}}"
)
COLUMNS = ("name", "seed", "success", "ci95", "steps", "rested", "length")
_MOST_ATTEMPTS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What may be chosen.

    Args:
        quick: one seed, little training and few starts: that it runs, and a glimpse.
        file: where the result goes as JSON.
    """

    quick: bool = False
    file: Annotated[Path | None, tyro.conf.arg(name="json")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is done.

    Args:
        seeds: of demonstrations and training.
        demonstrations: that succeeded.
        updates: of each policy.
        starts: that each is judged from.
    """

    seeds: int
    demonstrations: int
    updates: int
    starts: int


QUICK = Effort(seeds=1, demonstrations=10, updates=1500, starts=20)
FULL = Effort(seeds=3, demonstrations=30, updates=6000, starts=100)

Wins = list[bool]


def compared(seed: int, effort: Effort) -> tuple[list[Row], Wins, Wins]:
    """Rows of one seed, and which starts were solved with the pauses and without."""
    config = load(RUN, RunConfig, [HALTING, f"seed={seed}", "task.horizon=200"])
    station = Station.of_run(config)
    try:
        with station.bench.robot:
            demos = _demonstrations(config, station, effort.demonstrations)
            shown = [_as_if_shown(demo) for demo in demos]
            rested = float(np.mean(np.concatenate([d.source == Source.HOLD for d in demos])))
            rows, wins = list[Row](), list[Wins]()
            for name, episodes in (("with pauses", shown), ("pauses left out", demos)):
                policy = _imitated(config, station, episodes, effort.updates)
                judged = _judged(station, policy, effort.starts)
                won = [episode.success_autonomous for episode in judged]
                steps = sum(len(demo) for demo in demos)
                lengths = [len(e) for e, good in zip(judged, won, strict=True) if good]
                row = {
                    "name": name,
                    "seed": seed,
                    "success": float(np.mean(won)),
                    "ci95": wilson_interval(sum(won), len(won)),
                    "steps": steps if episodes is shown else round(steps * (1 - rested)),
                    "rested": rested,
                    "length": float(np.median(lengths)) if lengths else float("nan"),
                }
                rows.append(row)
                wins.append(won)
    finally:
        station.bench.close()
    return rows, wins[0], wins[1]


def _demonstrations(config: RunConfig, station: Station, count: int) -> list[Episode]:
    first = DEMONSTRATION_SEEDS + config.seed * SEEDS_PER_RUN
    shown = islice(demonstrations(config, station, first), _MOST_ATTEMPTS * count)
    found = list(islice(filter(succeeded, shown), count))
    if len(found) < count:
        raise RobotRlError(f"only {len(found)} of {count} demonstrations succeeded")
    return found


def _as_if_shown(demo: Episode) -> Episode:
    """The demonstration as if the person had wanted the arm to rest."""
    source = np.where(demo.source == Source.HOLD, Source.DEMO, demo.source)
    return dataclasses.replace(demo, source=source.astype(demo.source.dtype))


def _imitated(
    config: RunConfig, station: Station, episodes: list[Episode], updates: int
) -> ChunkPolicy:
    assert config.imitate
    policy = untrained(config, station, episodes, config.seed)
    windows = chunk_windows(episodes, policy.config.horizon, station.bench.task.observation)
    settings = config.imitate.model_copy(update={"steps": updates})
    train_policy(policy, windows, settings, config.seed)
    return policy


def _judged(station: Station, policy: ChunkPolicy, starts: int) -> list[Episode]:
    rollout = station.rollout(station.agent(policy))
    seeds = range(HELD_OUT_SEEDS, HELD_OUT_SEEDS + starts)
    return evaluate(rollout, seeds, EpisodeMetadata(task=station.bench.task.name), "judge")


def main(options: Options) -> int:
    """Measure, print and write; returns the exit status."""
    effort = QUICK if options.quick else FULL
    rows, paused, driven = list[Row](), Wins(), Wins()
    try:
        for seed in range(effort.seeds):
            found, with_pauses, without = compared(seed, effort)
            rows += found
            paused += with_pauses
            driven += without
    except RobotRlError as error:
        print(f"pauses: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    bound = paired_difference_bound(paused, driven)
    claim = Claim(
        name="success, pauses left out less with them: lower end of one-sided 95 %",
        value=bound,
        unit="",
        target="> 0",
        holds=bound > 0,
    )
    publish("base policies from halting demonstrations", rows, [claim], options.file, COLUMNS)
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=__doc__)))
