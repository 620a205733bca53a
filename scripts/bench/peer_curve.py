"""How many steps soft actor-critic of other projects needs on the main job's task.

A peer gets what our learner gets: the run's demonstrations, put into its buffer first, the same
normalised observation, starts, budget and updates per step. It acts alone, without a base policy,
for neither peer has one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from ablation import Trial
from report import Row
from sac_peers import LerobotSac, SacPeer, Sb3Sac, Seen, Sizes, Step, peer_step

from robot_rl.app.run_config import JUDGING_SEEDS, SEEDS_PER_RUN
from robot_rl.app.run_folder import RunFolder
from robot_rl.app.station import Station
from robot_rl.core.episode import Episode
from robot_rl.core.types import GateState, Observation, Outcome
from robot_rl.data.disk.durable import Disk
from robot_rl.data.store.episode_reader import EpisodeReader
from robot_rl.networks.encoder import Look, build_encoder
from robot_rl.policies.chunk_policy import ChunkPolicy
from robot_rl.runtime.events import Evaluated, read_events
from robot_rl.runtime.rollout import succeeded

PEERS: dict[str, tuple[str, Callable[[Sizes], SacPeer]]] = {
    "lerobot SAC": ("lerobot", LerobotSac),
    "stable-baselines3 SAC": ("stable_baselines3", Sb3Sac),
}
"""Name to package and how it is made."""
GOOD = 0.9
"""Success from the judging starts that counts as solved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a peer may spend.

    Args:
        env_steps: in training.
        judge_every_steps, judge_episodes: as the run's own judge does.
        updates_per_step: full updates.
    """

    env_steps: int
    judge_every_steps: int
    judge_episodes: int
    updates_per_step: int


def our_row(trial: Trial) -> Row:
    """Steps of our run until its judge first saw that success."""
    events = read_events(RunFolder.open(trial.path).events)
    seen = [(e.env_steps_total, e.improved_success) for e in events if isinstance(e, Evaluated)]
    return _row(f"robot_rl, {trial.variant}", trial.config.seed, seen)


def peer_row(trial: Trial, name: str, budget: Budget) -> Row:
    """Steps of a peer with a finished trial's demonstrations; remembered in the trial's folder."""
    file = trial.path / f"peer-{name.split()[0]}.json"
    if not file.exists():
        curve = _Course(trial, PEERS[name][1], budget).run()
        Disk().replace_file(file, json.dumps(curve).encode())
    return _row(name, trial.config.seed, [(int(n), s) for n, s in json.loads(file.read_text())])


def _row(name: str, seed: int, curve: list[tuple[int, float]]) -> Row:
    reached = [steps for steps, success in curve if success >= GOOD]
    return {
        "name": name,
        "seed": seed,
        "steps_to_90": reached[0] if reached else math.inf,
        "best": max((success for _, success in curve), default=math.nan),
        "budget": curve[-1][0] if curve else 0,
    }


class _Course:
    """One peer on one task with one seed."""

    def __init__(self, trial: Trial, make: Callable[[Sizes], SacPeer], budget: Budget) -> None:
        self._config, self._budget = trial.config, budget
        folder = RunFolder.open(trial.path)
        self._station = Station.of_run(trial.config)
        task = self._station.bench.task
        base = ChunkPolicy.load(folder.base, task.contract)
        settings = trial.config.learner
        self._look = build_encoder(
            task.observation, base.normaliser, getattr(settings, "keys", ()), None
        ).look(task.observation)
        demos = [e for e in EpisodeReader(folder.demos, self._station.recording) if succeeded(e)]
        schedule = trial.config.schedule
        self._peer = make(
            Sizes(
                state=len(_seen(self._look, demos[0].observation(0)).state),
                action=task.action.size,
                heads=2,
                hidden=getattr(settings, "hidden", (256, 256)),
                batch=schedule.batch_size,
                gamma=schedule.gamma,
                capacity=schedule.capacity,
            )
        )
        for demo in demos:
            self._preload(demo)

    def run(self) -> list[tuple[int, float]]:
        """Train; return environment steps and success of each judgement."""
        curve: list[tuple[int, float]] = []
        steps, seed = 0, self._config.seed * SEEDS_PER_RUN
        with self._station.bench.robot:
            while steps < self._budget.env_steps:
                steps += self._train_episode(seed, steps)
                seed += 1
                if steps >= self._budget.judge_every_steps * (len(curve) + 1):
                    curve.append((steps, self._judge()))
        self._station.bench.close()
        return curve

    def _train_episode(self, seed: int, before: int) -> int:
        env, random = self._station.env, np.random.default_rng(seed)
        seen = self._reset(seed)
        for length in range(1, env.horizon + 1):
            # The first steps of both peers' loops are random, so that there is something to learn.
            if before + length <= 100:
                action = random.uniform(-1, 1, env.action_spec.size).astype(np.float32)
            else:
                action = self._peer.act(seen, explore=True)
            result = env.step(action)
            after = _seen(self._look, result.observation)
            self._peer.add(
                Step(
                    seen=seen,
                    action=action,
                    reward=result.reward,
                    after=after,
                    terminated=result.terminated,
                    truncated=result.truncated,
                )
            )
            for _ in range(self._budget.updates_per_step if before + length > 100 else 0):
                self._peer.update()
            if result.terminated or result.truncated:
                return length
            seen = after
        return env.horizon

    def _reset(self, seed: int) -> Seen:
        """Begin an episode, with a person at hand who clears the stop of a hard contact."""
        if self._station.env.gate.state >= GateState.STOP:
            self._station.env.gate.clear("whoever watches the peer")
        return _seen(self._look, self._station.env.reset(seed))

    def _judge(self) -> float:
        seeds = range(JUDGING_SEEDS, JUDGING_SEEDS + self._budget.judge_episodes)
        return float(np.mean([self._succeeds(seed) for seed in seeds]))

    def _succeeds(self, seed: int) -> bool:
        env = self._station.env
        seen = self._reset(seed)
        while True:
            result = env.step(self._peer.act(seen, explore=False))
            if result.terminated or result.truncated:
                return result.outcome == Outcome.SUCCESS
            seen = _seen(self._look, result.observation)

    def _preload(self, demo: Episode) -> None:
        for step in demo.transitions():
            self._peer.add(peer_step(step, partial(_seen, self._look), demonstration=True))


def _seen(look: Look, observation: Observation) -> Seen:
    return Seen(state=look(observation).astype(np.float32), images={})
