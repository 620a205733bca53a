"""Simulated time: sleeping on the clock is what advances physics.

So the very loop that drives a robot drives the simulation, and as fast as the machine allows.
"""

from __future__ import annotations

import time

from robot_rl.core.clock import NS_PER_S
from robot_rl_sim.backend import MujocoBackend

_PART_NS = NS_PER_S // 100


class SimClock:
    """The backend's time; `sleep_until_ns` steps physics up to the deadline."""

    def __init__(self, backend: MujocoBackend) -> None:
        self._backend = backend
        self._step_ns = round(backend.timestep_s * NS_PER_S)
        self._now_ns = 0

    def now_ns(self) -> int:
        """Simulated time since the bench was built [ns]; it goes on across episodes."""
        return self._now_ns

    def resume(self) -> None:
        """Nothing: no time passes here but what is slept."""

    def sleep_until_ns(self, deadline_ns: int) -> None:
        """Advance physics by whole steps until the deadline [ns] is reached."""
        substeps = -(-(deadline_ns - self._now_ns) // self._step_ns)
        if substeps > 0:
            self._backend.step(substeps)
            self._now_ns += substeps * self._step_ns


class RealTimeSimClock:
    """The machine's monotonic clock, with physics kept in step: for people, and lateness.

    Here the world does not wait for a slow policy, just as a robot does not. Physics goes along
    with time, 10 ms at once, so that whoever looks meanwhile sees motion and not jumps; what is
    computed is bit by bit what one step per sleep would give.
    """

    def __init__(self, backend: MujocoBackend) -> None:
        self._backend = backend
        self._step_ns = round(backend.timestep_s * NS_PER_S)
        self._physics_ns = time.monotonic_ns()

    def now_ns(self) -> int:
        """Monotonic time of the machine [ns]."""
        return time.monotonic_ns()

    def resume(self) -> None:
        """Let physics go on from now: what a reset took is not made up for."""
        self._physics_ns = time.monotonic_ns()

    def sleep_until_ns(self, deadline_ns: int) -> None:
        """Step physics up to the deadline [ns] while time passes, and wait for it."""
        left = (deadline_ns - self._physics_ns) // self._step_ns
        step = self._backend.step
        while left > 0:
            _wait_until_ns(self._physics_ns)
            # Ahead of time by a part, so that the last one is done well before the deadline.
            due = time.monotonic_ns() + _PART_NS - self._physics_ns
            substeps = min(left, max(1, due // self._step_ns))
            step(substeps)
            self._physics_ns += substeps * self._step_ns
            left -= substeps
            step = self._backend.step_on
        _wait_until_ns(deadline_ns)


def _wait_until_ns(deadline_ns: int) -> None:
    while (left_ns := deadline_ns - time.monotonic_ns()) > 0:
        time.sleep(left_ns / NS_PER_S)
