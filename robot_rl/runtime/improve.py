"""The online phase: act, record, learn, and never deploy what is not better than the base."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from pydantic import Field

from robot_rl.config.model import Config
from robot_rl.core.episode import Episode, EpisodeMetadata
from robot_rl.core.protocol import OnlinePolicy
from robot_rl.core.spec import WRENCH
from robot_rl.core.types import GateReason, Source, Transition
from robot_rl.data.store.episode_store import EpisodeStore
from robot_rl.data.store.journal import Journal
from robot_rl.learning.contract import SKIPPED
from robot_rl.runtime.evaluator import NeverWorse
from robot_rl.runtime.events import (
    EpisodeEnded,
    GateEvent,
    LearnerMetrics,
    PhaseProgress,
    Sink,
    send,
)
from robot_rl.runtime.link import LearnerLink, Published
from robot_rl.runtime.record import ONLINE, name_of, next_seed, record_episode, seed_of
from robot_rl.runtime.rollout import OnStep, Rollout, force_curve, succeeded

PHASE = "improve"
Between = Callable[[EpisodeStore, LearnerLink], bool]
"""Called before each recorded episode and after the last; it may delete, trim and judge episodes
of the store, and amend the learner's memory of them. False ends the phase."""

_LOG = logging.getLogger(__name__)


class ImproveConfig(Config):
    """How long the online phase lasts and how it is judged.

    Args:
        env_steps: its end at the latest.
        judge_every_steps: environment steps between two judgements.
        judge_episodes: matched starts of one judgement.
        confidence: of the bound by which a candidate must beat the base.
        good_enough: ends the phase early once so many judgements in a row reach this success.
        checkpoint_every_episodes: episodes between two checkpoints.
    """

    env_steps: int = Field(ge=1)
    judge_every_steps: int = Field(default=2000, ge=1)
    judge_episodes: int = Field(default=50, ge=1)
    confidence: float = Field(default=0.95, gt=0, lt=1)
    good_enough: tuple[float, int] = (1.0, 3)
    checkpoint_every_episodes: int = Field(default=50, ge=1)


class Trainable(OnlinePolicy, Protocol):
    """An online policy whose weights can be swapped."""

    def load_weights(self, weights: Any, version: int) -> None:
        """Adopt newer weights, or refuse them."""
        ...


@dataclass(slots=True, kw_only=True)
class Progress:
    """Where the online phase stands; saved with every checkpoint.

    What was recorded counts, whether it was deleted or trimmed since or not: the robot has done
    it, and the learner has paid for it in updates.
    """

    episodes: int = 0
    env_steps: int = 0
    human_steps: int = 0
    judged_at: int = 0
    good_in_a_row: int = 0


