"""The simulated FR3 runs into things on purpose, through the gate, and what they feel.

The arm of the peg insertion goes for the table, for the fixture from above and from beside, and
for a person's hand that lies on the table (ISO/TS 15066, table A.3: 0.6 kg, 75 N/mm), with the
greatest command that the cell lets through, and goes on pushing for a second. The force is that
of all contacts together, in every physics step.

**What bounds it.** While it pushes, the impedance law's target is at most one period's way v T
beyond the pose measured at the last tick: v is the speed limit, and T the time after which the
gate can react, the period. So the law never pushes with more than P = k v T. What hits the
obstacle is the mass m that moves with the tool, at the speed u, on something of stiffness c (the
peg's rubber grasp, or the hand). Until the force has its peak F, the law has at most done the work
P F/c, which with the motion's energy is in that spring by then:

    F^2 / (2 c) = m u^2 / 2 + P F / c    =>    F = P + sqrt(P^2 + c m u^2)

which is what `bound_n` says. It is at most 2 P + u sqrt(c m), and where P is below the force limit
(20 N below 30 N at the peg insertion's stiffness), below

    force limit + k v T + u sqrt(c m).

The last term is the impact. It is over in a few hundredths of a second, before any gate ticks
again: speed, mass and softness bound it, and nothing else does.
"""

# mujoco ships its core without type stubs.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import mujoco
import numpy as np
from contact_scene import CONTACT_N_M, PERIOD_S, Approach, ApproachConfig, Obstacle

from robot_rl.app.run_config import CellConfig
from robot_rl.app.station import Station
from robot_rl.config.model import Component, Config
from robot_rl.core.clock import NS_PER_S, Clock
from robot_rl.core.types import GateState
from robot_rl_sim.backend import MujocoBackend
from robot_rl_sim.bench import SimBench

SOFT = (800.0, 30.0)
"""Stiffness of the peg insertion's impedance law [N/m, N m/rad]."""
STIFF = (4000.0, 60.0)
"""So stiff that the tool comes up to the speed limit, where the soft one lags far behind."""
PUSH_S = 1.0


class WatchedBenchConfig(Config):
    """A simulated bench on a clock that watches."""

    def build(self, task: Component) -> WatchedBench:
        """Set it up for the task."""
        return WatchedBench(task.build())


class WatchedBench(SimBench):
    """See its config."""

    def __init__(self, task: Approach) -> None:
        super().__init__(task)
        self.watch = WatchingClock(self.clock, self.backend)
        self.clock = self.watch


