"""A managed node as a process of its own, which lives until it is asked to end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from lifecycle_msgs.msg import State
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor

from robot_rl.runtime.gate.asked import AskedToEnd
from robot_rl_nodes.managed_node import AUTOSTART, PATIENCE, ManagedNode

_SPIN_S = 0.1


def main(make: Callable[[Context], ManagedNode], argv: Sequence[str] | None = None) -> int:
    """Run a node until it is asked to end; its last word goes out before the context ends.

    Args:
        make: returns the node in the given context.
        argv: with `--ros-args`, as `sys.argv`; that one without it.

    Returns:
        The exit status: 1 if an autostarted node could not be started.
    """
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    context = Context()
    context.init(args=None if argv is None else list(argv))
    asked = AskedToEnd()
    node = make(context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        status = _live(node, executor, asked)
        node.end()
        if asked:
            node.get_logger().info(f"ended by {asked.name}")
    finally:
        executor.shutdown()
        node.destroy_node()
        context.try_shutdown()
    return status


def _live(node: ManagedNode, executor: SingleThreadedExecutor, asked: AskedToEnd) -> int:
    """Spin until the node may end; returns the exit status."""
    if node.get_parameter(AUTOSTART.name).value:
        node.trigger_configure()
        if node.state_id == State.PRIMARY_STATE_INACTIVE:
            node.trigger_activate()
        if node.state_id != State.PRIMARY_STATE_ACTIVE:
            return 1
    while not asked and node.state_id != State.PRIMARY_STATE_FINALIZED:
        executor.spin_once(timeout_sec=_SPIN_S)
    patience: Any = node.get_parameter(PATIENCE.name).value
    end_s = time.monotonic() + patience
    while node.active and time.monotonic() < end_s:
        executor.spin_once(timeout_sec=_SPIN_S)
    return 0
