from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from robot_rl.app.cli import main
from robot_rl.app.run_config import RunConfig
from robot_rl.config.load import load

POINT_REACH = Path(__file__).parents[2] / "configs" / "runs" / "point_reach.yaml"


@pytest.fixture(scope="session")
def point_reach() -> Path:
    """The YAML of the smallest run there is."""
    return POINT_REACH


@pytest.fixture(scope="session")
def make_config() -> Callable[..., RunConfig]:
    def make(*overrides: str) -> RunConfig:
        return load(POINT_REACH, RunConfig, overrides)

    return make


@pytest.fixture
def cli() -> Iterator[Callable[..., int]]:
    """Runs the command in this process and puts back what it sets for the whole process."""
    signals = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    yield lambda *words: main([str(word) for word in words])
    for number, handler in signals.items():
        signal.signal(number, handler)
