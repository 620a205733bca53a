"""A beat for devices that are made up, or played from a file."""

from __future__ import annotations

import time


class Pace:
    """Waits for the next instant of an absolute schedule.

    Args:
        period_s: between two instants.
    """

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._due_s = 0.0

    def begin(self) -> None:
        """The first instant is now."""
        self._due_s = time.monotonic()

    def wait(self) -> None:
        """Wait for the next instant; those that were missed are skipped."""
        late_s = time.monotonic() - self._due_s
        self._due_s += self._period_s * max(1, int(late_s / self._period_s))
        if (left_s := self._due_s - time.monotonic()) > 0.0:
            time.sleep(left_s)
