"""What came out of the ablation's runs: a row for each, and what the seeds of a variant share."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from ablation import Trial
from report import Row

from robot_rl.app.run_config import HELD_OUT_SEEDS
from robot_rl.app.run_folder import RunFolder
from robot_rl.app.station import Station
from robot_rl.core.episode import EpisodeMetadata
from robot_rl.core.errors import ConfigError
from robot_rl.data.disk.durable import Disk
from robot_rl.policies.chunk_policy import ChunkPolicy
from robot_rl.runtime.checkpoint import latest_checkpoint, unflatten
from robot_rl.runtime.rollout import Agent, succeeded
from robot_rl.runtime.statistics import median_and_spread, wilson_interval

SHOWN = (
    "base",
    "deployed",
    "deployed_ci95",
    "learned",
    "env_steps",
    "operator_s",
    "human_first",
    "human_last",
    "wall_s",
)
"""Columns of the table; success rates are without help, from held-out starts."""
NUMBERS = (*(n for n in SHOWN if not n.endswith("ci95")), "updates", "peak_rss_mb")


def outcome(trial: Trial) -> Row:
    """The row of a finished trial; the last weights are evaluated once and remembered."""
    summary = json.loads((trial.path / "summary.json").read_text())
    improved, rate = summary["improved"], summary["intervention_rate"]
    wins = _learned_wins(trial)
    trials = trial.config.evaluate.episodes
    return {
        "variant": trial.variant,
        "seed": trial.config.seed,
        "base": summary["base"]["success"],
        "deployed": improved["success_autonomous"],
        "deployed_ci95": improved["ci95"],
        "learned": wins / trials,
        "learned_ci95": wilson_interval(wins, trials),
        "env_steps": summary["env_steps"],
        "updates": summary["updates"],
        "operator_s": summary["operator_s"],
        "human_first": rate["first"],
        "human_last": rate["last"],
        "wall_s": summary["wall_s"],
        "peak_rss_mb": summary["peak_rss_mb"],
        "code": summary["versions"]["robot_rl"],
    }


def spreads(rows: Sequence[Row]) -> list[Row]:
    """Two rows for each variant: the median over its seeds, and the 10th to 90th percentile."""
    found: list[Row] = []
    for variant in dict.fromkeys(row["variant"] for row in rows):
        runs = [row for row in rows if row["variant"] == variant]
        spread = {
            name: median_and_spread([_number(run[name]) for run in runs]) for name in NUMBERS
        }
        middle = {name: median for name, (median, _, _) in spread.items()}
        ranges = {name: [low, high] for name, (_, low, high) in spread.items()}
        found.append({"variant": variant, "seed": "median", **middle})
        found.append({"variant": variant, "seed": "p10..p90", **ranges})
    return found


def _learned_wins(trial: Trial) -> int:
    """Held-out starts that the learner's last weights solve, whether or not they are deployed.

    A run that does not beat its base deploys the base; here counts what was learned.
    """
    file = trial.path / "learned.json"
    if not file.exists():
        Disk().replace_file(file, json.dumps({"wins": _evaluate(trial)}).encode())
    return json.loads(file.read_text())["wins"]


def _evaluate(trial: Trial) -> int:
    folder, station = RunFolder.open(trial.path), Station.of_run(trial.config)
    task = station.bench.task
    base = ChunkPolicy.load(folder.base, task.contract)
    learner = trial.config.learner.build(base, trial.config.seed)
    saved = latest_checkpoint(folder.checkpoints)
    if saved is None:
        raise ConfigError(f"{trial.path} has no checkpoint")
    learner.load_state_dict(unflatten(saved.tensors, saved.meta["worker"])["learner"])
    policy = learner.policy()
    # With its version a policy knows that these are no fresh weights.
    policy.load_weights(learner.weights(), 1)
    agent = station.agent(base if trial.config.use_base else None, policy)
    return held_out_wins(trial, station, agent)


def held_out_wins(trial: Trial, station: Station, agent: Agent) -> int:
    """Held-out starts that an agent solves, nobody helping; closes the station."""
    rollout, task = station.rollout(agent), station.bench.task.name
    seeds = range(HELD_OUT_SEEDS, HELD_OUT_SEEDS + trial.config.evaluate.episodes)
    with station.bench.robot:
        episodes = [rollout.run(f"held-out-{s}", s, EpisodeMetadata(task=task)) for s in seeds]
    station.bench.close()
    return sum(succeeded(episode) for episode in episodes)


def _number(value: float | None) -> float:
    return math.nan if value is None else value
