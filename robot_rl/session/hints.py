"""How to correct better, in plain sentences: what people learn late when nobody tells them."""

from __future__ import annotations

from collections.abc import Sequence

from robot_rl.session.history import Trial

MOST = 3
LONG_SHARE = 0.4
LONG_S = 10.0
"""A rescue that is longer than this, or than that share of its episode, is too long."""
SHORT_S = 2.0
"""One of at most this is not, however short its episode was."""
LATE_SHARE = 0.8
"""A first intervention behind this share of its episode comes late."""
TAPER_OVER = 10
"""Episodes that are compared with as many before them."""


def hints_of(trials: Sequence[Trial], period_s: float) -> tuple[str, ...]:
    """Return what to do better after these trials, the most urgent first.

    Args:
        trials: recorded and not discarded, oldest first.
        period_s: of one step.
    """
    found = (
        _alone(trials),
        _late(trials),
        _long(trials, period_s),
        _taper(trials),
    )
    return tuple(hint for hint in found if hint)[:MOST]


def _alone(trials: Sequence[Trial]) -> str:
    last = trials[-2:]
    if len(last) < 2 or any(t.success or t.assisted for t in last):
        return ""
    return "Two failures without help in a row: step in earlier, as soon as it goes astray."


def _late(trials: Sequence[Trial]) -> str:
    if not trials or trials[-1].first_human_step is None:
        return ""
    if trials[-1].first_human_step < LATE_SHARE * trials[-1].steps:
        return ""
    return "You stepped in at the very end: step in earlier, where the mistake begins."


def _long(trials: Sequence[Trial], period_s: float) -> str:
    rescue = (trials[-1].rescue_steps if trials else None) or 0
    rescue_s = rescue * period_s
    if not trials or rescue_s <= SHORT_S:
        return ""
    if rescue <= LONG_SHARE * trials[-1].steps and rescue_s <= LONG_S:
        return ""
    return (
        f"You drove for {rescue_s:.0f} s at a stretch: correct briefly, then give the "
        "arm back and let the policy try."
    )


def _taper(trials: Sequence[Trial]) -> str:
    if len(trials) < 2 * TAPER_OVER:
        return ""
    before, now = trials[-2 * TAPER_OVER : -TAPER_OVER], trials[-TAPER_OVER:]
    alone = [sum(t.success and not t.assisted for t in part) for part in (before, now)]
    helped = [sum(t.assisted for t in part) for part in (before, now)]
    if helped[1] == 0 or helped[1] < helped[0] or alone[1] <= alone[0]:
        return ""
    return "The policy does better alone: help less often, and let it finish."
