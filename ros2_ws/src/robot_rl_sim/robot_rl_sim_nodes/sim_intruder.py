"""A second commander on the controller's topic, for seeing what others make of it."""

from __future__ import annotations

from typing import Any

from geometry_msgs.msg import TwistStamped
from rclpy.node import Node

from robot_rl_nodes.robot.table import BASE_FRAME
from robot_rl_nodes.topic import TWIST_COMMAND


class Intruder:
    """Publishes velocities of zero for as long as it is wanted.

    Args:
        node: in whose name it does.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._publisher: Any = None

    def poll(self, *, wanted: bool) -> None:
        """Come, speak or go; to be called again and again."""
        if not wanted:
            self.go()
            return
        if self._publisher is None:
            # Not a lifecycle publisher: others would not see it come and go.
            self._publisher = Node.create_publisher(
                self._node, TWIST_COMMAND.type, TWIST_COMMAND.name, TWIST_COMMAND.quality.published
            )
        message = TwistStamped()
        message.header.stamp = self._node.get_clock().now().to_msg()
        message.header.frame_id = BASE_FRAME
        self._publisher.publish(message)

    def go(self) -> None:
        """Be there no more."""
        if self._publisher is not None:
            self._node.destroy_publisher(self._publisher)
            self._publisher = None
