"""A live graph as the bench of a run: robot, sensors, gate and person are its nodes.

The run acts from the actor's seat, as the policy bridge would, and learns from what the gate says
was executed, a person's corrections among it. A person who sits at the run itself acts from the
person's seat. No rclpy.spin here but in a thread of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

from robot_rl.core.clock import Clock
from robot_rl.core.errors import DependencyError, HardwareError
from robot_rl.core.protocol import Operator, Sensor
from robot_rl.core.spec import RobotSpec, TaskSpec
from robot_rl.core.types import Image, Observation
from robot_rl_nodes.graph.contract import Patience
from robot_rl_nodes.graph.env import GraphEnv, GraphOperator
from robot_rl_nodes.graph.gate import GraphGate
from robot_rl_nodes.graph.live_env import START_S, LiveEnv
from robot_rl_nodes.graph.person import RosPerson
from robot_rl_nodes.graph.picture import camera_pictures
from robot_rl_nodes.graph.port import RosPort
from robot_rl_nodes.graph.stream import GraphStreams
from robot_rl_nodes.managed_node import ManagedNode
from robot_rl_nodes.topic import ROBOT_STATE

_ROBOT = "robot"
"""The source that is the robot's own."""


class RunNode(ManagedNode):
    """The run as a node of the graph.

    Args:
        task: of the run.
        sources: streams that make an observation, see `robot_rl_nodes.source`.
        person: who sits at the run itself; empty for nobody.
        cameras: that are shown to them, by name.
    """

    def __init__(
        self,
        task: TaskSpec,
        sources: Sequence[str],
        person: str,
        cameras: Sequence[str],
        **of: Any,
    ) -> None:
        super().__init__("run", **of)
        self._task, self._sources = task, sources
        self._person, self._cameras = person, cameras

    def setup(self, values: Mapping[str, Any]) -> None:
        """See `ManagedNode`."""
        task, patience = self._task, Patience(ready_s=START_S)
        self.streams = GraphStreams(
            self, self._sources, task.observation, max_age_s=patience.max_age_s
        )
        self.port = RosPort(self, task, self.streams)
        self.when_unmade(self.port.close)
        self.gate = GraphGate(self, self.port)
        self.person = None
        if self._person:
            self.person = RosPerson(self, self._person, task.action, self.gate)
        self.watched = camera_pictures(self, self._cameras)
        self.loop = GraphEnv(task, self.port, patience=patience, person=self.person)


class LiveRobot:
    """The arm of the graph, which only the graph's gate commands."""

    def __init__(self, spec: RobotSpec, node: RunNode) -> None:
        self.spec = spec
        self._node = node

    def __enter__(self) -> LiveRobot:
        return self

    def __exit__(self, *raised: object) -> None:
        self._node.loop.end()

    def read(self) -> Observation:
        """Return the robot's own newest sample.

        Raises:
            HardwareError: if there is none, or the newest message could not be taken.
        """
        sensor = self._node.streams.sensors[_ROBOT]
        sample = sensor.latest()
        if sample is None or sensor.complaint:
            why = sensor.complaint or "nothing was heard yet: is the robot's node active?"
            raise HardwareError(f"{ROBOT_STATE.name}: {why}")
        return sample

    def stop(self) -> None:
        """Want nothing any more, neither as policy nor as person; the gate brings it to rest."""
        if self._node.person:
            self._node.person.offer(None)
        self._node.port.offer(None)


class LiveBench:
    """What a run needs of a live graph.

    Args:
        task: of the run; the graph's gate must play its actions.
        namespace: of the robot.
        sources: streams that make an observation, see `robot_rl_nodes.source`.
        name: of the robot, recorded with the episodes.
        person: who sits at the run itself and drives from the person's seat; empty where somebody
            sits at the graph, or nobody.
        cameras: that are shown to them, by name.

    Attributes:
        env: the loop, with the graph's gate in it.
        gate: of the graph.
        watched: the cameras, from any thread and whether or not an episode runs.
        seats: who may drive instead of the policy: whoever sits at the gate's other seat; nobody
            is named where a person sits at the run.
    """

    def __init__(
        self,
        task: TaskSpec,
        *,
        namespace: str,
        sources: Sequence[str],
        name: str,
        person: str = "",
        cameras: Sequence[str] = (),
    ) -> None:
        self.task = task
        self._context = Context()
        self._context.init(args=[])
        self._node = node = RunNode(
            task,
            sources,
            person,
            cameras,
            context=self._context,
            namespace=namespace,
        )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(node)
        self._thread = threading.Thread(target=self._spin, name="run's node", daemon=True)
        node.trigger_configure()
        node.trigger_activate()
        if not node.active:
            self.close()
            raise HardwareError("the run's own node could not be started; its log says why")
        self.env = LiveEnv(node, node.loop, node.gate, self._executor, attended=bool(person))
        self._thread.start()
        self.clock: Clock = node.monotonic
        spec = RobotSpec(name=name, observation=task.observation, action=task.action)
        self.robot = LiveRobot(spec, node)
        self.sensors = tuple(s for key, s in node.streams.sensors.items() if key != _ROBOT)
        self.watched: tuple[Sensor, ...] = node.watched
        self.gate = node.gate
        at_the_gate = GraphOperator(node.loop)
        self.seats: Mapping[str, Operator] = (
            {} if person else {"demonstrator": at_the_gate, "supervisor": at_the_gate}
        )

    def render(self, width: int, height: int) -> Image:
        """Refuse: what a run films is a simulation.

        Raises:
            DependencyError: always; pictures of a live graph are what its cameras see.
        """
        raise DependencyError("a live graph has no picture of its own; its cameras see it")

    def close(self) -> None:
        """Leave the graph; it goes on."""
        if self._thread.is_alive() and self._node.person:
            self._node.person.leave()
        # Then the thread: it must not wait on what the node lets go of.
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
