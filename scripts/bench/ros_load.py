"""What is around a gate while its latency is measured, each in a process of its own.

    python scripts/bench/ros_load.py ROLE RESULT.json [--ros-args ...]

`robot` is an arm's driver: its state at 100 Hz, and when each command was heard. `sensors` has a
wrench at 100 Hz and 128x128 images at 30 Hz. `actor` stands for a policy bridge: it hears all of
them and commands at 100 Hz. `camera` and `viewer` are the two ends of VGA images. `plain_...` are
peers as rclpy has them by default: its quality of service and its multi-threaded executor; no gate
checks anything there. `learner` trains a network and hears nobody.

Each makes RESULT.ready once it is, and writes RESULT.json on SIGTERM.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from geometry_msgs.msg import TwistStamped
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.executors import Executor, MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from robot_rl_msgs.msg import ExecutedAction, RobotState
from robot_rl_msgs.srv import ClearStop
from ros_cameras import IMAGE_PERIOD_S, VGA, VGA_SIZE, Camera, PlainSpeaker, Speaker, Viewer
from ros_peers import PERIOD_S, Commander, Robot

from robot_rl_nodes import topic
from robot_rl_nodes.conversion import ns_from_stamp, stamp_from_ns, write_wrench
from robot_rl_nodes.topic import Topic

POLICY_IMAGE = topic.POLICY_IMAGE.of("front")
POLICY_SIZE = (128, 128)

_STEADY = Clock(clock_type=ClockType.STEADY_TIME)


class Arm(Robot):
    """A robot that knows when each command was heard, and which state it had used."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[int, int]] = []
        self.used: list[tuple[int, int]] = []
        self.runs = False
        quality = topic.EXECUTED_ACTION.quality.subscribed
        self.create_subscription(ExecutedAction, topic.EXECUTED_ACTION.name, self._ticked, quality)
        state = topic.SAFETY_STATE
        self.create_subscription(state.type, state.name, self._clear, state.quality.subscribed)
        self._clearing = self.create_client(ClearStop, topic.GATE_CLEAR)

    def _obey(self, message: Any) -> None:
        super()._obey(message)
        self.heard.append((ns_from_stamp(message.header.stamp), time.time_ns()))

    def _ticked(self, message: Any) -> None:
        self.runs = message.state == 0
        self.used.append(
            (ns_from_stamp(message.header.stamp), ns_from_stamp(message.sample_stamp))
        )

    def _clear(self, message: Any) -> None:
        """Stand in for the person who looks at the arm before it moves."""
        stops = message.state >= message.STOP
        what = ClearStop.Request.CLEAR if stops else ClearStop.Request.RESUME
        if message.state and self._clearing.service_is_ready():
            request = ClearStop.Request(request=what, by="bench", cause=message.cause)
            self._clearing.call_async(request)

    @property
    def ready(self) -> bool:
        """Whether commands are heard from a gate that lets the arm run."""
        return self.runs and len(self.heard) > 100

    def result(self) -> Any:
        """Stamps of commands and their receipt; stamps of ticks and of the states they used."""
        return {"heard": self.heard, "used": self.used}


class Sensors(Node):
    """A wrench at 100 Hz, and small images at 30 Hz."""

    def __init__(self) -> None:
        super().__init__("sensors")
        self._rng = np.random.default_rng(0)
        self._images = Speaker(self, POLICY_IMAGE, POLICY_SIZE)
        self._wrench = topic.WRENCH.type()
        self._out = _publisher(self, topic.WRENCH)
        self.create_timer(PERIOD_S, self._feel, clock=_STEADY)
        self.create_timer(IMAGE_PERIOD_S, self._images.say, clock=_STEADY)

    def _feel(self) -> None:
        stamp_from_ns(time.time_ns(), self._wrench.header.stamp)
        write_wrench(self._wrench.wrench, self._rng.normal(size=6))
        self._out.publish(self._wrench)

    def result(self) -> Any:
        """Nothing."""


class Actor(Commander):
    """A commander that hears wrench and images, as a policy bridge does."""

    def __init__(self) -> None:
        super().__init__()
        self.samples = {topic.WRENCH.name: 0, POLICY_IMAGE.name: 0}
        for found in (topic.WRENCH, POLICY_IMAGE):
            self.create_subscription(
                found.type,
                found.name,
                lambda _, name=found.name: self._count(name),
                found.quality.subscribed,
            )

    def _count(self, name: str) -> None:
        self.samples[name] += 1

    def result(self) -> Any:
        """How many samples of each sensor came."""
        return self.samples


class PlainGate(Node):
    """Answers the newest state with a command, by a timer at 100 Hz; checks nothing."""

    def __init__(self) -> None:
        super().__init__("plain_gate")
        self._state: Any = None
        self._out = self.create_publisher(TwistStamped, topic.TWIST_COMMAND.name, 10)
        self._told = self.create_publisher(ExecutedAction, topic.EXECUTED_ACTION.name, 10)
        self.create_subscription(RobotState, topic.ROBOT_STATE.name, self._hear, 10)
        self.create_timer(PERIOD_S, self._turn)

    def _hear(self, message: Any) -> None:
        self._state = message

    def _turn(self) -> None:
        if self._state is None:
            return
        tick = ExecutedAction(sample_stamp=self._state.header.stamp)
        tick.header.stamp = self.get_clock().now().to_msg()
        command = TwistStamped()
        command.header.stamp = self.get_clock().now().to_msg()
        self._out.publish(command)
        self._told.publish(tick)

    def result(self) -> Any:
        """Nothing."""


def learn(_: Path) -> None:
    """Train until killed, on one thread and the last core."""
    import torch

    torch.set_num_threads(1)
    os.sched_setaffinity(0, [max(os.sched_getaffinity(0))])
    layers = [torch.nn.Linear(256, 256), torch.nn.ReLU(), torch.nn.Linear(256, 256)]
    network = torch.nn.Sequential(*layers)
    optimiser = torch.optim.Adam(network.parameters())
    while True:
        batch = torch.randn(256, 256)
        optimiser.zero_grad()
        torch.nn.functional.mse_loss(network(batch), batch).backward()
        optimiser.step()


def _publisher(node: Node, found: Topic) -> Any:
    return node.create_publisher(found.type, found.name, found.quality.published)


ROLES: dict[str, Callable[[], Any]] = {
    "robot": Arm,
    "sensors": Sensors,
    "actor": Actor,
    "camera": lambda: Camera(lambda node: Speaker(node, VGA, VGA_SIZE)),
    "viewer": lambda: Viewer(VGA.quality.subscribed),
    "recording_viewer": lambda: Viewer(VGA.quality.recorded),
    "plain_camera": lambda: Camera(PlainSpeaker),
    "plain_viewer": lambda: Viewer(10),
    "plain_gate": PlainGate,
}


def main(argv: list[str]) -> None:
    """Be one of them until SIGTERM."""
    role, file = argv[1], Path(argv[2])
    if role == "learner":
        learn(file)
    rclpy.init(args=argv, signal_handler_options=SignalHandlerOptions.NO)
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    node, told = ROLES[role](), False
    plain = role.startswith("plain")
    executor: Executor = MultiThreadedExecutor() if plain else SingleThreadedExecutor()
    executor.add_node(node)
    while not asked:
        executor.spin_once(timeout_sec=0.1)
        if not told and getattr(node, "ready", True):
            file.with_suffix(".ready").touch()
            told = True
    file.write_text(json.dumps(node.result()))


if __name__ == "__main__":
    main(sys.argv)
