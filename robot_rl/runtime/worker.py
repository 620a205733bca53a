"""The learner with its memory: takes in transitions, pays the updates it owes, hands out weights.

Where it runs (in the actor's process or its own) is the link's business, not this file's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import Field
from torch import Tensor

from robot_rl.config.model import Config
from robot_rl.core.episode import Episode
from robot_rl.core.spec import TaskSpec
from robot_rl.core.types import Source, Transition
from robot_rl.data.replay.replay_buffer import ReplayBuffer
from robot_rl.data.replay.sampling import Sampler
from robot_rl.learning.contract import Learner


class ScheduleConfig(Config):
    """When the learner learns, and from what.

    Args:
        prefill_steps: environment steps with the base policy before the first update.
        warmup_updates: critic-only updates right after the prefill.
        utd: critic updates per environment step from then on.
        batches_per_cycle: critic updates per actor update.
        batch_size, n_step, gamma: of the sampled windows.
        offline_share: part of each batch that comes from demonstrations and corrections.
        use_demonstrations: whether the learner learns from them; from corrections it always does.
        capacity: steps that the online buffer holds.
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


class LearnerWorker:
    """A learner, an online buffer, and an offline buffer of demonstrations and corrections.

    Every step goes to the online buffer; steps that a person drove go to the offline buffer too,
    each with its own next observation.

    Args:
        learner: any algorithm of `robot_rl.learning`.
        task: shapes of what the buffers hold.
        schedule: when and from what to learn.
        demonstrations: episodes that fill the offline buffer at the start.
        seed: of the sampling.
    """

    def __init__(
        self,
        learner: Learner,
        task: TaskSpec,
        schedule: ScheduleConfig,
        demonstrations: Iterable[Episode],
        seed: int,
    ) -> None:
        self.learner = learner
        self._schedule = schedule
        size = task.action.size
        self._online = ReplayBuffer(schedule.capacity, task.observation, size)
        self._offline = ReplayBuffer(schedule.capacity, task.observation, size, offline=True)
        for episode in demonstrations if schedule.use_demonstrations else ():
            self._offline.add_episode(episode)
        self._sampler = Sampler(
            [self._online, self._offline],
            [1 - schedule.offline_share, schedule.offline_share],
            batch_size=schedule.batch_size,
            n_step=schedule.n_step,
            gamma=schedule.gamma,
            seed=seed,
        )
        self.env_steps = 0
        self.updates = 0
        self.version = 0

    def add(self, transition: Transition) -> None:
        """Take in one step of the actor."""
        self._online.add(transition)
        if transition.source == Source.HUMAN:
            self._offline.add(transition)
        self.env_steps += 1

    def add_episode(self, episode: Episode) -> None:
        """Take in a recorded episode, exactly as its steps came when it was live."""
        for transition in episode.transitions():
            self.add(transition)

    @property
    def updates_owed(self) -> int:
        """Updates that the steps so far call for and that have not been made."""
        s = self._schedule
        if self.env_steps < s.prefill_steps or self.env_steps == 0:
            return 0
        due = s.warmup_updates + (self.env_steps - s.prefill_steps) * s.utd
        return int(due) - self.updates

    @property
    def cycle_is_due(self) -> bool:
        """Whether the updates owed fill a cycle."""
        return self.updates_owed >= self._schedule.batches_per_cycle

    def train_cycle(self) -> Mapping[str, float]:
        """Make one cycle of updates and return the learner's metrics."""
        batches = [self._sampler.sample() for _ in range(self._schedule.batches_per_cycle)]
        warm = self.updates >= self._schedule.warmup_updates
        metrics = self.learner.update(batches, train_actor=warm)
        self.updates += len(batches)
        if warm:
            self.version += 1
        return metrics

    def weights(self) -> Mapping[str, Tensor]:
        """What an `OnlinePolicy` loads."""
        return self.learner.weights()

    def state_dict(self) -> dict[str, Any]:
        """Everything but the buffers, which are refilled from the episode store."""
        return {
            "learner": self.learner.state_dict(),
            "sampler": self._sampler.state_dict(),
            "updates": self.updates,
            "version": self.version,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned, after the buffers were refilled in order."""
        self.learner.load_state_dict(state["learner"])
        self._sampler.load_state_dict(state["sampler"])
        self.updates = int(state["updates"])
        self.version = int(state["version"])
