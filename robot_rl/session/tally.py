"""What is counted while an episode runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from robot_rl.core.types import Outcome, Source, StepResult
from robot_rl.session.history import Trial
from robot_rl.session.view import EpisodeView

_PERSON = (Source.HUMAN, Source.DEMO)
_OUTCOMES: Mapping[Outcome, Literal["unknown", "success", "failure"]] = {
    Outcome.UNKNOWN: "unknown",
    Outcome.SUCCESS: "success",
    Outcome.FAILURE: "failure",
}


@dataclass(slots=True, kw_only=True)
class Tally:
    """One episode, step by step.

    Args:
        episode_id: under which it is kept, if it is.
        judging: it only counts; nobody learns from it.
        horizon: time limit in steps; period_s: of each.
        rescue_steps: of the longest time that a person drove without a break.
        first_human_step: None if a person never drove.
        is_discarded: it is in the store, but nobody learns from it.
    """

    episode_id: str
    seed: int
    judging: bool
    horizon: int
    period_s: float
    step: int = 0
    reward: float = 0.0
    human_steps: int = 0
    rescue_steps: int = 0
    first_human_step: int | None = None
    outcome: Outcome = Outcome.UNKNOWN
    is_discarded: bool = False
    _running_rescue: int = 0

    def add(self, source: Source, result: StepResult) -> None:
        """Count one step."""
        if source in _PERSON:
            if self.first_human_step is None:
                self.first_human_step = self.step
            self.human_steps += 1
            self._running_rescue += 1
            self.rescue_steps = max(self.rescue_steps, self._running_rescue)
        else:
            self._running_rescue = 0
        self.step += 1
        self.reward += result.reward
        self.outcome = result.outcome

    def view(self) -> EpisodeView:
        """The episode as it is shown."""
        return EpisodeView(
            episode_id=self.episode_id,
            seed=self.seed,
            step=self.step,
            horizon=self.horizon,
            seconds=self.step * self.period_s,
            reward=self.reward,
            human_steps=self.human_steps,
            judging=self.judging,
            outcome=_OUTCOMES[self.outcome],
        )

    def trial(self) -> Trial:
        """The episode as it is remembered."""
        return Trial(
            episode_id=self.episode_id,
            success=self.outcome == Outcome.SUCCESS,
            assisted=self.human_steps > 0,
            steps=self.step,
            rescue_steps=self.rescue_steps,
            first_human_step=self.first_human_step,
        )
