"""The learner with its memory: takes in transitions, pays the updates it owes, hands out weights.

Where it runs (in the actor's process or its own) is the link's business, not this file's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import Field
from torch import Tensor

from robot_rl.config.model import Config
from robot_rl.core.episode import Episode
from robot_rl.core.errors import ConfigError, LearningError
from robot_rl.core.spec import TaskSpec
from robot_rl.core.types import Source, Transition
from robot_rl.data.replay.augmentation import AugmentationConfig
from robot_rl.data.replay.feature_cache import FeatureCache, FeatureCacheConfig
from robot_rl.data.replay.replay_buffer import ReplayBuffer
from robot_rl.data.replay.sampling import Sampler
from robot_rl.learning.contract import SKIPPED, Learner
from robot_rl.learning.return_alarm import ReturnAlarm
from robot_rl.learning.reward_view import RewardView, TaskReward, paid


class ScheduleConfig(Config):
    """When the learner learns, and from what.

    Args:
        prefill_steps: environment steps with the base policy before the first update.
        warmup_updates: critic-only updates right after the prefill.
        utd: critic updates per environment step from then on.
        batches_per_cycle: critic updates per actor update.
        batch_size, n_step, gamma: of the sampled windows.
        offline_share: part of each batch that comes from demonstrations and corrections.
        use_demonstrations: whether the learner learns from them; from corrections it does anyway.
            One whose data must have a latent (`SamplingNeeds.demonstrations`) takes neither.
        capacity: steps that each of the two buffers holds.
        augmentation: changes images at random before the learner sees them; None leaves them.
        features: keeps what the frozen part of the learner's vision makes of images, shifted at
            random, in their place or beside them; None keeps images. Not with `augmentation`.
        max_skipped_in_a_row: learning is stopped once so many steps in a row were not finite.
    """

    prefill_steps: int = Field(ge=0)
    warmup_updates: int = Field(ge=0)
    utd: float = Field(gt=0)
    batches_per_cycle: int = Field(default=4, ge=1)
    batch_size: int = Field(default=128, ge=2)
    n_step: int = Field(default=3, ge=1)
    gamma: float = Field(default=0.98, gt=0, le=1)
    offline_share: float = Field(default=0.5, gt=0, lt=1)
    use_demonstrations: bool = True
    capacity: int = Field(default=100_000, ge=1)
    augmentation: AugmentationConfig | None = None
    features: FeatureCacheConfig | None = None
    max_skipped_in_a_row: int = Field(default=50, ge=1)


class LearnerWorker:
    """A learner, an online buffer, and an offline buffer of demonstrations and corrections.

    Every step goes to the online buffer; steps that a person drove go to the offline buffer too,
    each with its own next observation. Both hold them with the reward of a view; what was
    recorded stays as it is.

    Args:
        learner: any algorithm of `robot_rl.learning`.
        task: shapes of what the buffers hold.
        schedule: when and from what to learn.
        demonstrations: episodes that fill the offline buffer at the start.
        seed: of the sampling and of what changes images.
        reward: what the steps pay; the recorded reward of the task if None.

    Raises:
        ConfigError: if the schedule is to change images or keep features that the learner does not
            look at or does not offer.
    """

    def __init__(
        self,
        learner: Learner,
        task: TaskSpec,
        schedule: ScheduleConfig,
        demonstrations: Iterable[Episode],
        seed: int,
        reward: RewardView | None = None,
    ) -> None:
        self.learner = learner
        self._reward = reward or TaskReward()
        bounds = self._reward.return_bounds
        self._alarm = ReturnAlarm(bounds[1] if bounds else None)
        self._schedule = schedule
        caches = _caches(learner, schedule, seed)
        self._online, self._offline = self._buffers = _buffers(learner, task, schedule, caches)
        self._sampler = _sampler(self._buffers, learner, schedule, seed)
        shown = schedule.use_demonstrations and learner.needs.demonstrations
        for episode in demonstrations if shown else ():
            self._offline.add_episode(paid(self._reward, episode))
        self._refresh_count = schedule.features.refresh_per_cycle if schedule.features else 0
        self.env_steps = 0
        self.updates = 0
        self.version = 0
        self._skipped_in_a_row = 0

    def add(self, transition: Transition) -> None:
        """Take in one step of the actor; learn from it once its reward is final."""
        for step in self._reward.push(transition):
            self._keep(step)
        self.env_steps += 1

    def add_episode(self, episode: Episode) -> None:
        """Take in a recorded episode, exactly as its steps came when it was live."""
        for transition in episode.transitions():
            self.add(transition)
        for step in self._reward.finish():
            self._keep(step)

    def amend(self, episode_id: str, steps: Sequence[Transition]) -> None:
        """Learn from an episode as it is now, and no more as it was.

        Every step of it is forgotten, and `steps` are taken in as the newest. They are no new
        experience: no more updates are owed, and none less. For between two episodes: if the one
        before broke off, what the reward view still held of it is final now.

        Args:
            episode_id: the episode as it was.
            steps: all of what takes its place, which may have another id; empty for nothing.
        """
        for step in self._reward.finish():
            self._keep(step)
        for named in {episode_id, *(step.episode_id for step in steps)}:
            for buffer in self._buffers:
                buffer.forget(named)
        for step in steps:
            for final in self._reward.push(step):
                self._keep(final)
        for step in self._reward.finish():
            self._keep(step)

    def _keep(self, step: Transition) -> None:
        self._online.add(step)
        if step.source == Source.HUMAN and self.learner.needs.demonstrations:
            self._offline.add(step)

    @property
    def updates_owed(self) -> int:
        """Updates that the steps so far call for and that have not been made."""
        s = self._schedule
        if self.env_steps < s.prefill_steps or not len(self._online):
            return 0
        due = s.warmup_updates + (self.env_steps - s.prefill_steps) * s.utd
        return int(due) - self.updates

    @property
    def cycle_is_due(self) -> bool:
        """Whether the updates owed fill a cycle."""
        return self.updates_owed >= self._schedule.batches_per_cycle

    def train_cycle(self) -> Mapping[str, float]:
        """Make one cycle of updates and return the learner's metrics and its `true_utd`.

        `true_utd` is the number of updates after the warm-up per environment step after the
        prefill; it never exceeds the schedule's `utd`.

        Raises:
            LearningError: if too many steps in a row had a loss or gradient that was not finite.
        """
        batches = [self._sampler.sample() for _ in range(self._schedule.batches_per_cycle)]
        warm = self.updates >= self._schedule.warmup_updates
        metrics = self.learner.update(batches, train_actor=warm)
        self.updates += len(batches)
        self._check_skipped(metrics)
        for buffer in self._buffers if self._refresh_count else ():
            buffer.refresh(self._refresh_count)
        if warm:
            self.version += 1
        return {**metrics, **self._true_utd(), **self._alarm.check(metrics)}

    def weights(self) -> Mapping[str, Tensor]:
        """What an `OnlinePolicy` loads."""
        return self.learner.weights()

    def state_dict(self) -> dict[str, Any]:
        """Everything but the buffers, which are refilled from the episode store."""
        return {
            "learner": self.learner.state_dict(),
            "sampler": self._sampler.state_dict(),
            "env_steps": self.env_steps,
            "updates": self.updates,
            "version": self.version,
            SKIPPED: self._skipped_in_a_row,
            "refreshed": [buffer.refreshed for buffer in self._buffers],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned, after the buffers were refilled in order."""
        self.learner.load_state_dict(state["learner"])
        self._sampler.load_state_dict(state["sampler"])
        for buffer, refreshed in zip(self._buffers, state["refreshed"], strict=True):
            if self._refresh_count:
                buffer.restore(refreshed)
        # Deleted and trimmed episodes are not refilled, but their steps were paid for in updates.
        self.env_steps = max(self.env_steps, int(state.get("env_steps", 0)))
        self.updates = int(state["updates"])
        self.version = int(state["version"])
        self._skipped_in_a_row = int(state[SKIPPED])

    def _check_skipped(self, metrics: Mapping[str, float]) -> None:
        self._skipped_in_a_row = int(metrics[SKIPPED])
        limit = self._schedule.max_skipped_in_a_row
        if self._skipped_in_a_row >= limit:
            told = ", ".join(f"{name} {value:.4g}" for name, value in sorted(metrics.items()))
            raise LearningError(
                f"learning has diverged: {self._skipped_in_a_row} steps in a row had a loss or "
                f"gradient that is not finite, at most {limit - 1} (max_skipped_in_a_row) are "
                f"skipped. After {self.updates} updates the last metrics are: {told}. The last "
                "good checkpoint stays; look for numbers that are not finite or huge in "
                "observations and rewards, or lower the learning rates, before you resume"
            )

    def _true_utd(self) -> dict[str, float]:
        steps = self.env_steps - self._schedule.prefill_steps
        made = self.updates - self._schedule.warmup_updates
        return {"true_utd": max(made, 0) / steps} if steps > 0 else {}


