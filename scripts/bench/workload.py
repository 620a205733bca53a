"""What the throughput benchmark works on: a task's station, demonstrations and a fitted base."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from robot_rl.app.imitate import MARGIN
from robot_rl.app.run_config import DEMONSTRATION_SEEDS, RunConfig
from robot_rl.app.station import Station
from robot_rl.config.load import load
from robot_rl.core.episode import Episode, EpisodeMetadata
from robot_rl.core.types import Source
from robot_rl.data.chunks import chunk_windows
from robot_rl.data.normaliser import Normaliser
from robot_rl.learning.imitation import train_policy
from robot_rl.policies.chunk_policy import ChunkPolicy
from robot_rl.runtime.record import DEMONSTRATION, name_of

CONFIGS = Path(__file__).parents[2] / "configs"
RUN = CONFIGS / "runs" / "peg_insert.yaml"
MAIN_TASK = "peg_insert"
_CELLS = {"point_reach": "sim_point"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How long to measure: repeats of a number, calls in one repeat, and what is set up."""

    repeats: int
    calls: int
    demonstrations: int
    imitation_steps: int
    buffer_steps: int
    vector_sizes: tuple[int, ...] = (1, 16, 64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A run's parts, ready to be timed."""

    config: RunConfig
    station: Station
    demos: list[Episode]
    base: ChunkPolicy


def task_overrides(task: str) -> list[str]:
    """What turns the main run into one of another task: its cell, and all its vectors as keys."""
    if task == MAIN_TASK:
        return []
    files = [f"task={CONFIGS}/tasks/{task}.yaml"]
    if task in _CELLS:
        files.append(f"cell={CONFIGS}/cells/{_CELLS[task]}.yaml")
    return [*files, "base.keys=[]", "learner.keys=[]"]


def tasks() -> list[str]:
    """Names of all tasks that have a file."""
    return sorted(path.stem for path in (CONFIGS / "tasks").glob("*.yaml"))


@contextmanager
def open_workload(task: str, effort: Effort, *overrides: str) -> Iterator[Workload]:
    """Build a task's station, let the demonstrator drive, and fit the base policy a little.

    The base is fitted so that it moves the arm as a policy does: an untrained one shakes it, and
    shaking costs other contacts.
    """
    config = load(RUN, RunConfig, [*task_overrides(task), *overrides])
    station = Station.of_run(config)
    with station.bench.robot:
        try:
            demos = list(islice(demonstrations(config, station), effort.demonstrations))
            base = _imitate(config, station, demos, effort.imitation_steps)
            yield Workload(config=config, station=station, demos=demos, base=base)
        finally:
            station.bench.close()


def demonstrations(
    config: RunConfig, station: Station, first: int = DEMONSTRATION_SEEDS
) -> Iterator[Episode]:
    """What the run's demonstrator does, good or bad, from one start after the other."""
    assert config.demonstrator
    person = config.demonstrator.build(station.bench)
    rollout = station.rollout(station.agent(), operator=person, human_source=Source.DEMO)
    for seed in itertools.count(first):
        metadata = EpisodeMetadata(task=station.bench.task.name, seed=seed)
        yield rollout.run(name_of(DEMONSTRATION, seed), seed, metadata)


def untrained(
    config: RunConfig, station: Station, demos: Sequence[Episode], seed: int = 0
) -> ChunkPolicy:
    """The run's base policy, normalised by what was demonstrated, before it has learned."""
    task = station.bench.task
    packed = np.concatenate([task.observation.pack(e.vectors) for e in demos])
    normaliser = Normaliser.fit_min_max(packed, margin=MARGIN)
    assert config.trained_base
    return config.trained_base.build(task.observation, task.action, normaliser, seed=seed)


def _imitate(config: RunConfig, station: Station, demos: list[Episode], steps: int) -> ChunkPolicy:
    assert config.imitate
    base = untrained(config, station, demos)
    data = chunk_windows(demos, base.config.horizon, station.bench.task.observation)
    settings = config.imitate.model_copy(update={"steps": steps, "warmup_steps": 0})
    train_policy(base, data, settings, seed=0)
    return base
