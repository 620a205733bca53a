"""How often each fault is injected, where, and the table of counts at the end of a run."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# The processes that get killed import these modules too, with this folder first in their path.
sys.path.insert(0, str(HERE))
COUNTS = pytest.StashKey[list[tuple[str, str]]]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--soak"):
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(pytest.mark.timeout(3_600))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    counts = config.stash.get(COUNTS, [])
    if not counts:
        return
    terminalreporter.section("injected faults")
    width = max(len(fault) for fault, _ in counts)
    for fault, count in counts:
        terminalreporter.line(f"{fault:<{width}}  {count}")


@pytest.fixture
def repeats(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """`repeats(quick, soak)`: which of the two this run asks for."""
    return lambda quick, soak: soak if request.config.getoption("--soak") else quick


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Callable[..., None]:
    """`report(fault, count=..., ...)`: one line of the table at the end of the run."""
    lines = request.config.stash.setdefault(COUNTS, [])

    def add(fault: str, **counts: object) -> None:
        lines.append((fault, ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in counts.items())))

    return add


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """In memory where that can be had: the tests here make tens of thousands of files."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as path:
        yield Path(path)
