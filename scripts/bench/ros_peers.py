"""Whoever is around a gate in a ROS graph: an arm that does what it is told, and commanders.

    python scripts/bench/ros_peers.py robot | actor | rogue | mismatched | clock --ros-args ...

For tests and for `ros_faults.py`; each is a node that can be in a process of its own, to be
stopped and killed there.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from robot_rl_msgs.msg import ActionStamped, ControlState, NamedVector, RobotState
from robot_rl_msgs.srv import SetControlSource
from std_srvs.srv import Trigger

from robot_rl.core.spec import JOINT_POSITION, TCP_POSE, WRENCH
from robot_rl_nodes import topic
from robot_rl_nodes.conversion import float32s, stamp_from_ns, twist_from, write_vectors
from robot_rl_sim.fr3_facts import HOME_Q

PERIOD_S = 0.01
SPEED = 0.3
"""Of a commander's action, normalised."""

_TOOL_DOWN = (1.0, 0.0, 0.0, 0.0)
_EDGE_M = 0.1
_LAST_S = 0.1
_ASK_AGAIN_S = 0.3


class Robot(Node):
    """An arm that moves exactly as told on twist_controller/commands; its joints stay at home.

    Attributes:
        silent, wrench, fault, ahead_s, stamp_ns: what it says of itself may be wrong.
        commands: received, (monotonic time [s], velocity of the tcp float32[6]).
        gripper: the newest command.
    """

    def __init__(self, **of: Any) -> None:
        super().__init__("robot", **of)
        self.silent, self.fault, self.ahead_s = False, "", 0.0
        self.wrench = np.zeros(6, np.float32)
        self.stamp_ns: int | None = None
        self.commands: list[tuple[float, np.ndarray]] = []
        self.gripper: list[float] = []
        self.recoveries = 0
        self.position_m = np.array([0.45, 0.0, 0.2])
        self._out = self.create_publisher(
            RobotState, topic.ROBOT_STATE.name, topic.ROBOT_STATE.quality.published
        )
        self._hear(topic.TWIST_COMMAND, self._obey)
        self._hear(topic.GRIPPER_COMMAND, lambda m: self.gripper.append(m.data[0]))
        self.create_service(Trigger, topic.ROBOT_RECOVER, self._recover)
        self._moved_s = time.monotonic()
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(PERIOD_S, self._turn, clock=steady)

    def _hear(self, heard: topic.Topic, callback: Callable[[Any], None]) -> None:
        self.create_subscription(heard.type, heard.name, callback, heard.quality.subscribed)

    def _obey(self, message: Any) -> None:
        self.commands.append((time.monotonic(), twist_from(message.twist)))

    def _recover(self, request: Any, response: Any) -> Any:
        self.recoveries += 1
        self.fault = ""
        response.success = True
        return response

    def _turn(self) -> None:
        now_s = time.monotonic()
        since_s, self._moved_s = min(0.05, now_s - self._moved_s), now_s
        # No command lasts for ever.
        if self.commands and now_s - self.commands[-1][0] < _LAST_S and not self.fault:
            self.position_m = self.position_m + self.commands[-1][1][:3] * since_s
        if self.silent:
            return
        pose = np.array([*self.position_m, *_TOOL_DOWN])
        vectors = {JOINT_POSITION: np.array(HOME_Q), TCP_POSE: pose, WRENCH: self.wrench}
        message = RobotState(vectors=write_vectors(NamedVector, vectors), fault=self.fault)
        now_ns = self.get_clock().now().nanoseconds + round(self.ahead_s * 1e9)
        stamp_from_ns(now_ns if self.stamp_ns is None else self.stamp_ns, message.header.stamp)
        message.header.frame_id = "fr3_link0"
        message.commands = len(self.commands)
        self._out.publish(message)


