"""How learning stands, as far as a run tells it between episodes."""

from __future__ import annotations

from typing import Literal

from robot_rl.core.clock import NS_PER_S, Clock
from robot_rl.runtime.events import EpisodeEnded, LearnerMetrics
from robot_rl.session.view import LearnerView


class Pupil:
    """Follows the learner by its metrics.

    Args:
        clock: the control loop's own.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._news: LearnerMetrics | None = None
        self._acting = 0
        self._since_ns: int | None = None
        self._episodes_without = 0
        self._env_steps = 0
        self._lost = ""

    def ended(self, event: EpisodeEnded) -> None:
        """An episode has ended; what was learned of it is told after this."""
        self._env_steps = event.env_steps_total
        self._episodes_without += 1

    def measured(self, event: LearnerMetrics) -> None:
        """The learner has said something."""
        self._news = event
        self._env_steps = max(self._env_steps, event.env_steps_total)
        self._episodes_without = 0
        self._lost = ""

    def acts(self, version: int) -> None:
        """A step was made with weights of this version."""
        if version != self._acting:
            self._acting, self._since_ns = version, self._clock.now_ns()

    def lose(self, words: str) -> None:
        """The learner is lost."""
        self._lost = words

    def view(self) -> LearnerView:
        """How it stands now."""
        news, since_ns = self._news, self._since_ns
        age_s = None if since_ns is None else (self._clock.now_ns() - since_ns) / NS_PER_S
        return LearnerView(
            state=self._state,
            updates=news.updates_total if news else 0,
            updates_per_s=news.updates_per_s if news else 0.0,
            version=self._acting,
            weights_age_s=age_s,
            env_steps=self._env_steps,
            words=self._lost,
        )

    @property
    def _state(self) -> Literal["starting", "learning", "waiting", "lost"]:
        if self._lost:
            return "lost"
        if self._news is None:
            return "starting"
        # One episode may be ahead of the metrics: these come after it.
        return "learning" if self._episodes_without <= 1 else "waiting"
