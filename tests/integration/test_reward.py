"""A recorded run under another reward."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from robot_rl.app.learner_link import build_worker
from robot_rl.app.run_config import RunConfig
from robot_rl.app.run_folder import RunFolder
from robot_rl.config.load import load, save
from robot_rl.learning.contract import SKIPPED

pytestmark = pytest.mark.sim

REWARDS = Path(__file__).parents[2] / "configs" / "rewards"


def drawn_rewards(kit, folder: RunFolder) -> torch.Tensor:
    """What a worker of the run would pay for the steps of its first cycle."""
    run = kit.context(folder)
    worker = build_worker(folder, run.station.recording, run.base())
    batches = []

    def update(given, *, train_actor=True):
        batches.extend(given)
        return {SKIPPED: 0.0}

    worker.learner.update = update
    for _ in range(20):
        worker.train_cycle()
    return torch.cat([batch.reward for batch in batches])


def test_a_run_learns_from_interventions_from_what_it_recorded_for_its_task(
    kit, tiny_run, tmp_path
):
    path = tmp_path / "run"
    shutil.copytree(tiny_run.path, path)
    shutil.rmtree(path / "checkpoints")
    task = drawn_rewards(kit, RunFolder.open(path))
    overrides = (f"reward={REWARDS}/rlif.yaml", "learner.target_range=null")
    save(load(path / "config.yaml", RunConfig, overrides), path / "config.yaml")
    before = {p: p.stat().st_mtime_ns for p in (path / "online").rglob("*")}
    rlif = drawn_rewards(kit, RunFolder.open(path))
    assert {p: p.stat().st_mtime_ns for p in (path / "online").rglob("*")} == before
    assert task.min() == 0.0 < task.max()
    assert rlif.min() < 0.0 == rlif.max()
