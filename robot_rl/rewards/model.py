"""What a reward model must be able to do, whatever it looks at and wherever it runs."""

from __future__ import annotations

from typing import Protocol

from robot_rl.core.protocol import Judgement
from robot_rl.core.spec import ObservationSpec
from robot_rl.core.types import Observation


class RewardModel(Protocol):
    """Judges one instant after the other, as a component's `build(task)` returns it."""

    name: str
    """Told with every judgement."""
    observation: ObservationSpec
    """What it must be given, a part of the task's; more is ignored."""
    probability: float
    """How sure it was of success at the last instant, 0 to 1; NaN where it does not say."""

    def reset(self) -> None:
        """An episode begins: what was seen before does not count."""
        ...

    def score(self, observation: Observation) -> Judgement:
        """Judge an instant; they come in the order of time."""
        ...