class WatchingClock:
    """Simulated time; before it passes, a copy of the simulation tells what will be felt.

    The copy is bit by bit what comes, as physics repeats. Recorded, in every step: `force_n` of
    all contacts of the arm together, the tool's `speed_m_s`, and the kinetic `energy_j`.
    """

    def __init__(self, clock: Clock, backend: MujocoBackend) -> None:
        self._clock = clock
        self._backend = backend
        self._links = backend.model.body_rootid == backend.model.body("link0").id
        self.clear()

    def clear(self) -> None:
        """Forget what was recorded."""
        self.force_n: list[float] = []
        self.speed_m_s: list[float] = []
        self.energy_j: list[float] = []

    @property
    def touched_s(self) -> float:
        """Since the first touch; 0 without one."""
        touch = next((i for i, force in enumerate(self.force_n) if force), len(self.force_n))
        return self._backend.timestep_s * (len(self.force_n) - touch)

    def now_ns(self) -> int:
        """See `Clock`."""
        return self._clock.now_ns()

    def resume(self) -> None:
        """Let time go on after a reset."""

    def sleep_until_ns(self, deadline_ns: int) -> None:
        """See `Clock`."""
        model = self._backend.model
        step_ns = round(self._backend.timestep_s * NS_PER_S)
        ahead = self._backend.data(0)
        for _ in range(-(-(deadline_ns - self.now_ns()) // step_ns)):
            mujoco.mj_step(model, ahead)
            self.force_n.append(self._contact_n(ahead))
            self.speed_m_s.append(math.hypot(*ahead.sensor("tcp_linvel").data))
            self.energy_j.append(kinetic_energy_j(model, ahead))
        self._clock.sleep_until_ns(deadline_ns)

    def _contact_n(self, data: mujoco.MjData) -> float:
        """Force of all contacts of the arm with the scene together."""
        total, wrench = np.zeros(3), np.zeros(6)
        for i in range(data.ncon):
            contact = data.contact[i]
            first, second = self._links[self._backend.model.geom_bodyid[contact.geom]]
            mujoco.mj_contactForce(self._backend.model, data, i, wrench)
            # A contact's frame has its axes as rows; its force is what the second geom feels.
            total += (int(second) - int(first)) * (contact.frame.reshape(3, 3).T @ wrench[:3])
        return math.hypot(*total)


def kinetic_energy_j(model: mujoco.MjModel, data: mujoco.MjData) -> float:
    """Of all that moves, rotors included."""
    momentum = np.zeros(model.nv)
    mujoco.mj_mulM(model, data, momentum, data.qvel)
    return 0.5 * float(data.qvel @ momentum)


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """What one approach came to.

    Args:
        peak_n: greatest force on the obstacle.
        pressed_n: its mean over the last half second.
        speed_m_s: the tool's when most energy was in the motion, before the peak.
        mass_kg: that, at this speed, has this energy.
        bound_n: see the module's text.
        bound_at_limit_n: the same, had the tool come up to the speed limit.
        stopped: the gate latched STOP.
    """

    peak_n: float
    pressed_n: float
    speed_m_s: float
    mass_kg: float
    bound_n: float
    bound_at_limit_n: float
    stopped: bool


class Ramming:
    """Runs into one kind of obstacle, again and again.

    Args:
        cell: whose gate is in the way.
        obstacle: what to hit.
        stiffness: of the impedance law, translation [N/m] and rotation [N m/rad].
    """

    def __init__(
        self, cell: CellConfig, obstacle: Obstacle, stiffness: tuple[float, float] = SOFT
    ) -> None:
        self._config = ApproachConfig(obstacle=obstacle, limits=cell.limits, stiffness=stiffness)
        watched = cell.model_copy(update={"bench": WatchedBenchConfig()})
        station = Station.open(watched, self._config)
        self._env, self._bench = station.env, cast(WatchedBench, station.bench)

    def run(self, seed: int) -> Impact:
        """Run into it once and push on.

        Raises:
            RuntimeError: if nothing was hit.
        """
        env, watch = self._env, self._bench.watch
        direction = self._bench.sim_task.aim(np.random.default_rng(seed)).direction
        env.reset(seed)
        watch.clear()
        action = np.concatenate([direction, np.zeros(3)]).astype(np.float32)
        truncated = False
        while not truncated and watch.touched_s < PUSH_S:
            truncated = env.step(action).truncated
        stopped = env.gate.state >= GateState.STOP
        if stopped:
            env.gate.clear("the bench")
        if not any(watch.force_n):
            raise RuntimeError(f"{self._config.obstacle}, seed {seed}: nothing was hit")
        return self._impact(watch, stopped)

    def _impact(self, watch: WatchingClock, stopped: bool) -> Impact:
        peak = int(np.argmax(watch.force_n))
        fastest = int(np.argmax(watch.energy_j[: peak + 1]))
        speed_m_s = watch.speed_m_s[fastest]
        mass_kg = 2.0 * watch.energy_j[fastest] / speed_m_s**2
        half_second = round(0.5 / self._bench.backend.timestep_s)
        limits = self._config.limits
        return Impact(
            peak_n=watch.force_n[peak],
            pressed_n=float(np.mean(watch.force_n[-half_second:])),
            speed_m_s=speed_m_s,
            mass_kg=mass_kg,
            bound_n=self._bound_n(speed_m_s, mass_kg),
            bound_at_limit_n=self._bound_n(limits.max_tcp_speed_m_s, mass_kg),
            stopped=stopped,
        )

    def _bound_n(self, speed_m_s: float, mass_kg: float) -> float:
        config = self._config
        push_n = config.stiffness[0] * config.limits.max_tcp_speed_m_s * PERIOD_S
        impact_n = speed_m_s * math.sqrt(CONTACT_N_M[config.obstacle] * mass_kg)
        return push_n + math.hypot(push_n, impact_n)
