"""A gate's process in a ROS graph of its own, a robot, a commander, and who watches them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from robot_rl_msgs.srv import ClearStop
from ros_peers import Time

from robot_rl.core.types import GateReason, GateState
from robot_rl_nodes import topic
from robot_rl_nodes.conversion import ns_from_stamp, twist_from

ROOT = Path(__file__).parents[2]
CELL = ROOT / "configs/cells/sim_fr3.yaml"
TASK = ROOT / "configs/tasks/pick_cube.yaml"
NAMESPACE = "/bench"

_START_S = 60.0
_LOOK_S = 0.005


@dataclass(frozen=True, slots=True)
class Seen:
    """One tick of the gate, or one command of it, as the watcher has heard it.

    Args:
        stamp_s: of its header: the gate's clock.
        heard_s: wall clock, when it was heard.
        speed_m_s: that the arm was told, or normalised for a tick.
        state, reason: of a tick.
        sample_s: stamp of the robot's state that the tick looked at.
    """

    stamp_s: float
    heard_s: float
    speed: float
    state: GateState = GateState.RUN
    reason: GateReason = GateReason.PASSED
    sample_s: float = 0.0


class Rig:
    """Processes on a domain of their own, and a node of this process that watches.

    Args:
        domain: of the graph.
        sim_time: everybody lives by the /clock of `clock`, a node of this process.
        cell: the gate's.
    """

    def __init__(self, domain: int, *, sim_time: bool = False, cell: Path = CELL) -> None:
        self._sim_time = sim_time
        self._cell = cell
        self._environment = {
            **os.environ,
            "ROS_DOMAIN_ID": str(domain),
            # Fast DDS gives a writer in shared memory whole seconds of waiting for a reader that
            # was killed; over UDP nobody waits. With LOCALHOST it has shared memory all the same.
            "FASTDDS_BUILTIN_TRANSPORTS": "UDPv4",
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET",
            "PYTHONPATH": os.pathsep.join([str(ROOT / "scripts/bench"), *sys.path]),
        }
        self._context = Context()
        self._context.init(args=[], domain_id=domain)
        self.node = Node("watcher", context=self._context, namespace=NAMESPACE)
        self.clock = Time(context=self._context, namespace=NAMESPACE) if sim_time else None
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        if self.clock:
            self._executor.add_node(self.clock)
        self.ticks: list[Seen] = []
        self.commands: list[Seen] = []
        self.safety: Any = None
        self.control: Any = None
        self.told: dict[str, str] = {}
        self._processes: list[tuple[list[str], subprocess.Popen[bytes]]] = []
        for heard, callback in (
            (topic.EXECUTED_ACTION, self._tick),
            (topic.TWIST_COMMAND, self._command),
            (topic.SAFETY_STATE, lambda m: setattr(self, "safety", m)),
            (topic.CONTROL_STATE, lambda m: setattr(self, "control", m)),
            (topic.DIAGNOSTICS, self._diagnosed),
        ):
            self.node.create_subscription(heard.type, heard.name, callback, heard.quality.recorded)
        self._clear = self.node.create_client(ClearStop, topic.GATE_CLEAR)
        self._spun = threading.Thread(target=self._spin, daemon=True)
        self._spun.start()

    def start(self, peer: str) -> subprocess.Popen[bytes]:
        """Start a peer of `ros_peers` in a process of its own."""
        return self._start([str(ROOT / "scripts/bench/ros_peers.py"), peer])

    def started(self, *peers: str) -> list[subprocess.Popen[bytes]]:
        """Return the processes of these peers, or modules, that have not been ended."""
        return [p for command, p in self._processes if set(peers) & set(command)]

    def start_gate(self, *parameters: str) -> subprocess.Popen[bytes]:
        """Start the gate's node, configured and active as soon as there is a robot."""
        given = (
            f"cell:={self._cell}",
            f"task:={TASK}",
            "autostart:=true",
            "wait_s:=30.0",
            *parameters,
        )
        flags = [word for each in given for word in ("-p", each)]
        self.ticks.clear()
        self.safety = self.control = None
        return self._start(["-m", "robot_rl_nodes.command_gate_node"], flags)

    def until(self, happened: Callable[[], Any], what: str, timeout_s: float = _START_S) -> None:
        """Wait until something has happened.

        Raises:
            TimeoutError: if it does not.
        """
        end_s = time.monotonic() + timeout_s
        while not happened():
            if time.monotonic() > end_s:
                raise TimeoutError(f"{what}: not within {timeout_s:g} s; {self.safety}")
            time.sleep(_LOOK_S)

    def run(self) -> None:
        """Clear or resume, in a person's name, until the arm moves at one speed."""
        self.until(lambda: self.safety and self.ticks, "the gate is active")
        self.until(lambda: self.control and self.control.actor, "an actor has the seat")
        self.allow(lambda: self.steady)

    def allow(self, happened: Callable[[], bool]) -> None:
        """Clear or resume until something happens; on a busy machine that may take its time.

        Raises:
            TimeoutError: if it does not.
        """
        end_s = time.monotonic() + _START_S
        while time.monotonic() < end_s:
            if happened():
                return
            if self.safety.state >= GateState.STOP:
                self._ask(ClearStop.Request.CLEAR)
            elif self.safety.state == GateState.HOLD:
                self._ask(ClearStop.Request.RESUME)
            time.sleep(0.1)
        raise TimeoutError(f"the gate is not let go: {self.safety}")

    def add(self, kind: Callable[..., Node]) -> Any:
        """Have one of `ros_peers` in this process."""
        node = kind(context=self._context, namespace=NAMESPACE)
        self._executor.add_node(node)
        return node

    def remove(self, node: Node) -> None:
        """Let it go."""
        self._executor.remove_node(node)
        node.destroy_node()

    @property
    def steady(self) -> bool:
        """Whether the arm moves as it has for some time."""
        few = self.ticks[-5:]
        speeds = [each.speed for each in few]
        runs = all(each.state == GateState.RUN for each in few)
        return len(few) == 5 and runs and min(speeds) > 0.9 * max(speeds) > 0.0

    def held_s(
        self, fault: Callable[[], object], *, by_stamp: bool = True, timeout_s: float = 10.0
    ) -> float:
        """Return how long after a fault the first tick was that did not run [s]."""
        begin_s = time.time()
        fault()
        count = len(self.ticks)

        def first() -> Seen | None:
            later = self.ticks[max(0, count - 5) :]
            times = [(t.stamp_s if by_stamp else t.heard_s, t) for t in later]
            return next((t for at, t in times if at >= begin_s and t.state), None)

        self.until(first, "the gate holds", timeout_s)
        held = first()
        assert held is not None
        return (held.stamp_s if by_stamp else held.heard_s) - begin_s

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """Kill a process, stopped or not."""
        process.kill()
        process.wait()
        self._processes = [each for each in self._processes if each[1] is not process]

    def __enter__(self) -> Rig:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with ExitStack() as stack:
            stack.callback(self._context.try_shutdown)
            stack.callback(self._spun.join)
            stack.callback(self._executor.shutdown)
            for _, process in self._processes:
                stack.callback(self.end, process)

    def _start(self, command: Sequence[str], flags: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        said = ["--ros-args", "-r", f"__ns:={NAMESPACE}", *flags]
        if self._sim_time:
            said += ["-p", "use_sim_time:=true"]
        process = subprocess.Popen(
            [sys.executable, *command, *said],
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=None if os.environ.get("ROS_RIG_ALOUD") else subprocess.DEVNULL,
        )
        self._processes.append((list(command), process))
        return process

    def _ask(self, what: int) -> None:
        request = ClearStop.Request(request=what, by="Ada", cause=self.safety.cause)
        self._clear.call_async(request)

    def _tick(self, message: Any) -> None:
        self.ticks.append(
            Seen(
                stamp_s=ns_from_stamp(message.header.stamp) / 1e9,
                heard_s=time.time(),
                speed=float(np.linalg.norm(message.data[:6])),
                state=GateState(message.state),
                reason=GateReason(message.reason),
                sample_s=ns_from_stamp(message.sample_stamp) / 1e9,
            )
        )

    def _command(self, message: Any) -> None:
        stamp_s = ns_from_stamp(message.header.stamp) / 1e9
        speed = float(np.linalg.norm(twist_from(message.twist)))
        self.commands.append(Seen(stamp_s=stamp_s, heard_s=time.time(), speed=speed))

    def _diagnosed(self, message: Any) -> None:
        self.told |= {s.name: s.message for s in message.status if s.level > b"\x00"}

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return
