"""What a learner is paid for: a view of the recorded steps, made as they come.

The recording itself never changes, so switching from one reward to another records nothing anew.
The same labels over a whole episode, for stores and pages: `robot_rl.data.labelling`.
"""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from typing import Protocol

import numpy as np
from pydantic import Field

from robot_rl.config.model import Config
from robot_rl.core.episode import Episode
from robot_rl.core.errors import ConfigError, ContractError
from robot_rl.core.types import Source, Transition

Bounds = tuple[float, float]

_PERSON = (Source.HUMAN, Source.DEMO, Source.RESET)


class RewardView(Protocol):
    """Gives steps their reward, in order. A step comes out once later ones cannot change it."""

    @property
    def return_bounds(self) -> Bounds | None:
        """Between which every return lies, whatever is done; None if nobody knows."""
        ...

    def push(self, t: Transition) -> list[Transition]:
        """Take in one step; return the steps that are final now, in order.

        After the last step of an episode nothing is held back. Where an episode broke off without
        one, the first step of the next episode brings out what was held back.
        """
        ...

    def finish(self) -> list[Transition]:
        """Return what is held back: nothing follows it in its episode."""
        ...


class TaskRewardConfig(Config):
    """The recorded reward of the task."""

    def build(self) -> TaskReward:
        """Return the view."""
        return TaskReward()


class TaskReward:
    """Every step as it was recorded, at once."""

    return_bounds: Bounds | None = None

    def push(self, t: Transition) -> list[Transition]:
        """See `RewardView.push`."""
        return [t]

    def finish(self) -> list[Transition]:
        """See `RewardView.finish`."""
        return []


class RlifRewardConfig(Config):
    """Reward from interventions, alone or mixed with the task's.

    Args:
        late_steps: policy steps that share the blame for an intervention: people react late.
        task_scale: weight of the recorded reward, added to it; 0 is the paper's reward.
    """

    late_steps: int = Field(default=1, ge=1)
    task_scale: float = 0.0

    def build(self) -> RlifReward:
        """Return the view."""
        return RlifReward(self)


class RlifReward:
    """-1 for the policy's steps that made a person take over, 0 for all others.

    Reinforcement learning from interventions (RLIF, Luo et al. 2023, arXiv 2311.12996, section
    4). Steps that a person drove are kept, with 0. Step by step the values of
    `robot_rl.data.labelling.rlif_reward`, which says who is blamed for what.

    The last `late_steps` policy steps are held back, with the steps between and after them: the
    next step may be the person's. A person's own step brings out everything.
    """

    def __init__(self, config: RlifRewardConfig) -> None:
        self._late_steps = config.late_steps
        self._task_scale = np.float32(config.task_scale)
        self._held: deque[_Held] = deque()

    @property
    def return_bounds(self) -> Bounds | None:
        """Nothing above 0: there is only blame; unknown once the task's reward is mixed in."""
        return None if self._task_scale else (-math.inf, 0.0)

    def push(self, t: Transition) -> list[Transition]:
        """See `RewardView.push`."""
        before = self.finish() if self._begins_anew(t) else []
        if t.intervention_start:
            self._blame()
        self._held.append(_Held(t))
        if t.terminated or t.truncated or t.source in _PERSON:
            return before + self.finish()
        return before + self._beyond_blame()

    def finish(self) -> list[Transition]:
        """See `RewardView.finish`."""
        return [self._paid(self._held.popleft()) for _ in range(len(self._held))]

    def _begins_anew(self, t: Transition) -> bool:
        if not self._held:
            return False
        last = self._held[-1].step
        return t.episode_id != last.episode_id or t.step <= last.step

    def _blame(self) -> None:
        """Share a blame of 1 among the policy steps held back, the last `late_steps` at most."""
        policy = [held for held in self._held if held.step.source == Source.POLICY]
        blamed = policy[-self._late_steps :]
        for held in blamed:
            held.reward -= np.float32(1.0 / len(blamed))

    def _beyond_blame(self) -> list[Transition]:
        """Take out the steps before the last `late_steps` policy steps."""
        policy = sum(held.step.source == Source.POLICY for held in self._held)
        out: list[Transition] = []
        while self._held:
            blamable = self._held[0].step.source == Source.POLICY
            if blamable and policy <= self._late_steps:
                break
            policy -= blamable
            out.append(self._paid(self._held.popleft()))
        return out

    def _paid(self, held: _Held) -> Transition:
        reward = held.reward
        if self._task_scale:
            reward = reward + self._task_scale * np.float32(held.step.reward)
        return dataclasses.replace(held.step, reward=float(reward))


class _Held:
    """A step that may still be blamed."""

    __slots__ = ("reward", "step")

    def __init__(self, step: Transition) -> None:
        self.step = step
        self.reward = np.float32(0.0)


def paid(view: RewardView, episode: Episode) -> Episode:
    """Return a whole episode with the rewards of a view that holds nothing back.

    Raises:
        ContractError: if the view does not give each step one reward.
    """
    steps = [final for t in episode.transitions() for final in view.push(t)] + view.finish()
    if [t.step for t in steps] != list(range(len(episode))):
        raise ContractError(
            f"reward view: {len(steps)} steps came out of the {len(episode)} of episode "
            f"{episode.episode_id}, expected each once and in order"
        )
    return dataclasses.replace(episode, reward=np.array([t.reward for t in steps], np.float32))


def check_target_range(target_range: Bounds | None, view: RewardView) -> None:
    """Refuse a clip of a learner's targets that leaves hardly a return of the view.

    Raises:
        ConfigError: if the two intervals share a point at most.
    """
    bounds = view.return_bounds
    if target_range is None or bounds is None:
        return
    if max(target_range[0], bounds[0]) >= min(target_range[1], bounds[1]):
        raise ConfigError(
            f"target_range of the learner is {list(target_range)}, but under the run's reward "
            f"every return lies in {list(bounds)}: all targets would be the same; set "
            "learner.target_range=null, or to an interval of returns that can happen"
        )
