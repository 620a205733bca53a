"""Time has one owner: a monotonic clock, handed in so that tests and simulators can be it."""

from __future__ import annotations

import time
from typing import Protocol

from robot_rl.core.errors import ConfigError

NS_PER_S = 1_000_000_000
_SAME_S = 1.0


class Clock(Protocol):
    """A monotonic clock in nanoseconds. A simulator's clock advances physics when slept on."""

    def now_ns(self) -> int:
        """Return the monotonic time [ns]."""
        ...

    def sleep_until_ns(self, deadline_ns: int) -> None:
        """Return once `now_ns() >= deadline_ns`; at once if that is already so."""
        ...


class MonotonicClock:
    """The machine's monotonic clock; wall-clock jumps do not touch it."""

    def now_ns(self) -> int:
        """Return `time.monotonic_ns()`."""
        return time.monotonic_ns()

    def sleep_until_ns(self, deadline_ns: int) -> None:
        """Sleep until the deadline [ns]."""
        while (left_ns := deadline_ns - time.monotonic_ns()) > 0:
            time.sleep(left_ns / NS_PER_S)


class ManualClock:
    """A clock for tests: it moves only when told to, or when slept on."""

    def __init__(self, start_ns: int = 0) -> None:
        self._now_ns = start_ns

    def now_ns(self) -> int:
        """Return the time that was set [ns]."""
        return self._now_ns

    def advance_s(self, seconds: float) -> None:
        """Move time forward by `seconds`."""
        self._now_ns += round(seconds * NS_PER_S)

    def sleep_until_ns(self, deadline_ns: int) -> None:
        """Jump to the deadline [ns]."""
        self._now_ns = max(self._now_ns, deadline_ns)


def is_machine_clock(clock: Clock) -> bool:
    """Whether it tells the machine's monotonic time: the world does not wait for the loop."""
    return _apart_s(clock) <= _SAME_S


def require_machine_clock(clock: Clock) -> None:
    """Refuse a time of its own where a person acts: what they do could not be dated.

    Raises:
        ConfigError: if it is not the machine's monotonic clock.
    """
    if not is_machine_clock(clock):
        raise ConfigError(
            f"the bench's clock and the machine's are {_apart_s(clock):.1f} s apart: a person "
            "needs a bench in real time; for a simulator, set `cell.bench.real_time: true`"
        )


def _apart_s(clock: Clock) -> float:
    return abs(clock.now_ns() - time.monotonic_ns()) / NS_PER_S
