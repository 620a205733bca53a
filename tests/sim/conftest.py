"""Benches behind the cells' own gates, and a person to drive them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from robot_rl.app.run_config import CellConfig
from robot_rl.app.station import Station
from robot_rl.config.load import load
from robot_rl.config.model import Config
from robot_rl.core.types import StepResult, Vector
from robot_rl_sim.backend import StateView
from robot_rl_sim.bench import SimBench
from robot_rl_sim.person import DemonstratorConfig
from robot_rl_sim.tasks.point_reach import PointReachConfig

CELLS = Path(__file__).resolve().parents[2] / "configs" / "cells"
CLEAN = DemonstratorConfig(noise=0.0, wander=0.0)


@dataclass
class Stage:
    """A task on its bench."""

    station: Station
    bench: SimBench

    def reset(self, seed: int) -> dict[str, Vector]:
        return dict(self.station.env.reset(seed).vectors)

    def step(self, *action: float) -> StepResult:
        return self.station.env.step(np.array(action, np.float32))

    @property
    def state(self) -> StateView:
        return self.bench.backend.state()

    def drive(self, seed: int, person: DemonstratorConfig = CLEAN) -> Iterator[StepResult]:
        """One episode of a demonstrator, step by step."""
        demonstrator = person.build(self.bench)
        observation = self.station.env.reset(seed)
        demonstrator.reset(seed)
        ended = False
        while not ended:
            result = self.station.env.step(demonstrator.poll(observation).action)
            observation, ended = result.observation, result.terminated or result.truncated
            yield result

    def successes(self, seeds: range, person: DemonstratorConfig = CLEAN) -> int:
        return sum([*self.drive(seed, person)][-1].terminated for seed in seeds)


@pytest.fixture(scope="session")
def make_stage():
    point, fr3 = (load(CELLS / f"sim_{name}.yaml", CellConfig) for name in ("point", "fr3"))

    def make(task: Config) -> Stage:
        station = Station.open(point if isinstance(task, PointReachConfig) else fr3, task)
        return Stage(station=station, bench=station.bench)

    return make
