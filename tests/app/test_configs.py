"""Every YAML under configs/ loads, and what it describes can be built."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from robot_rl.app.ros.graph_config import GraphConfig
from robot_rl.app.run_config import CellConfig, RunConfig
from robot_rl.app.serve import ServingConfig
from robot_rl.app.station import Station
from robot_rl.config.load import load
from robot_rl.config.model import Config
from robot_rl.config.task import TaskSpecConfig
from robot_rl.core.errors import RobotRlError
from robot_rl.core.spec import TaskSpec
from robot_rl.data.exchange.topics.topic_map import TopicMap
from robot_rl.data.normaliser import Normaliser
from robot_rl.policies.chunk_policy import ChunkPolicy, ChunkPolicyConfig

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
FILES = sorted(CONFIGS.rglob("*.yaml"))
TASKS = sorted(CONFIGS.glob("tasks/*.yaml"))


def folder_of(path: Path) -> str:
    return path.parent.relative_to(CONFIGS).as_posix()


@cache
def built_task(path: Path):
    return load(path, Config).build()


def build_task(path: Path) -> None:
    assert built_task(path).spec.horizon > 0


def build_cell(path: Path) -> None:
    """A cell fits at least one task: its arm, limits and chain are of one robot."""
    cell = load(path, CellConfig)
    fitting = []
    for task in TASKS:
        try:
            station = Station.open(cell, load(task, Config))
        except RobotRlError:
            continue
        station.env.reset(0)
        fitting.append(station.env.step(np.zeros(station.bench.task.action.size, np.float32)))
        station.bench.close()
    assert fitting


def build_for_a_task(path: Path, build) -> None:
    """What learns or acts finds the observations that it names in at least one task."""
    fitting = []
    for task in TASKS:
        try:
            fitting.append(build(load(path, Config), built_task(task).spec))
        except RobotRlError:
            continue
    assert fitting


def build_policy(config: Config, task: TaskSpec) -> ChunkPolicy:
    return config.build(task.observation, task.action, identity(task), seed=0)


def build_learner(config: Config, task: TaskSpec):
    return config.build(build_policy(ChunkPolicyConfig(), task), seed=0)


def build_reward(path: Path) -> None:
    assert load(path, Config).build().finish() == []


def build_reward_model(path: Path) -> None:
    """It finds what it names in at least one task of a real cell."""
    fitting = []
    for task in CONFIGS.glob("tasks/real/*.yaml"):
        try:
            fitting.append(load(path, Config).build(load(task, TaskSpecConfig).build()))
        except RobotRlError:
            continue
    assert fitting


def build_run(path: Path) -> None:
    config = load(path, RunConfig)
    station = Station.of_run(config)
    for person in (config.demonstrator, config.supervisor):
        assert person is None or person.build(station.bench).name
    base = build_policy(config.base, station.bench.task)
    assert config.learner.build(base, seed=0)
    station.bench.close()


def identity(task: TaskSpec) -> Normaliser:
    size = task.observation.packed_size
    return Normaliser(offset=np.zeros(size, "f4"), scale=np.ones(size, "f4"))


def load_ready(path: Path) -> None:
    """What it names is not here; it is a component all the same."""
    assert callable(load(path, Config).build)


def load_device(path: Path) -> None:
    """What it builds is tested beside its driver; a camera's calibration is not ours."""
    if not path.stem.endswith("_calibration"):
        assert callable(load(path, Config).build)


def load_serving(path: Path) -> None:
    serving = load(path, ServingConfig)
    assert serving.task.build().spec.horizon > 0


BUILDERS = {
    "cells": build_cell,
    "devices": load_device,
    "drivers": lambda path: load(path, Config).build(),
    "learners": lambda path: build_for_a_task(path, build_learner),
    "policies": lambda path: build_for_a_task(path, build_policy),
    "policies/ready": load_ready,
    "rewards": build_reward,
    "rewards/models": build_reward_model,
    "ros": lambda path: load(path, GraphConfig),
    "runs": build_run,
    "serving": load_serving,
    "tasks": build_task,
    "tasks/real": lambda path: load(path, TaskSpecConfig).build(),
    "topics": lambda path: load(path, TopicMap),
}


@pytest.mark.sim
@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(CONFIGS)))
def test_every_config_loads_and_builds(path):
    BUILDERS[folder_of(path)](path)


def test_every_folder_has_its_files():
    assert {folder_of(path) for path in FILES} == set(BUILDERS)
