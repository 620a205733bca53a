"""Checks of what holds for the cell as a whole: its clock and its gate."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from robot_rl.control.limits import SafetyLimits
from robot_rl.core.clock import NS_PER_S, Clock
from robot_rl.core.types import GateState
from robot_rl.session.preflight import Finding

_UNSYNCHRONISED = 5
_TIMEX_BYTES = 512


class LimitedGate(Protocol):
    """What of the safety gate is looked at."""

    @property
    def state(self) -> GateState:
        """RUN, HOLD, or a latched STOP or ESTOP."""
        ...

    @property
    def cause(self) -> str:
        """Why it is in that state."""
        ...

    @property
    def limits(self) -> SafetyLimits:
        """What it lets nothing exceed."""
        ...

    def estop(self, cause: str) -> None:
        """Latch ESTOP."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockCheck:
    """The bench's clock is the machine's, and runs.

    Args:
        bench: its clock.
        machine: the machine's monotonic clock.
        apart_s: what two readings of one clock may be apart.
        is_synchronised: whether somebody sets the wall clock, None if that is not known.
    """

    bench: Clock
    machine: Clock
    apart_s: float = 0.05
    is_synchronised: Callable[[], bool | None]
    name: str = "clock"

    def run(self) -> Finding:
        """See `Check`."""
        for _ in range(2):
            before_ns = self.machine.now_ns()
            bench_ns = self.bench.now_ns()
            after_ns = self.machine.now_ns()
            apart_s = max(before_ns - bench_ns, bench_ns - after_ns, 0) / NS_PER_S
            if apart_s > self.apart_s:
                return Finding(
                    good=False,
                    words=f"the bench's clock is {apart_s:.3g} s apart from the machine's",
                    remedy="a person needs a bench in real time; for a simulator, set "
                    "`cell.bench.real_time: true`",
                )
            self.machine.sleep_until_ns(after_ns + round(2 * self.apart_s * NS_PER_S))
        dates = {
            True: "the wall clock is synchronised",
            False: "nobody synchronises the wall clock, so dates of recordings may be off",
            None: "whether the wall clock is synchronised is not known",
        }
        words = f"the bench runs by the machine's clock; {dates[self.is_synchronised()]}"
        return Finding(good=True, words=words)


@dataclass(frozen=True, slots=True, kw_only=True)
class GateCheck:
    """The gate lets motion through, and enforces the limits in force.

    Args:
        gate: the cell's.
        limits: that are in force.
    """

    gate: LimitedGate
    limits: SafetyLimits
    name: str = "safety gate"

    def run(self) -> Finding:
        """See `Check`."""
        if self.gate.state >= GateState.STOP:
            return Finding(
                good=False,
                words=f"{self.gate.state.name}: {self.gate.cause}",
                remedy="look at the arm, then clear the stop in your name",
            )
        there, expected = self.gate.limits, self.limits
        for key in type(expected).model_fields:
            got, wanted = getattr(there, key), getattr(expected, key)
            if got != wanted:
                return Finding(
                    good=False,
                    words=f"the gate enforces other limits than the cell's: {key} is {got}, "
                    f"expected {wanted}",
                    remedy="start the gate with the cell's limits",
                )
        words = (
            f"{self.gate.state.name}; at most {there.max_tcp_speed_m_s:g} m/s and "
            f"{there.max_tcp_angular_speed_rad_s:g} rad/s, contact up to {there.max_force_n:g} N "
            f"and {there.max_torque_n_m:g} N m"
        )
        return Finding(good=True, words=words)


def wall_clock_is_synchronised() -> bool | None:
    """Whether somebody sets this machine's wall clock, as its kernel says; None if unknown."""
    try:
        ask = ctypes.CDLL(None).adjtimex
    except (AttributeError, OSError, TypeError):
        return None
    # All zeros asks and changes nothing.
    state = int(ask(ctypes.create_string_buffer(_TIMEX_BYTES)))
    return None if state < 0 else state != _UNSYNCHRONISED