def _caches(
    learner: Learner, schedule: ScheduleConfig, seed: int
) -> tuple[FeatureCache | None, FeatureCache | None]:
    """What the online and the offline buffer make features with, shifted independently."""
    for name in ("augmentation", "features"):
        if getattr(schedule, name) is not None and not learner.needs.images:
            raise ConfigError(
                f"schedule.{name}: it is for images, and the learner looks at none; give the "
                f"learner a vision, or set {name} to null"
            )
    if schedule.features is None:
        return None, None
    encoder = learner.frame_encoder
    if encoder is None:
        raise ConfigError(
            "schedule.features: the learner has no frozen vision of its own to make them "
            "with; freeze its backbone, or set features to null and let it see images"
        )
    online, offline = (schedule.features.build(encoder, 2 * seed + i) for i in range(2))
    return online, offline


def _buffers(
    learner: Learner,
    task: TaskSpec,
    schedule: ScheduleConfig,
    caches: tuple[FeatureCache | None, FeatureCache | None],
) -> tuple[ReplayBuffer, ReplayBuffer]:
    """The online and the offline buffer, both empty; without images if nobody looks at them."""
    seen = task.observation if learner.needs.images else replace(task.observation, images={})
    online, offline = (
        ReplayBuffer(
            schedule.capacity,
            seen,
            task.action.size,
            offline=is_offline,
            latent_size=learner.needs.latent_size,
            features=cache,
        )
        for is_offline, cache in zip((False, True), caches, strict=True)
    )
    return online, offline


def _sampler(
    buffers: tuple[ReplayBuffer, ReplayBuffer],
    learner: Learner,
    schedule: ScheduleConfig,
    seed: int,
) -> Sampler:
    needs, change = learner.needs, schedule.augmentation
    return Sampler(
        buffers,
        [1 - schedule.offline_share, schedule.offline_share],
        batch_size=schedule.batch_size,
        n_step=needs.n_step or schedule.n_step,
        gamma=schedule.gamma,
        device=needs.device,
        seed=seed,
        # Its own numbers: with those of the sampler, shifts would follow the steps drawn.
        augmentation=change.build(seed + 1) if change else None,
        starts=needs.starts,
        actions=needs.actions,
    )
