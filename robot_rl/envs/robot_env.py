"""The closed loop around one bench. Everything that drives the robot drives it through here."""

from __future__ import annotations

import logging

import numpy as np

from robot_rl.control.rate import Rate
from robot_rl.control.safety import SafetyGate
from robot_rl.core.errors import ContractError, GateStopError
from robot_rl.core.protocol import Bench
from robot_rl.core.types import (
    Command,
    GateReason,
    GateState,
    Lease,
    Observation,
    Outcome,
    SafeAction,
    Source,
    StepResult,
    Vector,
)
from robot_rl.sensing.monitor import Samples, StreamMonitor
from robot_rl.sensing.synchroniser import Synchroniser

_LOG = logging.getLogger(__name__)

_SOURCES = (Source.POLICY, Source.HUMAN, Source.DEMO, Source.HOLD)
"""Who may decide a step of an episode."""


class RobotEnv:
    """One control period a step, on a simulated or a real bench alike (implements `Env`).

    Order inside a step: gate, command, wait for the period, observe, judge. The observation is
    thus taken after the action had its period. A time-out is a truncation; so is a stop that the
    gate has latched, for only the scene may call an episode failed.

    Args:
        bench: connected and ready.
        gate: for the bench's action space, on the bench's clock.
        monitor: watches the bench's streams for faults that their ages do not show; None if
            nothing does.

    Raises:
        ContractError: if bench, task and gate do not speak of the same action space.
    """

    def __init__(
        self, bench: Bench, gate: SafetyGate, monitor: StreamMonitor | None = None
    ) -> None:
        task = bench.task
        for name, action in (("robot", bench.robot.spec.action), ("gate", gate.action)):
            if action != task.action:
                raise ContractError(f"the {name}'s action is {action}, the task's {task.action}")
        self.observation_spec = task.observation
        self.action_spec = task.action
        self.horizon = task.horizon
        self.gate = gate
        self._bench = bench
        self._synchroniser = Synchroniser(task.observation, task.instruction)
        self._monitor = monitor
        self._rate = Rate(bench.clock, task.action.period_s)
        self._lease = Lease(epoch=0, sources=frozenset())
        self._commands = 0
        self._steps = 0
        self._observation: Observation | None = None

    @property
    def missed(self) -> int:
        """Control periods missed so far."""
        return self._rate.missed

    def reset(self, seed: int) -> Observation:
        """Start the episode that `seed` stands for.

        Raises:
            GateStopError: if the gate has latched STOP; nothing moves then.
        """
        if self.gate.state >= GateState.STOP:
            raise GateStopError(
                f"the gate has latched {self.gate.state.name}: {self.gate.cause}; "
                "look at the arm, then clear the gate in your name"
            )
        self._observation = None
        self._bench.scene.reset(seed)
        self.gate.reset()
        self._lease = self.gate.grant(*_SOURCES)
        if self._monitor:
            self._monitor.reset()
        self._steps = 0
        self._rate.start()
        self._observation = self._observe()
        return self._observation

    def step(self, action: Vector, source: Source = Source.POLICY) -> StepResult:
        """Execute one normalised action float32[d] through the gate for one control period.

        Args:
            action: what is asked for.
            source: who decided it.

        Raises:
            ContractError: if there is no episode to step in.
            HardwareError: if a device fails; the robot has been told to stop.
        """
        if self._observation is None:
            raise ContractError("step without a running episode: call reset first")
        try:
            return self._step(action, source, self._observation)
        except BaseException:
            _LOG.exception("the step failed; stopping the robot")
            self._observation = None
            self._bench.robot.stop()
            raise

    def end(self) -> None:
        """See `Env.end`."""
        self._observation = None

    def _step(self, action: Vector, source: Source, before: Observation) -> StepResult:
        self._commands += 1
        command = Command(
            action=action,
            issued_ns=self._bench.clock.now_ns(),
            source=source,
            epoch=self._lease.epoch,
            sequence=self._commands,
        )
        safe = self.gate.check(command, before)
        self._bench.robot.command(safe)
        self._stop_if_latched()
        tick = self._rate.wait()
        self._hold_after_overrun(tick.missed)
        stopped = self._stop_if_latched()
        observation = self._observe()
        judgement = self._bench.scene.judge()
        self._steps += 1
        terminated = judgement.outcome != Outcome.UNKNOWN
        truncated = not terminated and (stopped or self._steps >= self.horizon)
        self._observation = None if terminated or truncated else observation
        return StepResult(
            observation=observation,
            executed_action=self._executed(safe, action),
            reward=judgement.reward,
            terminated=terminated,
            truncated=truncated,
            outcome=judgement.outcome,
            gate_reason=safe.reason,
            gate_state=self.gate.state,
            lateness_s=tick.lateness_s,
        )

    def _stop_if_latched(self) -> bool:
        latched = self.gate.state >= GateState.STOP
        if latched:
            self._bench.robot.stop()
        return latched

    def _hold_after_overrun(self, missed: int) -> None:
        most = self.gate.limits.max_late_ticks
        if missed > most:
            self.gate.hold(GateReason.OVERRUN, f"{missed} periods missed at once, limit {most}")

    def _observe(self) -> Observation:
        robot = self._bench.robot
        samples: Samples = {robot.spec.name: robot.read()} | {
            sensor.name: sensor.latest() for sensor in self._bench.sensors
        }
        now_ns = self._bench.clock.now_ns()
        if self._monitor:
            watched = self._monitor.watch(samples, now_ns)
            samples = watched.samples
            if watched.refusal:
                self.gate.hold(*watched.refusal)
        return self._synchroniser.align(samples, now_ns)

    def _executed(self, safe: SafeAction, asked: Vector) -> Vector:
        # The way to SI and back rounds; an action that passed is recorded as it was asked for.
        if not safe.changed:
            return asked.copy()
        return np.clip(self.action_spec.from_si(safe.values), -1.0, 1.0)
