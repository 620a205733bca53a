"""Keeps the control period on an absolute schedule. Knows nothing of what happens in a period."""

from __future__ import annotations

from robot_rl.core.clock import NS_PER_S, Clock


class Rate:
    """Wakes at `start + k * period_s`, never in between.

    A tick that overruns wakes at the next instant of the schedule: the periods in between are
    counted in `missed` and skipped, so that there is never a burst of shortened ticks, and an
    action is never followed at once by an observation.
    """

    def __init__(self, clock: Clock, period_s: float) -> None:
        self._clock = clock
        self._period_ns = period_s * NS_PER_S
        self.missed = 0
        self.start()

    def start(self) -> None:
        """Let the schedule begin now; `missed` goes on counting."""
        self._origin_ns = self._clock.now_ns()
        self._tick = 0

    def wait(self) -> float:
        """Sleep until the next instant of the schedule.

        Returns:
            How late the tick woke against the instant it was due at [s]; missed periods count
            in full.
        """
        due_ns = self._instant_ns(self._tick + 1)
        late_ns = self._clock.now_ns() - due_ns
        skipped = max(0, -int(-late_ns // self._period_ns))
        self.missed += skipped
        self._tick += 1 + skipped
        self._clock.sleep_until_ns(self._instant_ns(self._tick))
        return max(0, self._clock.now_ns() - due_ns) / NS_PER_S

    def _instant_ns(self, tick: int) -> int:
        return self._origin_ns + round(tick * self._period_ns)
