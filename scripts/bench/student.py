"""What a one-step student is worth beside its teacher: success and latency."""

from __future__ import annotations

import json

import torch
from ablation import Trial
from outcome import held_out_wins
from report import Row
from timing import in_turn

from robot_rl.app.run_folder import RunFolder
from robot_rl.app.station import Station
from robot_rl.data.disk.durable import Disk
from robot_rl.policies.chunk_policy import ChunkPolicy
from robot_rl.runtime.statistics import median_and_spread

REPEATS, CALLS = 15, 40


def student_row(trial: Trial) -> Row:
    """The row of a finished trial whose base is a student; measured once and remembered."""
    file = trial.path / "student.json"
    if not file.exists():
        Disk().replace_file(file, json.dumps(_measure(trial)).encode())
    return json.loads(file.read_text())


def _measure(trial: Trial) -> Row:
    folder = RunFolder.open(trial.path)
    policies = {name: ChunkPolicy.load(getattr(folder, at)) for name, at in _PLACES.items()}
    success: dict[str, float] = {}
    for name, policy in policies.items():
        station = Station.of_run(trial.config)
        wins = held_out_wins(trial, station, station.agent(policy))
        success[name] = wins / trial.config.evaluate.episodes
    student, teacher = policies["student"], policies["teacher"]
    packed = torch.zeros(1, student.observation.packed_size)
    noise = student.draw_noise(1)
    ratios = in_turn(
        lambda: student.plan(packed, {}, noise),
        lambda: teacher.plan(packed, {}, noise),
        REPEATS,
        CALLS,
    )[2]
    return {
        "name": "one-step student",
        "seed": trial.config.seed,
        **success,
        "latency_ratio": median_and_spread(ratios)[0],
    }


_PLACES = {"teacher": "teacher", "student": "base"}
