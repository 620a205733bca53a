"""A base policy on the toy task, and what becomes of it when planning takes time.

The time is simulated: a plan is computed at once and handed over when the bench's clock says so,
so that the same seed gives the same figures on any machine.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

import numpy as np
from report import Row
from workload import RUN, demonstrations, task_overrides, untrained

from robot_rl.app.run_config import (
    DEMONSTRATION_SEEDS,
    HELD_OUT_SEEDS,
    SEEDS_PER_RUN,
    RunConfig,
)
from robot_rl.app.station import Station
from robot_rl.config.load import load
from robot_rl.control.chunk_player import ChunkPlayer, Player
from robot_rl.control.chunking.async_player import AsyncChunkPlayer, ChunkingConfig
from robot_rl.control.chunking.planner import ContinuingPolicy, PlanContext, Unguided
from robot_rl.core.clock import NS_PER_S, Clock
from robot_rl.core.episode import Episode, EpisodeMetadata
from robot_rl.core.types import ActionChunk, Observation, Source, Transition, Vector
from robot_rl.data.chunks import ChunkData, chunk_windows
from robot_rl.learning.imitation import train_policy
from robot_rl.policies.chunk_policy import ChunkPolicy
from robot_rl.policies.realtime import RealtimePolicy
from robot_rl.runtime.rollout import Agent, succeeded

TASK = (
    *task_overrides("point_reach"),
    # 20 Hz, at the same speed as the task as shipped.
    "task.period_s=0.05",
    "task.step_rad=0.1",
    "task.horizon=120",
    "task.start_spread=0.5",
    "task.reached_m=0.03",
    "demonstrator.noise=0.1",
    "demonstrator.wander=0.1",
    "base.horizon=20",
    "base.execute=8",
    "base.sampler.prediction=sample",
    "imitate.warmup_steps=0",
)
SYNCHRONOUS = "synchronous"
"""Plans in no time, as a simulation does that stands still meanwhile."""
MODES = ("wait", "trim", "ensemble", "realtime")
MAX_AGE_S = 1.0
"""Twice the longest latency that is tried, and a little more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What one seed costs.

    Args:
        demonstrations: to imitate.
        imitation_steps: updates of the base policy.
        episodes: to judge each variant on, from the same held-out starts.
        latencies_s: that are tried.
    """

    demonstrations: int
    imitation_steps: int
    episodes: int
    latencies_s: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rig:
    """A station and a base policy that was trained on it."""

    station: Station
    base: ChunkPolicy


class LatePlanner:
    """A `Planner` whose plans take `latency_s` of the bench's time."""

    def __init__(self, policy: ContinuingPolicy, clock: Clock, latency_s: float) -> None:
        self._policy = policy
        self._clock = clock
        self._latency_ns = round(latency_s * NS_PER_S)
        self._plan: ActionChunk | None = None
        self._due_ns = 0
        self._wanted = False
        self.plans = 0

    @property
    def fingerprint(self) -> str:
        """See `Planner.fingerprint`."""
        return self._policy.fingerprint

    @property
    def busy(self) -> bool:
        """See `Planner.busy`."""
        return self._plan is not None and self._clock.now_ns() < self._due_ns

    def reset(self, seed: int) -> None:
        """See `Planner.reset`."""
        self.discard()
        self._policy.reset(seed)

    def start(self, observation: Observation, context: PlanContext) -> None:
        """See `Planner.start`."""
        self._plan = self._policy.act(observation, context)
        self._due_ns = self._clock.now_ns() + self._latency_ns
        self._wanted = True

    def poll(self) -> ActionChunk | None:
        """See `Planner.poll`."""
        if self._plan is None or self.busy:
            return None
        plan, self._plan = self._plan, None
        self.plans += self._wanted
        return plan if self._wanted else None

    def discard(self) -> None:
        """See `Planner.discard`."""
        self._wanted = False


@contextmanager
def trained(seed: int, budget: Budget, more: Sequence[str] = ()) -> Iterator[Rig]:
    """Demonstrate and imitate with one seed."""
    config = load(RUN, RunConfig, [*TASK, *more])
    station = Station.of_run(config)
    with station.bench.robot:
        try:
            first = DEMONSTRATION_SEEDS + seed * SEEDS_PER_RUN
            demos = list(islice(demonstrations(config, station, first), budget.demonstrations))
            base = _imitate(config, station, demos, seed, budget.imitation_steps)
            yield Rig(station=station, base=base)
        finally:
            station.bench.close()


