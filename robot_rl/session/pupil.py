"""How learning stands: as a run tells it between episodes, and whether the learner is lost."""

from __future__ import annotations

from typing import Literal

from robot_rl.core.clock import NS_PER_S, Clock
from robot_rl.runtime.events import EpisodeEnded, LearnerMetrics
from robot_rl.session.seam import Learner
from robot_rl.session.teller import Teller
from robot_rl.session.view import LearnerView


class Pupil:
    """Follows the learner by its metrics, and watches over it. Each loss is told once.

    Args:
        clock: the control loop's own.
        teller: hears of a loss.
    """

    def __init__(self, clock: Clock, teller: Teller) -> None:
        self._clock = clock
        self._teller = teller
        self._learner: Learner | None = None
        self._is_told = False
        self._has_spoken = False
        self._news: LearnerMetrics | None = None
        self._acting = 0
        self._since_ns: int | None = None
        self._episodes_without = 0
        self._env_steps = 0
        self._lost = ""

    def follow(self, learner: Learner) -> None:
        """This is the learner from now on; another one than before starts anew."""
        if learner is not self._learner:
            self._learner = learner
            self._is_told = self._has_spoken = False
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
        self._has_spoken = True

    def acts(self, version: int) -> None:
        """A step was made with weights of this version."""
        if version != self._acting:
            self._acting, self._since_ns = version, self._clock.now_ns()

    def look(self) -> bool:
        """Return whether the learner is seen to be lost for the first time; then tell of it."""
        learner = self._learner
        if learner is None or self._is_told or not (words := learner.loss):
            return False
        self._is_told = True
        self._tell(words)
        return True

    def lose(self, words: str) -> None:
        """The run has lost the learner, and follows it no more; tell of it if `look` has not."""
        if not self._is_told:
            self._tell(words)
        # The next one may be lost before it is followed: that is another loss.
        self._learner, self._is_told = None, False

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

    def _tell(self, words: str) -> None:
        self._lost = words
        self._teller.tell("bad", f"The learner is lost: {words}", "error", "The learner is lost")

    @property
    def _state(self) -> Literal["starting", "learning", "waiting", "lost"]:
        if self._lost:
            return "lost"
        if not self._has_spoken:
            return "starting"
        # One episode may be ahead of the metrics: these come after it.
        return "learning" if self._episodes_without <= 1 else "waiting"
