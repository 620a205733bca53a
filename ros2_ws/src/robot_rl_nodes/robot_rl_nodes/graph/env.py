"""The closed loop over a live graph: the gate, the robot and the sensors are other processes.

What `envs.robot_env` does itself is here asked of others: an action is offered, and what became
of it is read off what the gate says. No rclpy: the graph is behind a `GraphPort`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from robot_rl.control.rate import Rate
from robot_rl.core.clock import NS_PER_S
from robot_rl.core.errors import ContractError, GateStopError, HardwareError
from robot_rl.core.protocol import Judgement, OperatorInput
from robot_rl.core.spec import TaskSpec
from robot_rl.core.types import (
    GateReason,
    GateState,
    Observation,
    Outcome,
    Source,
    StepResult,
    Vector,
)
from robot_rl.sensing.monitor import StreamMonitor
from robot_rl_nodes.graph.contract import GraphPort, Moment, Patience, PersonPort
from robot_rl_nodes.graph.period import PERSONS, GateTick, Period, period_of
from robot_rl_nodes.graph.readiness import Readiness
from robot_rl_nodes.graph.view import GraphView

_LOG = logging.getLogger(__name__)

_RESTS = (GateState.RUN, GateReason.NOT_RUNNING)
"""The gate keeps an action on offer waiting, and nothing is wrong: it waits for a person."""


class GraphEnv:
    """One control period a step, on a live graph (implements `Env`).

    An action is offered to the gate for one period. Those of a person are offered from the
    person's seat if they sit at the run itself; else they reach the gate by themselves, and what
    was executed tells. While a stream is missing or too old nothing of the policy is offered, and
    the gate holds by itself. No episode goes on while whoever sits at the run cannot reach the
    gate.

    Robot and task are at their start when `reset` is called: that is the episode manager's work.

    Args:
        task: what is observed and how is acted.
        port: to the graph.
        monitor: watches the streams for faults that their ages do not show.
        patience: how long is waited.
        person: who sits at the run itself, if anybody does.

    Attributes:
        period: what the gate did in the last step; None before the first.
        outcome: of the last step.
    """

    def __init__(
        self,
        task: TaskSpec,
        port: GraphPort,
        monitor: StreamMonitor | None = None,
        patience: Patience | None = None,
        person: PersonPort | None = None,
    ) -> None:
        self.observation_spec = task.observation
        self.action_spec = task.action
        self.horizon = task.horizon
        self.period: Period | None = None
        self.outcome = Outcome.UNKNOWN
        self._port = port
        self._patience = patience or Patience()
        self._person = person
        self._view = GraphView(task, port, monitor, self._patience.max_age_s)
        self._readiness = Readiness(port, self._view, self._patience, person)
        self._rate = Rate(port.clock, task.action.period_s)
        self._gripper = task.action.names[-1] == "gripper"
        self._newest: GateTick | None = None
        self._begun_ns = 0
        self._steps = 0
        self._running = False

    @property
    def person_drives(self) -> bool:
        """Whether a person drove in the gate's newest tick."""
        return self._newest is not None and self._newest.source in PERSONS

    @property
    def trouble(self) -> str:
        """Why nothing is offered, in words; empty if all is well or no episode runs."""
        if not self._running:
            return ""
        return "; ".join(filter(None, (self._view.trouble, *self._readiness.lost_seats)))

    def moment(self, observation: Observation) -> Moment:
        """Where one of the last two observations comes from."""
        return self._view.moment(observation)

    def reset(self, seed: int) -> Observation:
        """Start an episode: wait for fresh samples of all streams, and take the actor's seat.

        Raises:
            GateStopError: if the gate has latched STOP.
            ContractError: if the gate plays other actions than the task's.
            HardwareError: if a stream, the gate or a seat was not there in time, or the episode
                was called off meanwhile.
        """
        self._running, self._steps, self.period = False, 0, None
        self._begun_ns = self._port.clock.now_ns()
        self._newest = None
        self._port.ticks()
        self._port.judged()
        try:
            self._newest = self._readiness.await_graph(self._begun_ns)
            self._check(self._newest)
            self._readiness.await_seats()
            self._view.reset()
            self._rate.start()
            self._hear()
            observation = self._view.observe()
        except BaseException:
            self.end()
            raise
        self._running = True
        return observation

    def step(self, action: Vector, source: Source = Source.POLICY) -> StepResult:
        """Offer one normalised action float32[d] for one control period.

        Args:
            action: what is asked for.
            source: who decided it; a person counts if they sit at the run itself.

        Raises:
            ContractError: if there is no episode to step in.
            HardwareError: if the gate or a stream is lost; nothing is offered any more.
        """
        if not self._running:
            raise ContractError("step without a running episode: call reset first")
        try:
            return self._step(action, source)
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """End the episode: want nothing, and leave the seat."""
        self._running = False
        if self._person:
            self._person.offer(None)
        self._port.offer(None)
        self._port.leave_seat()

    def _step(self, action: Vector, source: Source) -> StepResult:
        before, stale = self._newest, bool(self._view.trouble)
        assert before is not None
        if not self._port.seated:
            self._port.ask_seat()
        offered = source == Source.POLICY and not stale
        seen_ns = self._view.newest.stamp_ns
        if self._person:
            self._person.offer(action if source in PERSONS else None, seen_ns)
        self._port.offer(action if offered else None, seen_ns)
        tick = self._rate.wait()
        period = period_of(self._hear(), before, offered=offered, gripper=self._gripper)
        if self._person and (period.state, period.reason) == _RESTS:
            # The run's own arbiter lets the policy drive: the person has given the arm back.
            self._person.resume()
        observation, judgement = self._view.observe(), self._judge()
        self.period, self.outcome = period, judgement.outcome
        self._steps += 1
        terminated = judgement.outcome != Outcome.UNKNOWN
        over = period.state >= GateState.STOP or self._port.ended or self._steps >= self.horizon
        if lost := self._readiness.lost_person:
            over = True
            _LOG.warning("%s: the episode ends", lost)
        if terminated or over:
            self.end()
        reason = period.reason
        if stale and not (reason.refuses or period.source in PERSONS):
            reason = GateReason.STALE_OBSERVATION
        return StepResult(
            observation=observation,
            executed_action=period.executed,
            reward=judgement.reward,
            terminated=terminated,
            truncated=over and not terminated,
            outcome=judgement.outcome,
            gate_reason=reason,
            gate_state=period.state,
            lateness_s=tick.lateness_s,
        )

    def _hear(self) -> Sequence[GateTick]:
        """The gate's ticks since the last call.

        Raises:
            HardwareError: if it was silent for too long.
        """
        ticks = self._port.ticks()
        self._newest = ticks[-1] if ticks else self._newest
        assert self._newest is not None
        silent_s = (self._port.clock.now_ns() - self._newest.heard_ns) / NS_PER_S
        if silent_s > self._patience.gate_s:
            raise HardwareError(
                f"the gate has said nothing for {silent_s:.2f} s, at most {self._patience.gate_s} "
                "s are borne: is its node active? The robot's own watchdog stops the arm"
            )
        return ticks

    def _judge(self) -> Judgement:
        """The newest judgement of this episode; one with an outcome goes before all others."""
        said = [j.judgement for j in self._port.judged() if j.stamp_ns >= self._begun_ns]
        decided = [judgement for judgement in said if judgement.outcome != Outcome.UNKNOWN]
        nothing = Judgement(reward=0.0, outcome=Outcome.UNKNOWN)
        return (decided or said or [nothing])[-1]

    def _check(self, tick: GateTick) -> None:
        if tick.state >= GateState.STOP:
            raise GateStopError(
                f"the gate has latched {tick.state.name}; look at the arm, then clear the gate in "
                "your name"
            )
        if tick.travel.shape != (self.action_spec.size,):
            raise ContractError(
                f"the gate plays actions of {len(tick.travel)} elements, the task's have "
                f"{self.action_spec.size}: were gate and bridge given the same task?"
            )


class GraphOperator:
    """A person at the gate's other seat (implements `Operator`): the gate lets them win.

    Args:
        env: hears who drives.
    """

    name = "person at the gate"

    def __init__(self, env: GraphEnv) -> None:
        self._env = env

    def reset(self, seed: int) -> None:
        """See `Operator.reset`."""

    def poll(self, observation: Observation) -> OperatorInput:
        """Say whether a person drives; what they want is between them and the gate."""
        rest = np.zeros(self._env.action_spec.size, np.float32)
        return OperatorInput(active=self._env.person_drives, action=rest)