class Improvement:
    """Runs the online phase.

    Args:
        rollout: an exploring rollout.
        policy: the online policy that acts; its weights are swapped between episodes.
        link: the learner; it gets every step as it happens.
        store: every episode is recorded here before the next one starts; it holds those of
            `progress` and, after a crash, some more; some may be deleted or purged since.
        judge: compares candidates with the base.
        save: called with progress and the learner's state to write a checkpoint; never with the
            state of a learner whose last step was not finite, so that a resumed run starts well.
        sinks: who hears events.
        between: what happens between two episodes; nothing without it.
        watch: called with every step, once the learner has it.
    """

    def __init__(
        self,
        config: ImproveConfig,
        *,
        rollout: Rollout,
        policy: Trainable,
        link: LearnerLink,
        store: EpisodeStore,
        judge: NeverWorse,
        metadata: Callable[[int], EpisodeMetadata],
        first_seed: int,
        save: Callable[[Progress, Mapping[str, Any]], None],
        sinks: Sequence[Sink],
        progress: Progress,
        between: Between | None = None,
        watch: OnStep = lambda _: None,
    ) -> None:
        self._config = config
        self._rollout = rollout
        self._policy = policy
        self._link = link
        self._store = store
        self._judge = judge
        self._metadata = metadata
        self._first_seed = first_seed
        self._save = save
        self._sinks = sinks
        self.progress = progress
        self._between = between
        self._watch = watch
        self._saved_episodes = progress.episodes
        self._clock = time.monotonic()
        self._updates = 0

    def run(self, stop: Callable[[], bool]) -> None:
        """Train until the steps are spent, the policy is good enough, or `stop` or `between` ends.

        Raises:
            LearnerLostError: if the learner is lost; the episode that ran then is in the store.
            LearningError: if learning has diverged.
        """
        self._count_unsaved()
        news = self._link.sync()
        self._updates = news.updates
        self._adopt(news)
        # Before it is asked whether this is the end: the last episode is for the person to judge.
        while self._goes_on() and not (self._finished() or stop()):
            start_s = time.monotonic()
            episode = self._record()
            self._count(episode)
            self._tell(episode, time.monotonic() - start_s)
            news = self._link.sync()
            self._adopt(news)
            self._tell_metrics(news)
            if self.progress.env_steps - self.progress.judged_at >= self._config.judge_every_steps:
                self._consider(news)
            if self.progress.episodes % self._config.checkpoint_every_episodes == 0:
                self._checkpoint()
        if self._spent() and self.progress.judged_at < self.progress.env_steps:
            news = self._link.sync()
            self._consider(news)
        self._tell_metrics(news)
        self._checkpoint()

    def _goes_on(self) -> bool:
        if self._between is None:
            return True
        if not self._between(self._store, self._link):
            return False
        # A person may have taken their time, and the learner has gone on meanwhile.
        self._adopt(self._link.sync())
        return True

    def _record(self) -> Episode:
        seed = self._first_seed + self.progress.episodes
        return record_episode(
            self._rollout,
            self._store,
            name_of(ONLINE, seed),
            seed,
            self._metadata(seed),
            on_step=self._hand_over,
        )

    def _hand_over(self, transition: Transition) -> None:
        self._link.add(transition)
        if self._link.time_is_up:
            # In every step: what a person gives back in between goes back to nobody.
            self._rollout.hold()
        self._watch(transition)

    def _finished(self) -> bool:
        rule = self._config.good_enough
        return self._spent() or self.progress.good_in_a_row >= rule[1]

    def _spent(self) -> bool:
        return self.progress.env_steps >= self._config.env_steps

    def _count_unsaved(self) -> None:
        """Count what was recorded after the last checkpoint, before a crash.

        The number of an episode is in its id. Those that were deleted since count; of those that
        were purged nothing is known but that their ids are taken. Trimmed ones are no recordings.
        """
        unsaved = self._first_seed + self.progress.episodes
        for entry in Journal(self._store.path).manifest.entries.values():
            if seed_of(ONLINE, entry.id) >= unsaved:
                self.progress.env_steps += entry.steps
                self.progress.human_steps += entry.human_steps
        self.progress.episodes = next_seed(self._store, ONLINE, unsaved) - self._first_seed

    def _checkpoint(self) -> None:
        if self.progress.episodes <= self._saved_episodes:
            return
        state = self._link.state_dict()
        if skipped := state[SKIPPED]:
            _LOG.warning(
                "no checkpoint after episode %d: the last %d steps of the learner were not "
                "finite; the one before stays",
                self.progress.episodes,
                skipped,
            )
            return
        self._save(self.progress, state)
        self._saved_episodes = self.progress.episodes

    def _count(self, episode: Episode) -> None:
        self.progress.episodes += 1
        self.progress.env_steps += len(episode)
        self.progress.human_steps += int((episode.source == Source.HUMAN).sum())

    def _adopt(self, news: Published) -> None:
        if news.weights is not None and news.version > self._policy.version:
            self._policy.load_weights(news.weights, news.version)

    def _consider(self, news: Published) -> None:
        if news.weights is None:
            return
        self._adopt(news)
        self.progress.judged_at = self.progress.env_steps
        verdict = self._judge.consider(self._policy.version, news.weights, self.progress.env_steps)
        good = verdict.improved_success >= self._config.good_enough[0]
        self.progress.good_in_a_row = self.progress.good_in_a_row + 1 if good else 0
        send(verdict, self._sinks)
        # The learner has nothing to learn from meanwhile: its rate does not count this time.
        self._clock = time.monotonic()

    def _tell(self, episode: Episode, wall_s: float) -> None:
        tell_episode(PHASE, episode, self.progress.env_steps, wall_s, self._sinks)
        send(PhaseProgress(phase=PHASE, done=self.progress.env_steps), self._sinks)

    def _tell_metrics(self, news: Published) -> None:
        if news.updates == self._updates:
            return
        now = time.monotonic()
        rate = (news.updates - self._updates) / max(now - self._clock, 1e-9)
        self._clock, self._updates = now, news.updates
        event = LearnerMetrics(
            env_steps_total=self.progress.env_steps,
            updates_total=news.updates,
            updates_per_s=rate,
            values=dict(news.metrics),
        )
        send(event, self._sinks)


def tell_episode(
    phase: str, episode: Episode, env_steps: int, wall_s: float, sinks: Sequence[Sink]
) -> None:
    """Tell of one episode, and of each of its actions that the gate changed."""
    force = force_curve(episode, WRENCH)
    reasons = [GateReason(int(r)) for r in episode.gate_reason]
    refused = [reason.refuses for reason in reasons]
    for reason in reasons:
        if reason != GateReason.PASSED:
            send(GateEvent(reason=reason.name), sinks)
    ended = EpisodeEnded(
        phase=phase,
        episode_id=episode.episode_id,
        seed=episode.metadata.seed,
        success=succeeded(episode),
        assisted=episode.assisted,
        steps=len(episode),
        human_steps=int(np.isin(episode.source, (Source.HUMAN, Source.DEMO)).sum()),
        env_steps_total=env_steps,
        max_force_n=float(force.max()),
        mean_force_n=float(force.mean()),
        gate_refused=sum(refused),
        gate_holds=sum(now > before for before, now in pairwise([False, *refused])),
        wall_s=wall_s,
        **_timing(episode),
    )
    send(ended, sinks)


def _timing(episode: Episode) -> dict[str, float]:
    columns = {
        "lateness": episode.lateness_s,
        "inference": episode.inference_s,
        "age": episode.ages_s,
    }
    return {
        f"{name}_{label}_s": float(np.quantile(column, share))
        for name, column in columns.items()
        for label, share in (("p50", 0.5), ("p99", 0.99))
    }
