"""Whole runs of the smallest task there is, in this process, with budgets of seconds."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from robot_rl.app.cli import main
from robot_rl.app.run_config import RunConfig
from robot_rl.app.run_context import RunContext
from robot_rl.app.run_folder import RunFolder
from robot_rl.app.station import Station
from robot_rl.config.load import load
from robot_rl.data.store.episode_reader import EpisodeReader

POINT_REACH = Path(__file__).parents[2] / "configs" / "runs" / "point_reach.yaml"
TINY = (
    "collect.episodes=3",
    "base.network.hidden=[16]",
    "base.sampler.inference_steps=2",
    "imitate.steps=60",
    "learner.hidden=[16,16]",
    "learner.heads=2",
    "schedule.prefill_steps=60",
    "schedule.warmup_updates=40",
    "schedule.batch_size=16",
    "improve.env_steps=300",
    "improve.judge_every_steps=150",
    "improve.judge_episodes=3",
    "evaluate.episodes=3",
)
"""Every phase in a second or two; nothing is learned."""


def run_cli(*words: object) -> int:
    """Run the command in this process and put back what it sets for the whole process."""
    signals = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        return main([str(word) for word in words])
    finally:
        for number, handler in signals.items():
            signal.signal(number, handler)


def only_folder(runs: Path) -> RunFolder:
    (path,) = runs.iterdir()
    return RunFolder.open(path)


def new_run(root: Path, *overrides: str) -> RunFolder:
    """Make a folder for a tiny run; nothing is run yet."""
    return RunFolder.create(root, load(POINT_REACH, RunConfig, [*TINY, *overrides]))


def context(folder: RunFolder, *sinks: Callable, stop: Callable = lambda: False) -> RunContext:
    """A run's context on a bench of its own, with nobody listening but `sinks`."""
    return RunContext(folder, Station.of_run(folder.config), list(sinks), stop)


def episodes_of(folder: RunFolder, name: str) -> list:
    return list(EpisodeReader(folder.path / name))


@pytest.fixture(scope="session")
def kit() -> SimpleNamespace:
    """The helpers of this file; test files cannot import one another."""
    return SimpleNamespace(
        yaml=POINT_REACH,
        tiny=TINY,
        run=run_cli,
        only_folder=only_folder,
        new_run=new_run,
        context=context,
        episodes=episodes_of,
    )


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A finished tiny run with seed 0, which tests read and do not change."""
    runs = tmp_path_factory.mktemp("tiny")
    with quick():
        assert run_cli("run", POINT_REACH, *TINY, "--runs", runs) == 0
    return only_folder(runs)


@contextmanager
def quick() -> Iterator[None]:
    """One thread, as the command sets it; no OpenGL and no waiting for the medium: both take
    seconds, and no test here pulls the plug. Tests elsewhere do, and draw."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("__EGL_VENDOR_LIBRARY_DIRS", "/nonexistent")
        patch.setattr("os.fsync", lambda descriptor: None)
        yield


@pytest.fixture(autouse=True, scope="module")
def _quick() -> Iterator[None]:
    with quick():
        yield
