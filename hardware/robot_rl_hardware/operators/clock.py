"""The clock by which a device in a person's hand stamps what it reports."""

from __future__ import annotations

from robot_rl.core.clock import Clock, MonotonicClock, require_machine_clock
from robot_rl.core.protocol import Clocked


def machine_clock(at: Clocked | None) -> Clock:
    """Return the clock of what the device is at, or without that this machine's monotonic one.

    Raises:
        ConfigError: if it is not the machine's time: a person's hand keeps no other.
    """
    if at is None:
        return MonotonicClock()
    require_machine_clock(at.clock)
    return at.clock
