"""The actor's line to the learner. Here: both in one process, deterministic, step by step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from robot_rl.core.episode import Episode
from robot_rl.core.types import Transition
from robot_rl.runtime.worker import LearnerWorker


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What the learner says between episodes.

    Args:
        weights: of the policy, as of `version`; None if the actor is not to leave the base yet.
        version: grows with every actor update.
        updates: critic updates so far.
        metrics: the learner's newest metrics.
    """

    weights: Mapping[str, Tensor] | None
    version: int
    updates: int
    metrics: Mapping[str, float]


class LearnerLink(Protocol):
    """What the actor needs of a learner, wherever it runs."""

    def add(self, transition: Transition) -> None:
        """Hand over one step; called within the control period."""
        ...

    def amend(self, episode_id: str, episode: Episode | None) -> None:
        """Between episodes: let the learner forget one, and learn from it as it is now.

        A learner that is lost is told nothing: the next one is filled from the store.

        Args:
            episode_id: every step of this episode is forgotten.
            episode: what takes its place, if anything; its id may be another one.
        """
        ...

    @property
    def loss(self) -> str:
        """Why the learner is lost, in words for a person; empty while it lives. Never waits."""
        ...

    @property
    def time_is_up(self) -> bool:
        """Whether the learner was lost so long ago that the policy is to drive no more."""
        ...

    def sync(self) -> Published:
        """Between episodes: let the learner catch up with what it owes and hear its news.

        Raises:
            LearnerLostError: if the learner is lost.
        """
        ...

    def state_dict(self) -> dict[str, Any]:
        """The learner's whole state but the buffers, at rest; `skipped_in_a_row` is part of it."""
        ...

    def close(self) -> None:
        """End the learner."""
        ...


class InlineLink:
    """The learner works within `add`: slower, but a seed decides everything.

    It is lost only together with the actor.
    """

    loss = ""
    time_is_up = False

    def __init__(self, worker: LearnerWorker) -> None:
        self._worker = worker
        self._metrics: Mapping[str, float] = {}

    def add(self, transition: Transition) -> None:
        """Hand over one step and make the updates that it calls for."""
        self._worker.add(transition)
        self._pay()

    def amend(self, episode_id: str, episode: Episode | None) -> None:
        """Forget an episode and take in what takes its place."""
        self._worker.amend(episode_id, [] if episode is None else list(episode.transitions()))
        self._pay()

    def sync(self) -> Published:
        """Tell the present state; only a worker refilled after a crash still owes something."""
        self._pay()
        return published(self._worker, self._metrics)

    def state_dict(self) -> dict[str, Any]:
        """The worker's state."""
        return self._worker.state_dict()

    def close(self) -> None:
        """Nothing to end."""

    def _pay(self) -> None:
        while self._worker.cycle_is_due:
            self._metrics = self._worker.train_cycle()


def published(worker: LearnerWorker, metrics: Mapping[str, float]) -> Published:
    """What a worker has to say."""
    return Published(
        weights=worker.weights() if worker.version else None,
        version=worker.version,
        updates=worker.updates,
        metrics=metrics,
    )
