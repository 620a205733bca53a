"""When the gate ticks: on a fixed period, whose phase follows what arrives just before.

As in `control.rate`, no instant is made up for; but whoever ticks is woken by a timer instead of
sleeping here, and the schedule is moved little by little until a tick comes soon after the robot
was heard. A robot that is heard once per period is then answered at once, not half a period later.
"""

from __future__ import annotations

from robot_rl.control.rate import Tick
from robot_rl.core.clock import NS_PER_S, Clock

_GAIN = 0.2
_MOST = 0.02
"""Of the error, and of the period, by which one period may be longer or shorter."""


class Schedule:
    """Instants `period_s` apart.

    Args:
        clock: monotonic.
        period_s: between two ticks.
        lead_s: how long after an arrival a tick is to come.

    Attributes:
        due_ns: the next instant.
    """

    def __init__(self, clock: Clock, period_s: float, lead_s: float = 0.001) -> None:
        self._clock = clock
        self._period_ns = round(period_s * NS_PER_S)
        self._lead_ns = round(lead_s * NS_PER_S)
        self._arrived_ns: int | None = None
        self.start()

    def start(self) -> None:
        """Let the schedule begin now."""
        self.due_ns = self._clock.now_ns() + self._period_ns
        self._first_ns = self.due_ns
        self._missed = 0

    def arrived(self) -> None:
        """What a tick is to follow has come."""
        self._arrived_ns = self._clock.now_ns()

    @property
    def wait_ns(self) -> int:
        """Until the next instant; at least 1."""
        return max(1, self.due_ns - self._clock.now_ns())

    def wake(self) -> Tick | None:
        """Take the next instant; None if it is so late that the one after is better.

        That happens once in a row: where everything is late, a late tick is better than none.
        """
        now_ns = self._clock.now_ns()
        passed = max(0, now_ns - self.due_ns) // self._period_ns
        instant_ns = self.due_ns + passed * self._period_ns
        missed = self._missed + passed
        if not self._missed and now_ns - instant_ns > self._period_ns // 2:
            self._missed = missed + 1
            self.due_ns = instant_ns + self._period_ns
            return None
        late_s = max(0, now_ns - self._first_ns) / NS_PER_S
        self.due_ns = instant_ns + self._period_ns + self._shift_ns(instant_ns)
        self._first_ns, self._missed = self.due_ns, 0
        return Tick(lateness_s=late_s, missed=missed)

    def _shift_ns(self, instant_ns: int) -> int:
        """By how much to move the next instant towards the arrivals."""
        if self._arrived_ns is None or instant_ns - self._arrived_ns > 3 * self._period_ns:
            return 0
        half = self._period_ns // 2
        error_ns = (instant_ns - self._arrived_ns - self._lead_ns + half) % self._period_ns - half
        most = round(_MOST * self._period_ns)
        return -min(most, max(-most, round(_GAIN * error_ns)))
