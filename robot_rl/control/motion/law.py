"""From one command to the next within speed, acceleration and jerk, with a way to rest in hand.

At every tick there is a plan that brings the arm to rest from its last command and that was found
to keep every limit. A new command is taken only if a plan from it does so too; otherwise it is
bent towards the next command of the plan in hand, which is always allowed. So no limit is ever met
that cannot be kept (recursive feasibility).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from robot_rl.control.motion.bend import graver, is_bent
from robot_rl.control.motion.bound import Bounds
from robot_rl.control.motion.stop_plan import TOLERANCE, Part, StopPlan, plan_stop
from robot_rl.control.motion.view import View
from robot_rl.control.motion.wish import Wish
from robot_rl.core.types import GateReason

_HALVINGS = 12
_MEASURED = 3e-7
"""What a plan may seem to be too long by, for positions are measured in float32 [m or rad]."""


@dataclass(frozen=True, slots=True)
class Motion:
    """The last command, what it changed by, and the plan that brings it to rest.

    Args:
        step: float[d], SI units per period.
        change: float[d].
        plan: in hand.
        period: of the plan, that the command is.
    """

    step: list[float]
    change: list[float]
    plan: StopPlan
    period: int = 0

    def braked(self, periods: int = 1) -> Motion:
        """The motion after so many commands of its plan."""
        if periods == 0:
            return self
        period = self.period + periods
        step, before = self.plan.at(period), self.plan.at(period - 1)
        return Motion(step, _difference(step, before), self.plan, period)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A command that may follow, with what it is along the bounds' rows."""

    step: list[float]
    change: list[float]
    steps: list[float]
    changes: list[float]

    def towards(self, other: _Candidate, share: float) -> _Candidate:
        """What is a share of the way from this one to another."""
        return _Candidate(
            _between(self.step, other.step, share),
            _between(self.change, other.change, share),
            _between(self.steps, other.steps, share),
            _between(self.changes, other.changes, share),
        )


class MotionLaw:
    """The limits of one kind of command, part by part.

    Args:
        parts: cover the command, without the gripper.
        wish: shapes what is asked for.
    """

    def __init__(self, parts: Sequence[Part], wish: Wish) -> None:
        self._parts = tuple(parts)
        self._wish = wish
        self._size = self._parts[-1].end

    def rest(self) -> Motion:
        """The motion of an arm at rest."""
        still = [0.0] * self._size
        return Motion(still, still, plan_stop(still, still, self._parts))

    def brake(self, motion: Motion, view: View) -> tuple[Motion, GateReason]:
        """The next command of the plan in hand, cut to what the arm's position allows, and why.

        To cut is against acceleration and jerk. There is nothing to be cut as long as the arm is
        where its commands have taken it.
        """
        braked = motion.braked()
        if not any(braked.step):
            return braked, GateReason.PASSED
        step, reason = view.cut(braked.step)
        if not is_bent(step, braked.step, _MEASURED):
            return braked, GateReason.PASSED
        change = self._allowed(_difference(step, motion.step))
        shares = [s / b if b else 0.0 for s, b in zip(step, braked.step, strict=True)]
        if all(0.0 <= share <= 1.0 for share in shares):
            return Motion(step, change, braked.plan.shortened(shares), braked.period), reason
        # Nothing of the change is in the new plan: it could lead beyond the greatest speed.
        return Motion(step, change, plan_stop(step, [0.0] * self._size, self._parts)), reason

    def follow(self, motion: Motion, wish: list[float], view: View) -> tuple[Motion, GateReason]:
        """The motion that is nearest to a wish, and why it is not there.

        Args:
            motion: so far.
            wish: a command that keeps acceleration, speed and positions by itself.
            view: of the place where the arm is.
        """
        bounds = view.bounds()
        slowed, slow = self._wish.leave_room(wish, motion.step, bounds)
        jerked, jerk = self._wish.limit_jerk(slowed, motion.step, motion.change)
        reason = graver(slow, jerk)
        high = self._candidate(jerked, motion, bounds)
        plan, why = self._judge(high, motion, bounds)
        if why == GateReason.PASSED:
            return Motion(high.step, high.change, plan), reason
        braked, cut = self.brake(motion, view)
        if cut != GateReason.PASSED:
            return braked, graver(why, cut)
        low = self._candidate(braked.step, motion, bounds)
        return self._bisect(low, high, braked, motion, bounds), why

    def _allowed(self, change: list[float]) -> list[float]:
        """What goes on of a change after a cut: nothing of one that is itself beyond its limit."""
        for part in self._parts:
            if part.norm(change) > part.change:
                change[part.start : part.end] = [0.0] * (part.end - part.start)
        return change

    def _candidate(self, step: list[float], motion: Motion, bounds: Bounds) -> _Candidate:
        change = _difference(step, motion.step)
        return _Candidate(step, change, *bounds.components(step, change))

    def _judge(
        self, candidate: _Candidate, motion: Motion, bounds: Bounds
    ) -> tuple[StopPlan, GateReason]:
        """Return the candidate's plan, and why it cannot be taken; PASSED if it can."""
        plan = plan_stop(candidate.step, candidate.change, self._parts)
        rows = bounds.broken(plan, candidate.steps, candidate.changes)
        if rows:
            return plan, bounds.why[rows[0]]
        if bounds.too_fast(plan, candidate.steps, candidate.changes):
            return plan, GateReason.VELOCITY
        turn = _difference(candidate.change, motion.change)
        for part in self._parts:
            most = part.step * (1.0 + TOLERANCE)
            if part.norm(candidate.step) > most:
                return plan, GateReason.VELOCITY
            if (
                part.norm(plan.peak) > most
                or part.norm(candidate.change) > part.change * (1.0 + TOLERANCE)
                or part.norm(turn) > part.jerk * (1.0 + TOLERANCE)
            ):
                return plan, GateReason.JERK
        return plan, GateReason.PASSED

    def _bisect(
        self, low: _Candidate, high: _Candidate, best: Motion, motion: Motion, bounds: Bounds
    ) -> Motion:
        """Find what is nearest to `high` between what can be taken and what cannot."""
        fits, fails = 0.0, 1.0
        for _ in range(_HALVINGS):
            share = (fits + fails) / 2
            candidate = low.towards(high, share)
            plan, why = self._judge(candidate, motion, bounds)
            if why == GateReason.PASSED:
                fits, best = share, Motion(candidate.step, candidate.change, plan)
            else:
                fails = share
        return best


def _difference(a: Sequence[float], b: Sequence[float]) -> list[float]:
    return [x - y for x, y in zip(a, b, strict=True)]


def _between(a: Sequence[float], b: Sequence[float], share: float) -> list[float]:
    return [x + share * (y - x) for x, y in zip(a, b, strict=True)]