class Commander(Node):
    """Takes the actor's seat, again whenever it was lost, and drives to and fro along y.

    Attributes:
        silent: it says nothing.
        action: what it wants, normalised; None for its own way.
        epoch: of its lease; 0 without one.
        number: of its newest action.
        kind, ahead_s: of its messages.
        refusals: what it was told when it asked.
    """

    def __init__(self, name: str = "actor", reliable: bool = True, **of: Any) -> None:
        super().__init__(name, **of)
        self.silent, self.action = False, None
        self.epoch, self.number, self.kind, self.ahead_s = 0, 0, 0, 0.0
        self.asks = True
        self.refusals: list[str] = []
        profile = topic.POLICY_ACTION.quality.published
        if not reliable:
            profile = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._out = self.create_publisher(ActionStamped, topic.POLICY_ACTION.name, profile)
        self._seat = self.create_client(SetControlSource, topic.TAKE_ACTOR_SEAT)
        self._asked_s = 0.0
        self._way = SPEED
        for heard, callback in (
            (topic.CONTROL_STATE, self._see),
            (topic.ROBOT_STATE, self._turn_round),
        ):
            self.create_subscription(heard.type, heard.name, callback, heard.quality.subscribed)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(PERIOD_S, self._speak, clock=steady)

    def _see(self, state: ControlState) -> None:
        if state.actor == self.get_name() or not self.asks or not self._seat.service_is_ready():
            return
        if time.monotonic() - self._asked_s < _ASK_AGAIN_S:
            return
        self._asked_s = time.monotonic()
        request = SetControlSource.Request(request=1, source=0, name=self.get_name())
        self._seat.call_async(request).add_done_callback(self._granted)

    def _granted(self, future: Any) -> None:
        answer = future.result()
        if answer.success:
            self.epoch, self.number = int(answer.epoch), 0
        else:
            self.refusals.append(answer.message)

    def _turn_round(self, state: RobotState) -> None:
        y = dict((v.key, v.data) for v in state.vectors)[TCP_POSE][1]
        if abs(y) > _EDGE_M:
            self._way = -SPEED if y > 0 else SPEED

    def _speak(self) -> None:
        if self.silent or not self.epoch:
            return
        self.number += 1
        message = ActionStamped(seq=(self.epoch << 32) | self.number, kind=self.kind, active=True)
        now_ns = self.get_clock().now().nanoseconds + round(self.ahead_s * 1e9)
        stamp_from_ns(now_ns, message.header.stamp)
        action = [0.0, self._way, 0.0, 0.0, 0.0, 0.0, 1.0]
        message.data = float32s(action if self.action is None else self.action)
        self._out.publish(message)


class Rogue(Node):
    """Publishes velocities on the controller's own topic, as nobody but the gate may."""

    def __init__(self, **of: Any) -> None:
        super().__init__("rogue", **of)
        heard = topic.TWIST_COMMAND
        self._out = self.create_publisher(heard.type, heard.name, heard.quality.published)


class Time(Node):
    """Publishes /clock at 100 Hz, from the wall clock on.

    Attributes:
        jumped_s: by how much it is ahead of it.
        stands: it stands still.
    """

    def __init__(self, **of: Any) -> None:
        super().__init__("time", **of)
        self.jumped_s, self.stands = 0.0, False
        self._ns = time.time_ns()
        self._out = self.create_publisher(
            topic.CLOCK.type, topic.CLOCK.name, topic.CLOCK.quality.published
        )
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(PERIOD_S, self._tick, clock=steady)

    def _tick(self) -> None:
        if not self.stands:
            self._ns = time.time_ns() + round(self.jumped_s * 1e9)
        message = topic.CLOCK.type()
        stamp_from_ns(self._ns, message.clock)
        self._out.publish(message)


PEERS: dict[str, Callable[..., Node]] = {
    "robot": Robot,
    "actor": Commander,
    "mismatched": lambda **of: Commander("mismatched", reliable=False, **of),
    "rogue": Rogue,
    "time": Time,
}


def main(argv: list[str]) -> None:
    """Be one of them until killed; SIGUSR1 silences it, SIGUSR2 lets it speak again."""
    rclpy.init(args=argv)
    node: Any = PEERS[argv[1]]()
    for number, silent in ((signal.SIGUSR1, True), (signal.SIGUSR2, False)):
        signal.signal(number, lambda *_, silent=silent: setattr(node, "silent", silent))
    with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(node)


if __name__ == "__main__":
    main(sys.argv)
