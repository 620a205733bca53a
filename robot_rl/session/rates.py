"""How often the policy succeeds, alone and with help, and how often a person has to help."""

from __future__ import annotations

from collections.abc import Sequence

from robot_rl.runtime.statistics import wilson_interval
from robot_rl.session.history import Trial
from robot_rl.session.view import RatesPoint

WINDOW = 20
"""Episodes that a rate is taken over; fewer at the beginning."""
MOST_POINTS = 200


def rates_of(trials: Sequence[Trial]) -> tuple[RatesPoint, ...]:
    """Return the rates up to each of the newest trials, oldest first.

    Each is a share of the episodes in the window: those that succeeded without a person, those
    that succeeded with one, and those in which a person drove at all. The first two add up to all
    successes.
    """
    first = max(0, len(trials) - MOST_POINTS)
    return tuple(_point(trials, end) for end in range(first + 1, len(trials) + 1))


def share(count: int, of: int) -> tuple[float, float, float]:
    """Return a rate and its 95 % interval (Wilson 1927); 0 in (0, 1) of nothing."""
    low, high = wilson_interval(count, of)
    return (count / of if of else 0.0), low, high


def _point(trials: Sequence[Trial], end: int) -> RatesPoint:
    window = trials[max(0, end - WINDOW) : end]
    return RatesPoint(
        episode=end,
        autonomous=share(sum(t.success and not t.assisted for t in window), len(window)),
        assisted=share(sum(t.success and t.assisted for t in window), len(window)),
        intervention=share(sum(t.assisted for t in window), len(window)),
    )
