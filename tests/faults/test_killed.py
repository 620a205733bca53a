"""SIGKILL at any moment: what was acknowledged is there, what was not is there whole or not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
KILLS = {
    "seal": 25,
    "edit": 20,
    "purge": 15,
    "export-mcap": 16,
    "import": 12,
    "export-lerobot": 2,
    "record": 10,
}
"""Of each kind in a quick run; ten times as many in a soak."""
MOSTLY_WAITS = "record"


def start(kind: str, folder: Path, kills: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, HERE / "killed.py", kind, folder, str(kills), "5"],
        # More threads than one would be lost in a fork.
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def waiting(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[subprocess.Popen[str]]:
    """The kind that mostly waits for its recordings to grow goes on beside the others."""
    kills = KILLS[MOSTLY_WAITS] * (10 if pytestconfig.getoption("--soak") else 1)
    process = start(MOSTLY_WAITS, tmp_path_factory.mktemp("killed"), kills)
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("kind", KILLS)
def test_a_kill_loses_nothing_that_was_acknowledged(
    folder: Path,
    report: Callable[..., None],
    repeats: Callable[[int, int], int],
    waiting: subprocess.Popen[str],
    kind: str,
) -> None:
    kills = repeats(KILLS[kind], 10 * KILLS[kind])
    process = waiting if kind == MOSTLY_WAITS else start(kind, folder, kills)
    out, complaints = process.communicate()

    assert process.returncode == 0, complaints
    counts = json.loads(out)
    assert counts["killed"] == kills
    if kind == MOSTLY_WAITS:
        assert counts["recordings_recovered"] > kills // 4
    else:
        assert counts["acknowledged"] > 0
    report(f"SIGKILL, {kind}", **counts, lost=0)
