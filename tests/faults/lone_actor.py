"""An actor at about real time with a learner in a process of its own, which is then lost.

The learner's process imports this module too, and refills itself from the store.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from patient_bench import (
    ACCELERATION,
    ACTION,
    JERK,
    LIMITS,
    OBSERVATION,
    PERIOD_S,
    PatientBench,
    Restless,
    task,
)

from robot_rl.control.arbiter import Arbiter, HandOver
from robot_rl.control.safety import SafetyGate
from robot_rl.core.clock import NS_PER_S
from robot_rl.core.episode import Episode, EpisodeMetadata
from robot_rl.core.errors import LearnerLostError
from robot_rl.core.recording import RecordingSpec
from robot_rl.core.types import Transition
from robot_rl.data.normaliser import Normaliser
from robot_rl.data.store.episode_reader import EpisodeReader
from robot_rl.data.store.episode_store import EpisodeStore
from robot_rl.envs.robot_env import RobotEnv
from robot_rl.learning.residual_td3 import ResidualTd3, ResidualTd3Config
from robot_rl.learning.reward_view import RewardView
from robot_rl.runtime.evaluator import NeverWorse
from robot_rl.runtime.improve import ImproveConfig, Improvement, Progress
from robot_rl.runtime.process_link import ProcessLink
from robot_rl.runtime.rollout import Agent, Rollout
from robot_rl.runtime.worker import LearnerWorker, ScheduleConfig


class Ledger:
    """A reward view that writes down which steps come to a learner."""

    return_bounds = None

    def __init__(self) -> None:
        self.ids: list[tuple[str, int]] = []

    def push(self, t: Transition) -> list[Transition]:
        self.ids.append((t.episode_id, t.step))
        return [t]

    def finish(self) -> list[Transition]:
        return []


def build(arguments: str, reward: RewardView | None = None) -> LearnerWorker:
    """A small learner that knows what is in the store; JSON: `store`, `horizon`."""
    given = json.loads(arguments)
    normaliser = Normaliser(offset=np.zeros(2, np.float32), scale=np.ones(2, np.float32))
    base = SimpleNamespace(observation=OBSERVATION, action=ACTION, normaliser=normaliser)
    learner: ResidualTd3 = ResidualTd3Config(hidden=(16,), heads=2).build(base, 0)
    schedule = ScheduleConfig(prefill_steps=10, warmup_updates=4, utd=0.2, batch_size=8)
    worker = LearnerWorker(learner, task(given["horizon"]), schedule, [], seed=1, reward=reward)
    for episode in EpisodeReader(given["store"]):
        worker.add_episode(episode)
    return worker


class Act:
    """One session of the online phase, up to the loss of its learner or to its end.

    Args:
        path: of the store.
        horizon: steps of an episode.
        finish_s, silence_s: see `ProcessLink`.
    """

    def __init__(
        self, path: Path, horizon: int, *, finish_s: float | None = None, silence_s: float = 30.0
    ) -> None:
        self.path = path
        self.horizon = horizon
        self.bench = PatientBench(horizon)
        self.finish_s, self.silence_s = finish_s, silence_s
        self.news: list[int] = []
        self.ended_ns = 0

    @property
    def arguments(self) -> str:
        """What the learner is built from."""
        return json.dumps({"store": str(self.path), "horizon": self.horizon})

    def run(self, number: int, after_s: float) -> tuple[LearnerLostError, int]:
        """Act until the learner is lost to a signal; return how that is told, and when it came."""
        hit: list[int] = []

        def strike(pid: int) -> None:
            time.sleep(after_s)
            hit.append(time.monotonic_ns())
            os.kill(pid, number)

        def prepare(link: ProcessLink) -> None:
            threading.Thread(target=strike, args=(link.pid,), daemon=True).start()

        try:
            self._run(prepare, lambda: False)
        except LearnerLostError as error:
            self.ended_ns = time.monotonic_ns()
            return error, hit[0]
        raise AssertionError("nobody noticed")

    def resume(self, updates: int, at_most_s: float) -> float:
        """Act with another learner until it has made so many updates; return how long it took."""
        start_s = time.monotonic()

        def stop() -> bool:
            assert time.monotonic() - start_s < at_most_s, "learning does not go on"
            return bool(self.news) and self.news[-1] >= updates

        self._run(lambda link: None, stop)
        return time.monotonic() - start_s

    def _run(self, prepare: Callable[[ProcessLink], None], stop: Callable[[], bool]) -> None:
        spec = RecordingSpec(robot="alone", task=self.bench.task)
        with EpisodeStore(self.path, spec) as store:
            link = ProcessLink(
                "lone_actor:build",
                self.arguments,
                max_lag_updates=None,
                finish_s=self.finish_s,
                silence_s=self.silence_s,
            )
            try:
                prepare(link)
                self._improvement(store, link).run(stop)
            finally:
                link.close()

    def _improvement(self, store: EpisodeStore, link: ProcessLink) -> Improvement:
        bench = self.bench
        env = RobotEnv(bench, SafetyGate(LIMITS, ACTION, bench.clock, None))
        policy = Restless()
        agent = Agent(base=None, online=policy, size=2)
        rollout = Rollout(env, agent, Arbiter(ACTION, bench.clock, HandOver()))
        metadata = EpisodeMetadata(task="alone", contract=bench.task.contract)
        judge = NeverWorse(
            rollout, (), metadata, base_success=np.zeros(1, np.bool_), confidence=0.95
        )
        return Improvement(
            ImproveConfig(env_steps=10**6, judge_every_steps=10**6),
            rollout=rollout,
            policy=policy,
            link=link,
            store=store,
            judge=judge,
            metadata=lambda seed: metadata,
            first_seed=0,
            save=lambda progress, state: None,
            sinks=[lambda event: self.news.append(getattr(event, "updates_total", 0))],
            progress=Progress(episodes=len(store.ids())),
        )

    def episodes(self) -> list[Episode]:
        return list(EpisodeReader(self.path))

    def excess(self) -> float:
        """The worst acceleration or jerk that was sent, as a part of its limit.

        Episodes begin with the arm put where it belongs, at rest.
        """
        worst = 0.0
        for start in range(0, len(self.bench.sent), self.horizon):
            step = np.array([v for _, v in self.bench.sent[start : start + self.horizon]], "f8")
            change = np.diff(np.concatenate([np.zeros((2, 2)), step]), axis=0)
            jerk = np.abs(np.diff(change, axis=0)).max() / (JERK * PERIOD_S**3)
            worst = max(worst, jerk, np.abs(change).max() / (ACCELERATION * PERIOD_S**2))
        return worst


def seconds(later_ns: int, before_ns: int) -> float:
    return (later_ns - before_ns) / NS_PER_S
