import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robot_rl.app.summary import (
    BaseSuccess,
    ContactForce,
    CycleTime,
    ForceNumbers,
    GateNumbers,
    ImprovedSuccess,
    InterventionRate,
    PhaseSeconds,
    RunSummary,
)
from robot_rl.core.errors import StorageError

FORCE = ForceNumbers(mean=5.0, p99=9.0, max=12.0)
SUMMARY = RunSummary(
    task="peg",
    seed=1,
    wall_s=600.0,
    base=BaseSuccess(success=0.7, episodes=10, ci95=(0.4, 0.9)),
    improved=ImprovedSuccess(success_autonomous=1.0, episodes=10, ci95=(0.7, 1.0)),
    intervention_rate=InterventionRate(first=0.1, last=0.0),
    env_steps=1000,
    updates=4000,
    operator_s=60.0,
    demos=20,
    peak_rss_mb=900.0,
    cycle_time_s=CycleTime(base=math.nan, improved=4.0),
    contact_force_n=ContactForce(base=FORCE, improved=FORCE),
    gate=GateNumbers(refused=0, holds=3),
    phases_s=PhaseSeconds(collect=1.0, imitate=2.0, improve=3.0, evaluate=4.0),
    versions={"python": "3.12"},
    config={"limits": [np.float32(0.5), math.inf], "path": Path("a/b")},
)


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def test_what_was_not_measured_is_null_and_numpy_is_plain(tmp_path: Path):
    SUMMARY.write(tmp_path / "summary.json")
    written = read(tmp_path / "summary.json")
    assert written["cycle_time_s"] == {"base": None, "improved": 4.0}
    assert written["config"] == {"limits": [0.5, None], "path": "a/b"}
    assert written["improved"] == {"success_autonomous": 1.0, "episodes": 10, "ci95": [0.7, 1.0]}


def test_a_failed_write_leaves_the_former_summary_and_no_litter(tmp_path: Path):
    path = tmp_path / "summary.json"
    SUMMARY.write(path)
    with pytest.raises(TypeError):
        replace(SUMMARY, config={"task": object()}).write(path)
    assert read(path)["seed"] == 1
    assert list(tmp_path.iterdir()) == [path]


def test_an_absent_folder_is_a_storage_error(tmp_path: Path):
    with pytest.raises(StorageError, match=r"summary\.json"):
        SUMMARY.write(tmp_path / "absent" / "summary.json")
