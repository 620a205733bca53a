"""Simulated time: sleeping on the clock is what advances physics.

So the very loop that drives a robot drives the simulation, and as fast as the machine allows.
"""

from __future__ import annotations

import time

from robot_rl.core.clock import NS_PER_S
from robot_rl_sim.backend import MujocoBackend


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
    """The machine's monotonic clock, with physics kept in step: for measuring lateness.

    Here the world does not wait for a slow policy, just as a robot does not.
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
        """Step physics up to the deadline [ns], then wait for it."""
        substeps = (deadline_ns - self._physics_ns) // self._step_ns
        if substeps > 0:
            self._backend.step(substeps)
            self._physics_ns += substeps * self._step_ns
        while (left_ns := deadline_ns - time.monotonic_ns()) > 0:
            time.sleep(left_ns / NS_PER_S)
