"""Phase 2: train the base policy on the demonstrations, and distil it if asked to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from robot_rl.app.run_config import SELECTION_SEEDS, TEACHER_SEEDS, ImitateConfig
from robot_rl.app.run_context import RunContext
from robot_rl.core.episode import Episode
from robot_rl.data.chunks import ChunkData, chunk_windows
from robot_rl.data.normaliser import Normaliser
from robot_rl.learning.descent import Progress
from robot_rl.learning.distillation import distil
from robot_rl.learning.imitation import train_policy
from robot_rl.policies.chunk_policy import ChunkPolicy, ChunkPolicyConfig
from robot_rl.policies.ready_base import ReadyBase
from robot_rl.runtime.evaluator import evaluate
from robot_rl.runtime.events import PhaseProgress

PHASE = "imitate"
MARGIN = 0.1
"""Room that the normaliser leaves around what the demonstrations showed, as part of the range."""


def imitate(run: RunContext) -> None:
    """See to the base policy: train it, or take the one that is ready.

    What is needed of it is then in the run's folder, a student's teacher beside it. Policies that
    are run on the way, to choose among them or to be learned from, run without help; the phase's
    summary counts their steps as `rollout_steps`.
    """
    base, settings = run.config.trained_base, run.config.imitate
    if base and settings:
        _train(run, base, settings)
    else:
        _take(run)


def _take(run: RunContext) -> None:
    """Load the policy that is ready, or connect to it, and remember which one it was."""
    with run.phase(PHASE, 1, "policy") as summary:
        normaliser = _normaliser(run, run.demonstrations())
        base = ReadyBase.connect(run.config.base, run.task, normaliser)
        base.save(run.folder.base)
        summary["fingerprint"] = base.fingerprint


def _train(run: RunContext, settings: ChunkPolicyConfig, imitate: ImitateConfig) -> None:
    student = imitate.student
    updates = imitate.steps + (student.steps if student else 0)
    with run.phase(PHASE, updates, "updates") as summary:
        demos = run.demonstrations()
        base = _untrained(run, demos, settings)
        ran: list[Episode] = []

        def judge(policy: ChunkPolicy) -> int:
            episodes = _roll_out(run, policy, SELECTION_SEEDS, imitate.rollouts)
            ran.extend(episodes)
            return sum(episode.success_autonomous for episode in episodes)

        summary |= train_policy(
            base,
            _windows(run, demos, settings),
            imitate,
            run.config.seed,
            _progress(run),
            judge if imitate.rollouts else None,
        ).to_dict()
        if student:
            base.save(run.folder.teacher)
            teacher = base.fingerprint
            shown = _roll_out(run, base, TEACHER_SEEDS, student.rollouts)
            ran.extend(shown)
            windows = _windows(run, [*demos, *shown], settings)
            base, metrics = distil(
                base, windows, student, run.config.seed, _progress(run, before=imitate.steps)
            )
            summary["student"] = {**metrics, "teacher": teacher}
        base.save(run.folder.base)
        summary["rollout_steps"] = sum(len(episode) for episode in ran)
        summary["fingerprint"] = base.fingerprint


def _normaliser(run: RunContext, demos: Sequence[Episode]) -> Normaliser:
    packed = np.concatenate([run.task.observation.pack(e.vectors) for e in demos])
    return Normaliser.fit_min_max(packed, margin=MARGIN)


def _untrained(
    run: RunContext, demos: Sequence[Episode], settings: ChunkPolicyConfig
) -> ChunkPolicy:
    return settings.build(
        run.task.observation,
        run.task.action,
        _normaliser(run, demos),
        contract=run.task.contract,
        seed=run.config.seed,
    )


def _windows(
    run: RunContext, episodes: Sequence[Episode], settings: ChunkPolicyConfig
) -> ChunkData:
    """The windows of episodes, with the images that the base looks at."""
    observation = run.task.observation
    cameras = tuple(observation.images) if settings.vision else ()
    return chunk_windows(episodes, settings.horizon, observation, cameras)


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
