"""Plans that may still be played, and what they say together. No clock, no planner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from robot_rl.core.clock import NS_PER_S
from robot_rl.core.types import Vector


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When a plan was asked for.

    Args:
        stamp_ns: of the observation that it was to be made from.
        ticks: of the episode, until then.
        played: actions played in these ticks.
    """

    stamp_ns: int
    ticks: int
    played: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LivePlan:
    """A plan, and the moment that its first action was meant for.

    Args:
        values: float32[h, d].
        since: when it was asked for.
    """

    values: Vector
    since: Moment

    def ahead(self, played: int) -> Vector:
        """What is left, float32[p, d], once `played` actions of the episode have been played."""
        return self.values[played - self.since.played :]

    def is_playable(self, played: int, now_ns: int, max_age_s: float) -> bool:
        """Whether an action is left, and the observation not older than `max_age_s`.

        A stamp from the future, of which only a wrong clock knows, is as bad as an old one.
        """
        age_ns = abs(now_ns - self.since.stamp_ns)
        return len(self.ahead(played)) > 0 and age_ns <= max_age_s * NS_PER_S


def ensemble(actions: Sequence[Vector], decay: float) -> Vector:
    """Return the average float32[d] of what several plans say of one instant.

    The weight of the i-th oldest is exp(-decay i), i from 0: ACT's temporal ensembling, Zhao et
    al. 2023, arXiv 2304.13705, section IV-A.

    Args:
        actions: float32[d] each, that of the oldest plan first.
        decay: how fast new plans are believed; 0 believes all alike.
    """
    weights = np.exp(-decay * np.arange(len(actions)))
    return np.average(np.stack(actions), axis=0, weights=weights).astype(np.float32)
