"""Phase 2: train the base policy on the demonstrations, and distil it if asked to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from robot_rl.app.run_config import SELECTION_SEEDS, TEACHER_SEEDS, StudentConfig
from robot_rl.app.run_context import RunContext
from robot_rl.core.episode import Episode
from robot_rl.data.chunks import ChunkData, chunk_windows
from robot_rl.data.normaliser import Normaliser
from robot_rl.learning.descent import Progress
from robot_rl.learning.distillation import distil
from robot_rl.learning.imitation import train_policy
from robot_rl.policies.chunk_policy import ChunkPolicy
from robot_rl.runtime.evaluator import evaluate
from robot_rl.runtime.events import PhaseProgress
from robot_rl.runtime.rollout import succeeded

PHASE = "imitate"
MARGIN = 0.1
"""Room that the normaliser leaves around what the demonstrations showed, as part of the range."""


def imitate(run: RunContext) -> None:
    """Train the base policy and save it in the run's folder, its teacher beside it.

    Policies that are run on the way, to choose among them or to be learned from, run without help;
    the phase's summary counts their steps as `rollout_steps`.
    """
    config = run.config
    student = config.imitate.student
    updates = config.imitate.steps + (student.steps if student else 0)
    with run.phase(PHASE, updates, "updates") as summary:
        demos = run.demonstrations()
        base = _untrained(run, demos)
        ran: list[Episode] = []

        def judge(policy: ChunkPolicy) -> int:
            episodes = _roll_out(run, policy, SELECTION_SEEDS, config.imitate.rollouts)
            ran.extend(episodes)
            return sum(succeeded(episode) for episode in episodes)

        summary |= train_policy(
            base,
            _windows(run, demos),
            config.imitate,
            config.seed,
            _progress(run),
            judge if config.imitate.rollouts else None,
        ).to_dict()
        if student:
            base.save(run.folder.teacher)
            shown = _roll_out(run, base, TEACHER_SEEDS, student.rollouts)
            ran.extend(shown)
            base, summary["student"] = _distilled(run, base, [*demos, *shown], student)
        base.save(run.folder.base)
        summary["rollout_steps"] = sum(len(episode) for episode in ran)
        summary["fingerprint"] = base.fingerprint


def _untrained(run: RunContext, demos: Sequence[Episode]) -> ChunkPolicy:
    observation = run.task.observation
    packed = np.concatenate([observation.pack(e.vectors) for e in demos])
    return run.config.base.build(
        observation,
        run.task.action,
        Normaliser.fit_min_max(packed, margin=MARGIN),
        contract=run.task.contract,
        seed=run.config.seed,
    )


def _windows(run: RunContext, episodes: Sequence[Episode]) -> ChunkData:
    """The windows of episodes, with the images that the base looks at."""
    base, observation = run.config.base, run.task.observation
    cameras = tuple(observation.images) if base.vision else ()
    return chunk_windows(episodes, base.horizon, observation, cameras)


def _progress(run: RunContext, before: int = 0) -> Progress:
    def on_progress(steps: int, metrics: Mapping[str, float]) -> None:
        run.tell(PhaseProgress(phase=PHASE, done=before + steps))
        run.check_stop()

    return on_progress


def _roll_out(run: RunContext, policy: ChunkPolicy, first_seed: int, count: int) -> list[Episode]:
    """Run a policy from the first `count` starts of a range."""
    rollout = run.station.rollout(run.station.agent(policy))
    seeds = range(first_seed, first_seed + count)
    metadata = run.metadata(first_seed, policy)
    return evaluate(rollout, seeds, metadata, PHASE, lambda _: run.check_stop())


def _distilled(
    run: RunContext, teacher: ChunkPolicy, episodes: Sequence[Episode], config: StudentConfig
) -> tuple[ChunkPolicy, dict[str, Any]]:
    """Return the student, and what is remembered of it and its teacher."""
    on_progress = _progress(run, before=run.config.imitate.steps)
    seed = run.config.seed
    student, metrics = distil(teacher, _windows(run, episodes), config, seed, on_progress)
    return student, {**metrics, "teacher": teacher.fingerprint}
