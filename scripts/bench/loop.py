"""How fast the control loop runs, where a tick's time goes, and how near that is to bare physics.

Bare physics is `mujoco.mj_step` on the same model, from the same start, under the same control.
"""

# mujoco ships its core without type stubs.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

import mujoco
import numpy as np
from report import Row, measured, skipped
from timing import Stopwatch, repeated
from workload import Effort, Workload, open_workload

from robot_rl.core.episode import Episode, EpisodeMetadata
from robot_rl.core.errors import DependencyError
from robot_rl.runtime.rollout import Rollout
from robot_rl_sim.bench import SimBench
from robot_rl_sim.vector import SimVectorEnv

VECTOR_STEPS = 20
"""Steps of a vector environment in one measurement."""


def episode_rates(work: Workload, repeats: int) -> list[float]:
    """Environment steps per second of whole exploring episodes, the resets between included."""
    rollout = _rollout(work)
    _episode(rollout, 0)
    return [steps / spent_s for steps, spent_s in _episodes(rollout, repeats)]


def tick_parts(work: Workload, repeats: int) -> dict[str, list[float]]:
    """Time of one control tick by part [s], one number an episode; instruments the station.

    `plan` is spread over the actions that a plan gives; `reset` over the episode's steps. `rest`
    is what is not named: arbitration, synchronisation, judging, recording.
    """
    bench, watch = work.station.bench, Stopwatch()
    rollout = _rollout(work, watch)
    watch.watch(work.station.env.gate, "check", "gate")
    watch.watch(bench.backend if isinstance(bench, SimBench) else bench, "step", "physics")
    watch.watch(bench.scene, "reset", "reset")
    for device, method in ((bench.robot, "read"), *((s, "latest") for s in bench.sensors)):
        watch.watch(device, method, "observe")
    watch.watch(work.base, "act", "plan")
    parts: dict[str, list[float]] = {}
    for steps, spent_s in _episodes(rollout, repeats):
        spent = dict(watch.spent_s)
        watch.spent_s.clear()
        spent["rest"] = spent_s - sum(spent.values())
        for name, part_s in spent.items():
            parts.setdefault(name, []).append(part_s / steps)
    return parts


def ticks_and_physics(work: Workload, repeats: int) -> tuple[list[float], list[float]]:
    """Durations of one tick of gate and environment, and of its bare physics [s]."""
    bench, env = work.station.bench, work.station.env
    assert isinstance(bench, SimBench)
    backend = bench.backend
    substeps = round(bench.task.action.period_s / backend.timestep_s)
    ticks: list[float] = []
    floor: list[float] = []
    for demo in itertools.islice(itertools.cycle(work.demos), repeats):
        env.reset(demo.metadata.seed)
        data = backend.data(0)
        controls: list[np.ndarray] = []
        start_s = time.process_time()
        for action in demo.action:
            result = env.step(action)
            controls.append(backend.ctrl[0].copy())
            if result.terminated or result.truncated:
                break
        ticks.append((time.process_time() - start_s) / len(controls))
        start_s = time.process_time()
        for control in controls:
            data.ctrl[:] = control
            mujoco.mj_step(backend.model, data, nstep=substeps)
        floor.append((time.process_time() - start_s) / len(controls))
    return ticks, floor


def camera_row(work: Workload, task: str, effort: Effort) -> Row:
    """Steps per second with the task's cameras, or why there are none."""
    name = f"{task}: control loop with cameras"
    if not hasattr(work.config.task, "cameras"):
        return skipped(name, "the task has no cameras")
    try:
        with open_workload(task, effort, "task.cameras=true") as seeing:
            return measured(name, "steps/s", episode_rates(seeing, effort.repeats))
    except DependencyError as error:
        return skipped(name, str(error))


def vector_rates(work: Workload, count: int, repeats: int) -> list[float]:
    """Environment steps per second of `count` simulations stepped together, without a gate."""
    env = SimVectorEnv(work.config.task.build(), count)
    env.reset(seed=0)
    size = (VECTOR_STEPS, count, work.station.bench.task.action.size)
    actions = np.random.default_rng(0).uniform(-0.3, 0.3, size).astype(np.float32)

    def steps() -> None:
        for action in actions:
            env.step(action)

    return [VECTOR_STEPS * count / spent_s for spent_s in repeated(steps, repeats)]


def _rollout(work: Workload, watch: Stopwatch | None = None) -> Rollout:
    """The training rollout: base, a fresh online policy that explores, nobody intervening."""
    learner = work.config.learner.build(work.base, 0)
    policy = learner.policy()
    if watch:
        watch.watch(policy, "propose", "propose")
    return work.station.rollout(work.station.agent(work.base, policy), explore=True)


def _episodes(rollout: Rollout, repeats: int) -> Iterator[tuple[int, float]]:
    """Steps and duration [s] of one episode after the other, each from another start."""
    for seed in range(1, repeats + 1):
        start_s = time.process_time()
        steps = len(_episode(rollout, seed))
        yield steps, time.process_time() - start_s


def _episode(rollout: Rollout, seed: int) -> Episode:
    return rollout.run(f"bench-{seed}", seed, EpisodeMetadata(task="bench", seed=seed))