def trial(rig: Rig, mode: str, latency_s: float, seed: int, episodes: int) -> Row:
    """Run one variant from the held-out starts.

    Args:
        rig: station and base.
        mode: one of `MODES`, or `SYNCHRONOUS` without latency.
        latency_s: what a plan takes.
        seed: of the base, for the row.
        episodes: how many.
    """
    player, plans = _player(rig, mode, latency_s)
    size = rig.station.bench.task.action.size
    rollout = rig.station.rollout(Agent(base=player, online=None, size=size))
    ran: list[Episode] = []
    jumps: list[float] = []
    for start in range(HELD_OUT_SEEDS, HELD_OUT_SEEDS + episodes):
        handed: list[int] = []

        def count(_: Transition, handed: list[int] = handed) -> None:
            handed.append(plans())

        metadata = EpisodeMetadata(task="point_reach", seed=start)
        ran.append(rollout.run(f"{mode}-{start}", start, metadata, count))
        jumps += seam_jumps(ran[-1].proposed_action, handed)
    period_s = rig.station.bench.task.action.period_s
    won = [len(episode) * period_s for episode in ran if succeeded(episode)]
    return {
        "name": f"{mode}, {1e3 * latency_s:.0f} ms",
        "variant": mode,
        "latency_ms": 1e3 * latency_s,
        "seed": seed,
        "success": len(won) / episodes,
        "time_s": float(np.median(won)) if won else float("nan"),
        "jerk": float(np.mean([mean_squared_jerk(e.proposed_action) for e in ran])),
        "seam": float(np.mean(jumps)) if jumps else float("nan"),
        "resting": float(np.mean(np.concatenate([e.source == Source.HOLD for e in ran]))),
    }


def mean_squared_jerk(actions: Vector) -> float:
    """Mean squared second difference of commanded motions float32[t, d], which are velocities."""
    return float(np.square(np.diff(actions, n=2, axis=0)).sum(axis=1).mean())


def seam_jumps(actions: Vector, handed: Sequence[int]) -> list[float]:
    """Norm of the change from the last action of one plan to the first of the next.

    How the first plan sets out from rest is none.

    Args:
        actions: float32[t, d].
        handed: plans handed over by when action i + 1 was chosen, for i from 0.
    """
    changes = np.linalg.norm(np.diff(actions, axis=0), axis=1)[1:]
    before, now = np.array(handed[: len(changes)]), np.array(handed[1 : len(changes) + 1])
    return changes[(now > before) & (before > 0)].tolist()


def _player(rig: Rig, mode: str, latency_s: float) -> tuple[Player, Callable[[], int]]:
    """What plays, and how many plans it has been handed."""
    base, execute = rig.base, rig.base.config.execute
    if mode == SYNCHRONOUS:
        waits = ChunkPlayer(base, execute)
        return waits, lambda: waits.plans
    settings = ChunkingConfig.model_validate({"mode": mode, "max_action_age_s": MAX_AGE_S})
    if mode == "ensemble":
        # As ACT: a plan for every instant, or as many as there can be.
        settings = settings.model_copy(update={"execute": 1})
    clock = rig.station.bench.clock
    realtime = mode == "realtime"
    policy = RealtimePolicy(base, settings.max_guidance_weight) if realtime else Unguided(base)
    planner = LatePlanner(policy, clock, latency_s)
    return AsyncChunkPlayer(planner, clock, settings, execute=execute), lambda: planner.plans


def _imitate(
    config: RunConfig, station: Station, demos: Sequence[Episode], seed: int, steps: int
) -> ChunkPolicy:
    assert config.imitate
    base = untrained(config, station, demos, seed)
    observation = station.bench.task.observation
    data = _at_rest_in_the_end(chunk_windows(demos, base.config.horizon, observation))
    train_policy(base, data, config.imitate.model_copy(update={"steps": steps}), seed=seed)
    return base


def _at_rest_in_the_end(data: ChunkData) -> ChunkData:
    """Windows in which the arm rests once the demonstration is over, which ends at the goal.

    As they are, what follows the end is not learnt at all; but a plan that comes late is played
    from its middle on, and near the goal the middle lies there.
    """
    action = np.where(data.valid[..., None], data.action, np.float32(0))
    return dataclasses.replace(data, action=action, valid=np.ones_like(data.valid))
