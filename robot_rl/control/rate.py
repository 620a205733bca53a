"""Keeps the control period on an absolute schedule. Knows nothing of what happens in a period."""

from __future__ import annotations

from dataclasses import dataclass

from robot_rl.core.clock import NS_PER_S, Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """How one wait ended.

    Args:
        lateness_s: how late the loop woke against the instant it was due at [s]; missed periods
            count in full.
        missed: instants of the schedule that passed unused in this wait.
    """

    lateness_s: float
    missed: int


class Rate:
    """Wakes at `start + k * period_s`, never in between.

    A tick that overruns wakes at the next instant of the schedule: the periods in between are
    counted in `missed` and skipped, so that there is never a burst of shortened ticks, and an
    action is never followed at once by an observation. A sleep that itself ends more than half a
    period late is an overrun too, and is followed by one to the next instant. So two ticks are
    whole periods apart, give or take how late each of them woke, and `ticks + missed` is the
    number of the instant that was last waited for.

    The clock is monotonic: what is done to the wall clock changes nothing here.
    """

    def __init__(self, clock: Clock, period_s: float) -> None:
        self._clock = clock
        self._period_ns = period_s * NS_PER_S
        self.missed = 0
        self.start()

    def start(self) -> None:
        """Let the schedule begin now; `missed` goes on counting."""
        self._origin_ns = self._clock.now_ns()
        self._instant = 0

    def wait(self) -> Tick:
        """Sleep until the next instant of the schedule, and say how that went."""
        due = self._instant + 1
        now_ns = self._sleep_until(max(due, self._next(self._clock.now_ns())))
        # Once and no more: where every sleep is late, a late tick is better than none.
        if now_ns - self._ns(self._instant) > self._period_ns / 2:
            now_ns = self._sleep_until(self._next(now_ns))
        missed = self._instant - due
        self.missed += missed
        return Tick(lateness_s=max(0, now_ns - self._ns(due)) / NS_PER_S, missed=missed)

    def _sleep_until(self, instant: int) -> int:
        self._instant = instant
        self._clock.sleep_until_ns(self._ns(instant))
        return self._clock.now_ns()

    def _next(self, now_ns: int) -> int:
        """The first instant of the schedule that is not over."""
        instant = int((now_ns - self._origin_ns) // self._period_ns)
        # Where the period is no whole nanosecond, the instants are rounded.
        return instant if self._ns(instant) >= now_ns else instant + 1

    def _ns(self, instant: int) -> int:
        return self._origin_ns + round(instant * self._period_ns)
