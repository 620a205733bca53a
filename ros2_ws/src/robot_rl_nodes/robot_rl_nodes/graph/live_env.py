"""The closed loop over a live graph, robot and task brought to their start by the graph itself."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from rclpy.action.client import ActionClient
from rclpy.executors import SingleThreadedExecutor
from robot_rl_msgs.action import ResetRobot

from robot_rl.core.errors import GateStopError, HardwareError
from robot_rl.core.types import GateState, Observation, Source, StepResult, Vector
from robot_rl_nodes.graph.answer import result_of
from robot_rl_nodes.graph.env import GraphEnv
from robot_rl_nodes.graph.gate import GraphGate
from robot_rl_nodes.managed_node import ManagedNode
from robot_rl_nodes.topic import ROBOT_RESET

_LOG = logging.getLogger(__name__)

START_S = 60.0
"""How long gate and robot may take to begin."""
RESET_S = 120.0
"""How long robot and task may take to their start: where a person sets up, that is minutes."""
CLEAR_S = 120.0
"""How long a person may take to look at the arm and clear a latched gate."""
_LOOK_S = 0.2
_CANCELLED_S = 10.0
_LATCHES_S = 0.5


class LiveEnv:
    """Implements `Env`.

    Args:
        node: the run's, that is being set up or is active.
        loop: acts and observes.
        gate: of the graph.
        executor: spins the node, in another thread than the loop's.
        attended: somebody sits at the run, and sees to a latched gate between two resets; else it
            is waited for here.
    """

    def __init__(
        self,
        node: ManagedNode,
        loop: GraphEnv,
        gate: GraphGate,
        executor: SingleThreadedExecutor,
        *,
        attended: bool,
    ) -> None:
        self._loop = loop
        self._gate = gate
        self._executor = executor
        self._attended = attended
        self._robot = node.get_namespace()
        self._resets = ActionClient(node, ResetRobot, ROBOT_RESET)
        node.when_unmade(self._resets.destroy)
        self.observation_spec = loop.observation_spec
        self.action_spec = loop.action_spec

    @property
    def horizon(self) -> int:
        """See `Env.horizon`."""
        return self._loop.horizon

    @horizon.setter
    def horizon(self, steps: int) -> None:
        self._loop.horizon = steps

    def reset(self, seed: int) -> Observation:
        """Bring robot and task to the start state of `seed`, and take the actor's seat.

        A gate that has latched STOP is waited for: somebody has to look at the arm first.

        Raises:
            GateStopError: if the gate is latched and the run attended, or nobody has cleared it
                in time.
            HardwareError: if the start is not reached, or gate, robot or a stream is absent.
        """
        latched_s: float | None = None
        while True:
            try:
                # The gate first: nothing is to move while it has latched.
                self._loop.reset(seed)
                self._loop.end()
                self._go_to_start(seed)
                return self._loop.reset(seed)
            except GateStopError as error:
                if self._attended:
                    raise
                if latched_s is None:
                    latched_s = time.monotonic()
                    _LOG.warning("%s: robot-rl ros clear %s --by NAME", error, self._robot)
                if time.monotonic() - latched_s > CLEAR_S:
                    raise
                time.sleep(_LOOK_S)

    def step(self, action: Vector, source: Source = Source.POLICY) -> StepResult:
        """See `Env.step`."""
        return self._loop.step(action, source)

    def end(self) -> None:
        """See `Env.end`; the actor's seat is left."""
        self._loop.end()

    def _go_to_start(self, seed: int) -> None:
        where = f"{self._robot}/{ROBOT_RESET}"
        if not self._resets.wait_for_server(timeout_sec=START_S):
            raise HardwareError(f"nobody offers {where}: is the robot's node active?")
        goal = ResetRobot.Goal(seed=int(seed))
        handle = result_of(self._ask(lambda: self._resets.send_goal_async(goal)), where, START_S)
        if not handle.accepted:
            raise HardwareError("the robot refuses to go to its start: is another reset running?")
        result = self._follow(handle, where).result
        if not result.success:
            # A robot that has stopped by itself says so here before the gate has heard of it.
            end_s = time.monotonic() + _LATCHES_S
            while time.monotonic() < end_s:
                self._check_stopped()
                time.sleep(_LOOK_S / 10)
            raise HardwareError(f"the robot is not at its start: {result.message}")

    def _follow(self, handle: Any, where: str) -> Any:
        """Wait for the end of a reset; a stop calls it off."""
        asked = self._ask(handle.get_result_async)
        end_s = time.monotonic() + RESET_S
        while not asked.done():
            if self._gate.state >= GateState.STOP:
                self._ask(handle.cancel_goal_async)
                result_of(asked, where, _CANCELLED_S)
                break
            if time.monotonic() > end_s:
                raise HardwareError(f"{where} has not answered within {RESET_S:g} s")
            time.sleep(_LOOK_S / 10)
        self._check_stopped()
        return asked.result()

    def _check_stopped(self) -> None:
        if self._gate.state >= GateState.STOP:
            raise GateStopError(
                f"the gate has latched on the way to the start: {self._gate.cause}"
            )

    def _ask(self, ask: Callable[[], Any]) -> Any:
        # rclpy notes what it asked of an action only after asking; an answer that is heard by
        # another thread before that is thrown away.
        return result_of(self._executor.create_task(ask), "the run's own node", START_S)
