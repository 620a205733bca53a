"""A person's words to a gate, from a terminal: why has it stopped, and that it may go on.

Blocks; used by `robot-rl ros clear`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from robot_rl_msgs.msg import SafetyState
from robot_rl_msgs.srv import ClearStop

from robot_rl.core.errors import GateStopError, HardwareError
from robot_rl_nodes.topic import GATE_CLEAR, SAFETY_STATE

_LOOK_S = 0.05
_STATES = {
    SafetyState.RUN: "RUN",
    SafetyState.HOLD: "HOLD",
    SafetyState.STOP: "STOP",
    SafetyState.ESTOP: "ESTOP",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Safety:
    """What the gate says of itself.

    Args:
        state: RUN, HOLD, STOP or ESTOP.
        cause: of it, in words.
    """

    state: str
    cause: str

    @property
    def latched(self) -> bool:
        """Whether only a person ends it."""
        return self.state in ("STOP", "ESTOP")


class GateCaller:
    """A line to one gate.

    Args:
        namespace: of its graph, e.g. fr3.
        timeout_s: for each answer [s].
        discovery: localhost or subnet.
    """

    def __init__(self, namespace: str, timeout_s: float, discovery: str = "localhost") -> None:
        # Read when the context begins.
        os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = discovery.upper()
        self._timeout_s = timeout_s
        self._context = Context()
        self._context.init(args=[])
        self._node = Node(
            "gate_caller", context=self._context, namespace=namespace, use_global_arguments=False
        )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._newest: Any = None
        self._node.create_subscription(
            SAFETY_STATE.type, SAFETY_STATE.name, self._hear, SAFETY_STATE.quality.subscribed
        )
        self._asking = self._node.create_client(ClearStop, GATE_CLEAR)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._executor.shutdown()
        self._node.destroy_node()
        self._context.try_shutdown()

    def safety(self) -> Safety:
        """Wait for the gate's word.

        Raises:
            HardwareError: if there is none in time.
        """
        where = self._node.resolve_topic_name(SAFETY_STATE.name)
        self._await(lambda: self._newest is not None, f"nothing on {where}")
        return Safety(state=_STATES[self._newest.state], cause=self._newest.cause)

    def clear(self, by: str, cause: str) -> str:
        """Clear the stop of this cause in a person's name; returns the gate's answer.

        Raises:
            HardwareError: if the gate does not answer in time.
            GateStopError: if it refuses; the message says why.
        """
        where = self._node.resolve_service_name(GATE_CLEAR)
        self._await(self._asking.service_is_ready, f"no service {where}")
        future = self._asking.call_async(
            ClearStop.Request(request=ClearStop.Request.CLEAR, by=by, cause=cause)
        )
        self._await(future.done, f"no answer from {where}")
        answer: Any = future.result()
        if not answer.success:
            raise GateStopError(f"the gate does not clear: {answer.message}")
        return answer.message or "cleared"

    def _hear(self, message: SafetyState) -> None:
        self._newest = message

    def _await(self, happened: Callable[[], bool], otherwise: str) -> None:
        end_s = time.monotonic() + self._timeout_s
        while not happened():
            if time.monotonic() > end_s:
                raise HardwareError(
                    f"{otherwise} within {self._timeout_s:g} s: is the gate running and active, "
                    "in this namespace and ROS_DOMAIN_ID?"
                )
            self._executor.spin_once(timeout_sec=_LOOK_S)
