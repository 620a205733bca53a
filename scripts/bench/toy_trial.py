"""One trial of the toy: one learner, one seed, a few thousand steps, greedy evaluation."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from report import Row
from workload import CONFIGS, demonstrations

from robot_rl.app.run_config import (
    DEMONSTRATION_SEEDS,
    HELD_OUT_SEEDS,
    SEEDS_PER_RUN,
    RunConfig,
)
from robot_rl.app.station import Station
from robot_rl.config.load import load
from robot_rl.config.model import Buildable
from robot_rl.core.episode import Episode, EpisodeMetadata
from robot_rl.core.spec import ActionSpec, ObservationSpec
from robot_rl.core.types import Source
from robot_rl.data.normaliser import Normaliser
from robot_rl.runtime.evaluator import evaluate
from robot_rl.runtime.link import InlineLink
from robot_rl.runtime.rollout import succeeded
from robot_rl.runtime.statistics import wilson_interval
from robot_rl.runtime.worker import LearnerWorker

RUN = CONFIGS / "runs" / "point_reach.yaml"
SETTINGS = (
    "task.nearest_m=0.2",
    "task.reached_m=0.025",
    "task.start_spread=0.2",
    "task.horizon=20",
    "demonstrator.noise=0.1",
    "demonstrator.wander=0.1",
    "use_base=false",
    f"learner={CONFIGS}/learners/rlpd.yaml",
    "learner.keys=[]",
    "learner.hidden=[64, 64]",
    "learner.heads=2",
    "learner.critic_lr=0.002",
    "learner.actor_lr=0.001",
    "learner.temperature_lr=0.001",
    "learner.tau=0.01",
    "schedule.prefill_steps=100",
    "schedule.warmup_updates=0",
    "schedule.utd=1.0",
    "schedule.batches_per_cycle=2",
    "schedule.batch_size=256",
    "schedule.n_step=3",
    "schedule.gamma=0.97",
    "improve.env_steps=4000",
    "evaluate.episodes=50",
)
"""What differs from the run's file; chosen on seeds from 100 on, and not on those reported.

From starts all over the joints' range, 20 demonstrations and 4,000 steps brought this learner to
0.5 to 0.7; it came within 4 cm of nearly every target. Targets of 4 or 5 cm are found by chance:
without demonstrations it came to 0.5 to 0.7, too. Short episodes show it more starts.
"""
MANY = 20
"""Demonstrations that are recorded in every trial, and that the normaliser is of."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """What is compared.

    Args:
        name: of the arm.
        demonstrations: that the learner starts from.
        person: who may take over; nobody if None.
        settings: overrides of the run.
    """

    name: str
    demonstrations: int
    person: Buildable | None = None
    settings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Foundation:
    """What the learner is built upon: specs and a normaliser, and no policy."""

    observation: ObservationSpec
    action: ActionSpec
    normaliser: Normaliser


def trial(arm: Arm, seed: int, budget: Sequence[str] = ()) -> Row:
    """Learn with one arm and one seed, then evaluate.

    Args:
        arm: what is compared.
        seed: of everything but the held-out starts, which are the same for all.
        budget: overrides of the run.
    """
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    config = toy_config((*arm.settings, *budget, f"seed={seed}"))
    station = Station.of_run(config)
    with station.bench.robot:
        try:
            first = DEMONSTRATION_SEEDS + config.seed * SEEDS_PER_RUN
            shown = demonstrations(config, station, first)
            demos = list(islice(filter(succeeded, shown), MANY))
            worker = _worker(config, station, demos, arm.demonstrations)
            done = _learn(config, station, worker, arm.person)
            wins = _evaluate(config, station, worker)
        finally:
            station.bench.close()
    trials = config.evaluate.episodes
    row = {
        "variant": arm.name,
        "seed": seed,
        "success": wins / trials,
        "ci95": wilson_interval(wins, trials),
        "demonstrations": arm.demonstrations,
        **done,
        "wall_s": time.perf_counter() - start_s,
        "cpu_s": time.process_time() - start_cpu_s,
    }
    _LOG.info("%s, seed %d: %d of %d", arm.name, seed, wins, trials)
    return row


def toy_config(overrides: Sequence[str]) -> RunConfig:
    """The run that a trial is taken from."""
    return load(RUN, RunConfig, [*SETTINGS, *overrides])


def _worker(
    config: RunConfig, station: Station, demos: Sequence[Episode], used: int
) -> LearnerWorker:
    """A learner that starts from the first `used` demonstrations.

    Its normaliser is of all of them in every arm, so that nothing but what is learned from
    differs.
    """
    task = station.bench.task
    packed = np.concatenate([task.observation.pack(demo.vectors) for demo in demos])
    foundation = Foundation(
        observation=task.observation,
        action=task.action,
        normaliser=Normaliser.fit_min_max(packed, margin=0.1),
    )
    learner = config.learner.build(foundation, config.seed)
    reward = config.reward.build()
    return LearnerWorker(learner, task, config.schedule, demos[:used], config.seed, reward)


def _learn(
    config: RunConfig, station: Station, worker: LearnerWorker, person: Buildable | None
) -> Mapping[str, float]:
    """Let it act and learn; return how much a person did."""
    learner: Any = worker.learner
    policy = learner.policy()
    operator = person.build(station.bench) if person else None
    rollout = station.rollout(station.agent(None, policy), operator=operator, explore=True)
    link = InlineLink(worker)
    seed = config.seed * SEEDS_PER_RUN
    taken, driven = 0, 0
    while worker.env_steps < config.improve.env_steps:
        episode = rollout.run(f"online-{seed}", seed, _metadata(station, seed), link.add)
        taken += int(episode.intervention_start.sum())
        driven += int((episode.source == Source.HUMAN).sum())
        news, seed = link.sync(), seed + 1
        if news.weights is not None and news.version > policy.version:
            policy.load_weights(news.weights, news.version)
    by_policy = worker.env_steps - driven
    share = driven / worker.env_steps
    return {"interventions": taken, "rate": taken / by_policy, "human_share": share}


def _evaluate(config: RunConfig, station: Station, worker: LearnerWorker) -> int:
    learner: Any = worker.learner
    rollout = station.rollout(station.agent(None, learner.policy()))
    seeds = range(HELD_OUT_SEEDS, HELD_OUT_SEEDS + config.evaluate.episodes)
    episodes = evaluate(rollout, seeds, _metadata(station, 0), "held-out")
    return sum(succeeded(episode) for episode in episodes)


def _metadata(station: Station, seed: int) -> EpisodeMetadata:
    return EpisodeMetadata(task=station.bench.task.name, seed=seed)
