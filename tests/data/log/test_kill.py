"""Killing the writing process loses at most the last `flush_s` and what the disk takes."""

from __future__ import annotations

import dataclasses
import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from robot_rl.core.types import Outcome
from robot_rl.data.log.recovery import read_log

HERE = Path(__file__).parent
FLUSH_S = 0.1
MARGIN_S = 0.5


def kill_and_check(folder, spec, steps, make_episode, equal_bits, *, kills, seed):
    result = subprocess.run(
        [sys.executable, HERE / "kill_writer.py", folder, HERE / "conftest.py", str(kills), seed],
        capture_output=True,
        text=True,
        timeout=400,
        check=True,
    )
    deaths = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(deaths) == kills
    for death in deaths:
        logged = read_log(Path(death["path"]))
        assert not logged.complete
        assert logged.spec == spec
        kept = 0 if logged.episode is None else len(logged.episode)
        old = sum(age > FLUSH_S + MARGIN_S for age in death["ages_s"])
        # One step may have been added without anybody being told.
        assert old <= kept <= len(death["ages_s"]) + 1
        if logged.episode is not None:
            expected = make_episode(steps[:kept], Outcome.UNKNOWN)
            assert equal_bits(logged.episode, dataclasses.replace(expected, truncated=True))
    return deaths


@pytest.fixture
def kill(tmp_path, caplog, make_arm_spec, make_arm_steps, make_arm_episode, equal_bits):
    caplog.set_level(logging.CRITICAL, "robot_rl")
    spec = make_arm_spec()
    steps = make_arm_steps(spec, 400, latent_size=5)

    def run(*, kills, seed):
        return kill_and_check(
            tmp_path, spec, steps, make_arm_episode, equal_bits, kills=kills, seed=seed
        )

    return run


def test_killed_logs_keep_every_step_older_than_a_flush(kill):
    deaths = kill(kills=4, seed="1")
    assert any(max(d["ages_s"]) > FLUSH_S + MARGIN_S for d in deaths)


@pytest.mark.slow
@pytest.mark.timeout(450)
def test_fifty_killed_logs_keep_every_step_older_than_a_flush(kill):
    kill(kills=50, seed="2")
