"""Asks other nodes for their lifecycle's state, and to change it. Blocks: for a thread of its own.

Not here: in which order (`lifecycle_order`).
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from robot_rl.core.errors import HardwareError
from robot_rl_nodes.lifecycle.order import Change

_TRANSITIONS = {
    Change.CONFIGURE: Transition.TRANSITION_CONFIGURE,
    Change.ACTIVATE: Transition.TRANSITION_ACTIVATE,
    Change.DEACTIVATE: Transition.TRANSITION_DEACTIVATE,
}
_LOOK_S = 0.05


class LifecycleClient:
    """The lifecycles of nodes in one namespace.

    Args:
        context: of ROS.
        name: of the node that asks.
        namespace: of the nodes.
    """

    def __init__(self, context: Context, name: str, namespace: str) -> None:
        # Not renamed with the process's own node.
        self._node = Node(
            name,
            context=context,
            namespace=namespace,
            use_global_arguments=False,
            start_parameter_services=False,
            enable_rosout=False,
        )
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self._node)
        self._made: dict[tuple[str, str], Any] = {}

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

    def state(self, node: str, timeout_s: float) -> str | None:
        """Return the state's name, e.g. active; None if the node does not answer in time."""
        answer = self._ask(GetState, f"{node}/get_state", GetState.Request(), timeout_s)
        return None if answer is None else answer.current_state.label

    def change(self, node: str, change: Change, timeout_s: float) -> None:
        """Ask a node for a transition and wait until it has made it.

        Raises:
            HardwareError: naming the node, if it does not answer in time or refuses.
        """
        request = ChangeState.Request()
        request.transition.id = _TRANSITIONS[change]
        answer = self._ask(ChangeState, f"{node}/change_state", request, timeout_s)
        if answer is None:
            raise HardwareError(
                f"{node}: no answer within {timeout_s:g} s when asked to {change.value}; "
                "is it running?"
            )
        if not answer.success:
            raise HardwareError(f"{node}: could not {change.value}; its log says why")

    def _ask(self, kind: Any, name: str, request: Any, timeout_s: float) -> Any | None:
        end = time.monotonic() + timeout_s
        client = self._client(kind, name)
        while not client.service_is_ready():
            if time.monotonic() > end:
                return None
            self._executor.spin_once(timeout_sec=_LOOK_S)
        future = client.call_async(request)
        self._executor.spin_until_future_complete(
            future, timeout_sec=max(end - time.monotonic(), _LOOK_S)
        )
        if not future.done():
            client.remove_pending_request(future)
            return None
        return future.result()

    def _client(self, kind: Any, name: str) -> Any:
        key = (kind.__name__, name)
        if key not in self._made:
            self._made[key] = self._node.create_client(kind, name)
        return self._made[key]
