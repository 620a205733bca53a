"""A small real learner for tests, and steps to feed it: importable by a process of its own."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace
from typing import Any

import numpy as np

from robot_rl.core.spec import JOINT_POSITION, ActionSpec, ObservationSpec, TaskSpec, VectorSpec
from robot_rl.core.types import GateReason, Observation, Source, Transition
from robot_rl.data.normaliser import Normaliser
from robot_rl.learning.residual_td3 import ResidualTd3Config
from robot_rl.runtime.worker import LearnerWorker, ScheduleConfig

TASK = TaskSpec(
    name="tiny",
    horizon=10,
    observation=ObservationSpec(
        vectors={JOINT_POSITION: VectorSpec(names=("q0", "q1", "q2"), unit="rad")}
    ),
    action=ActionSpec(kind="joint_delta", names=("a", "b"), scale=(0.1, 0.1), period_s=0.05),
)


def build(arguments: str) -> LearnerWorker:
    """Arguments are fields of `ScheduleConfig`."""
    given: dict[str, Any] = {"prefill_steps": 12, "warmup_updates": 8, "utd": 1.0, "batch_size": 8}
    schedule = ScheduleConfig(**{**given, **json.loads(arguments)})
    normaliser = Normaliser(offset=np.zeros(3, np.float32), scale=np.ones(3, np.float32))
    config = ResidualTd3Config(hidden=(8,), heads=2)
    learner = config.build(
        SimpleNamespace(observation=TASK.observation, action=TASK.action, normaliser=normaliser), 0
    )
    return LearnerWorker(learner, TASK, schedule, [], seed=1)


def build_broken(arguments: str) -> LearnerWorker:
    raise RuntimeError(f"no demonstrations in {arguments}")


class _Hanging(LearnerWorker):
    def train_cycle(self) -> dict[str, float]:
        time.sleep(60.0)
        return {}


def build_hanging(arguments: str) -> LearnerWorker:
    """It hangs in its first update."""
    worker = build(arguments)
    worker.__class__ = _Hanging
    return worker


def build_steps(number: int, *, seed: int = 0, length: int = 10) -> list[Transition]:
    """Steps of consecutive episodes of `length`; neighbours share their observation."""
    rng = np.random.default_rng(seed)
    seen = Observation(stamp_ns=0, vectors={})
    steps: list[Transition] = []
    for i in range(number):
        if i % length == 0:
            seen = _observation(rng, i)
        after = _observation(rng, i + 1)
        action, base, next_base, proposed = rng.uniform(-1, 1, (4, 2)).astype(np.float32)
        steps.append(
            Transition(
                observation=seen,
                next_observation=after,
                action=action,
                base_action=base,
                next_base_action=next_base,
                proposed_action=proposed,
                reward=float(rng.random()),
                terminated=i % length == length - 1,
                truncated=False,
                source=Source.HUMAN if i % 7 == 3 else Source.POLICY,
                intervention_start=i % 7 == 3,
                gate_reason=GateReason.VELOCITY,
                inference_s=0.004,
                lateness_s=0.0005,
                episode_id=f"episode-{i // length}",
                step=i % length,
                policy_version=i // 4,
            )
        )
        seen = after
    return steps


def _observation(rng: np.random.Generator, instant: int) -> Observation:
    return Observation(
        stamp_ns=instant,
        vectors={JOINT_POSITION: rng.uniform(-1, 1, 3).astype(np.float32)},
        ages_s={"arm": 0.001},
    )
