"""The closed loop around one bench. Everything that drives the robot drives it through here."""

from __future__ import annotations

import logging

import numpy as np

from robot_rl.control.rate import Rate
from robot_rl.control.safety import SafetyGate
from robot_rl.core.errors import ContractError, GateStopError
from robot_rl.core.protocol import Bench
from robot_rl.core.types import (
    GateState,
    Observation,
    Outcome,
    SafeAction,
    StepResult,
    Vector,
)
from robot_rl.sensing.synchroniser import Synchroniser

_LOG = logging.getLogger(__name__)


class RobotEnv:
    """One control period a step, on a simulated or a real bench alike (implements `Env`).

    Order inside a step: gate, command, wait for the period, observe, judge. The observation is
    thus taken after the action had its period. A time-out is a truncation; so is a stop that the
    gate has latched, for only the scene may call an episode failed.

    Args:
        bench: connected and ready.
        gate: for the bench's action space, on the bench's clock.

    Raises:
        ContractError: if bench, task and gate do not speak of the same action space.
    """

    def __init__(self, bench: Bench, gate: SafetyGate) -> None:
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
        self._rate = Rate(bench.clock, task.action.period_s)
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
        self._steps = 0
        self._rate.start()
        self._observation = self._observe()
        return self._observation

    def step(self, action: Vector) -> StepResult:
        """Execute one normalised action float32[d] through the gate for one control period.

        Raises:
            ContractError: if there is no episode to step in.
            HardwareError: if a device fails; the robot has been told to stop.
        """
        if self._observation is None:
            raise ContractError("step without a running episode: call reset first")
        try:
            return self._step(action, self._observation)
        except BaseException:
            _LOG.exception("the step failed; stopping the robot")
            self._observation = None
            self._bench.robot.stop()
            raise

    def _step(self, action: Vector, before: Observation) -> StepResult:
        safe = self.gate.check(action, before, self._bench.clock.now_ns())
        self._bench.robot.command(safe)
        self._stop_if_latched()
        lateness_s = self._rate.wait()
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
            lateness_s=lateness_s,
        )

    def _stop_if_latched(self) -> bool:
        latched = self.gate.state >= GateState.STOP
        if latched:
            self._bench.robot.stop()
        return latched

    def _observe(self) -> Observation:
        robot = self._bench.robot
        samples = {robot.spec.name: robot.read()}
        samples |= {sensor.name: sensor.latest() for sensor in self._bench.sensors}
        return self._synchroniser.align(samples, self._bench.clock.now_ns())

    def _executed(self, safe: SafeAction, asked: Vector) -> Vector:
        # The way to SI and back rounds; an action that passed is recorded as it was asked for.
        if not safe.changed:
            return asked.copy()
        return np.clip(self.action_spec.from_si(safe.values), -1.0, 1.0)
