"""A live graph as the bench of a run: robot, sensors, gate and person are its nodes.

The run acts from the actor's seat, as the policy bridge would, and learns from what the gate says
was executed, a person's corrections among it. No rclpy.spin here but in a thread of its own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rclpy.action.client import ActionClient
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from robot_rl_msgs.action import ResetRobot

from robot_rl.core.clock import Clock
from robot_rl.core.errors import DependencyError, GateStopError, HardwareError
from robot_rl.core.protocol import Operator
from robot_rl.core.spec import RobotSpec, TaskSpec
from robot_rl.core.types import Image, Observation, Source, StepResult, Vector
from robot_rl_nodes.graph.contract import Patience
from robot_rl_nodes.graph.env import GraphEnv, GraphOperator
from robot_rl_nodes.graph.port import RosPort
from robot_rl_nodes.graph.stream import GraphStreams
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


class RunNode(ManagedNode):
    """The run as a node of the graph."""

    def __init__(self, task: TaskSpec, sources: Sequence[str], **of: Any) -> None:
        super().__init__("run", **of)
        self._task = task
        self._sources = sources

    def setup(self, values: Mapping[str, Any]) -> None:
        """See `ManagedNode`."""
        patience = Patience(ready_s=START_S)
        streams = GraphStreams(
            self, self._sources, self._task.observation, max_age_s=patience.max_age_s
        )
        self.port = RosPort(self, self._task, streams)
        self.when_unmade(self.port.close)
        self.loop = GraphEnv(self._task, self.port, patience=patience)
        self.resets = ActionClient(self, ResetRobot, ROBOT_RESET)
        self.when_unmade(self.resets.destroy)


class LiveRobot:
    """The arm of the graph, which only the graph's gate commands."""

    def __init__(self, spec: RobotSpec, env: GraphEnv) -> None:
        self.spec = spec
        self._env = env

    def __enter__(self) -> LiveRobot:
        return self

    def __exit__(self, *raised: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Want nothing any more; the gate brings the arm to rest."""
        self._env.close()


class LiveEnv:
    """The closed loop over the graph, robot and task brought to their start (implements `Env`).

    Args:
        node: the run's.
        executor: spins it, in another thread than the loop's.
        robot: its namespace, for whoever is asked to look at the arm.
    """

    def __init__(self, node: RunNode, executor: SingleThreadedExecutor, robot: str) -> None:
        self._node = node
        self._executor = executor
        self._robot = robot
        self._loop = node.loop
        self.observation_spec = node.loop.observation_spec
        self.action_spec = node.loop.action_spec
        self.horizon = node.loop.horizon

    def reset(self, seed: int) -> Observation:
        """Bring robot and task to the start state of `seed`, and take the actor's seat.

        A gate that has latched STOP is waited for: somebody has to look at the arm first.

        Raises:
            GateStopError: if nobody has cleared the gate in time.
            HardwareError: if the start is not reached, or gate, robot or a stream is absent.
        """
        latched_s: float | None = None
        while True:
            try:
                # The gate first: nothing is to move while it has latched.
                self._loop.reset(seed)
                self._loop.close()
                self._go_to_start(seed)
                return self._loop.reset(seed)
            except GateStopError as error:
                if latched_s is None:
                    latched_s = time.monotonic()
                    _LOG.warning("%s: robot-rl ros clear %s --by NAME", error, self._robot)
                if time.monotonic() - latched_s > CLEAR_S:
                    raise
                time.sleep(_LOOK_S)

    def step(self, action: Vector, source: Source = Source.POLICY) -> StepResult:
        """See `Env.step`."""
        return self._loop.step(action, source)

    def _go_to_start(self, seed: int) -> None:
        resets = self._node.resets
        if not resets.wait_for_server(timeout_sec=START_S):
            raise HardwareError(
                f"nobody offers {self._robot}/{ROBOT_RESET}: is the robot's node active?"
            )
        goal = ResetRobot.Goal(seed=int(seed))
        handle = self._asked(lambda: resets.send_goal_async(goal), START_S)
        if not handle.accepted:
            raise HardwareError("the robot refuses to go to its start: is another reset running?")
        result = self._asked(handle.get_result_async, RESET_S).result
        if not result.success:
            raise HardwareError(f"the robot is not at its start: {result.message}")

    def _asked(self, ask: Callable[[], Any], limit_s: float) -> Any:
        # rclpy notes what it asked of an action only after asking; an answer that is heard by
        # another thread before that is thrown away.
        return _result(_result(self._executor.create_task(ask), limit_s), limit_s)


class LiveBench:
    """What a run needs of a live graph.

    Args:
        task: of the run; the graph's gate must play its actions.
        namespace: of the robot.
        sources: streams that make an observation, see `robot_rl_nodes.source`.
        name: of the robot, recorded with the episodes.

    Attributes:
        env: the loop, with the graph's gate in it.
        seats: who may drive instead of the policy: whoever sits at the gate's other seat.
    """

    def __init__(
        self, task: TaskSpec, *, namespace: str, sources: Sequence[str], name: str
    ) -> None:
        self.task = task
        self._context = Context()
        self._context.init(args=[])
        self._node = RunNode(task, sources, context=self._context, namespace=namespace)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, name="run's node", daemon=True)
        self._node.trigger_configure()
        self._node.trigger_activate()
        if not self._node.active:
            self.close()
            raise HardwareError("the run's own node could not be started; its log says why")
        self._thread.start()
        self.clock: Clock = self._node.monotonic
        spec = RobotSpec(name=name, observation=task.observation, action=task.action)
        self.robot = LiveRobot(spec, self._node.loop)
        self.env = LiveEnv(self._node, self._executor, namespace)
        person = GraphOperator(self._node.loop)
        self.seats: Mapping[str, Operator] = {"demonstrator": person, "supervisor": person}

    def render(self, width: int, height: int) -> Image:
        """Refuse: what a run films is a simulation.

        Raises:
            DependencyError: always; pictures of a live graph are what its cameras record.
        """
        raise DependencyError("a live graph has no camera for films; see its recordings")

    def close(self) -> None:
        """Leave the graph; it goes on."""
        # First the thread: it must not wait on what the node lets go of.
        self._executor.shutdown()
        if self._thread.is_alive():
            self._thread.join()
        self._node.end()
        self._node.destroy_node()
        self._context.try_shutdown()

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return


def _result(future: Any, limit_s: float) -> Any:
    """Wait for what another thread's executor brings.

    Raises:
        HardwareError: if it does not come in time.
    """
    done = threading.Event()
    future.add_done_callback(lambda _: done.set())
    if not done.wait(limit_s):
        raise HardwareError(f"the robot has not answered within {limit_s:g} s")
    return future.result()
