"""Sums up /diagnostics: /diagnostics_agg, /diagnostics_toplevel_state, and a log of what changes.

The topics are those of `diagnostic_aggregator`, so that its viewers show them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from robot_rl_nodes.diagnostic import Level
from robot_rl_nodes.diagnostics_summary import NodeSummary, Summary, overall
from robot_rl_nodes.managed_node import ManagedNode
from robot_rl_nodes.parameter import Parameter
from robot_rl_nodes.process import main
from robot_rl_nodes.topic import DIAGNOSTICS, Quality, Topic

AGGREGATED = Topic(name="/diagnostics_agg", type=DiagnosticArray, quality=Quality.EVENT)
TOP_LEVEL = Topic(name="/diagnostics_toplevel_state", type=DiagnosticStatus, quality=Quality.EVENT)


class DiagnosticsNode(ManagedNode):
    """Hears what nodes say of themselves and tells the worst, once a second."""

    PARAMETERS = (
        Parameter(
            name="expected",
            default=[""],
            description="nodes that must be heard; without a slash they are of this namespace",
        ),
    )

    def __init__(self, **of: Any) -> None:
        super().__init__("diagnostics", **of)

    def setup(self, values: Mapping[str, Any]) -> None:
        """Listen."""
        space = self.get_namespace()
        names = [n if "/" in n else f"{space}/{n}" for n in values["expected"]]
        self._names = names
        self._aggregated = self.publish_on(AGGREGATED)
        self._top_level = self.publish_on(TOP_LEVEL)
        self.listen_to(DIAGNOSTICS, self._hear, recorded=True)
        self.every(1.0, self._tell_all)

    def begin(self) -> None:
        """Wait for everybody anew."""
        self._summary = Summary(self._names, time.monotonic())

    def _hear(self, message: DiagnosticArray) -> None:
        now_s = time.monotonic()
        for status in message.status:
            self._summary.hear(status.name, _level(status), status.message, now_s)

    def _tell_all(self) -> None:
        nodes = self._summary.nodes(time.monotonic())
        message = DiagnosticArray()
        message.header.stamp = self.get_clock().now().to_msg()
        message.status = [status for node in nodes for status in _statuses(node)]
        self._aggregated.publish(message)
        level, words = overall(nodes)
        self._top_level.publish(_status("toplevel_state", level, words))
        for node in self._summary.changes(nodes):
            self._log(node)

    def _log(self, node: NodeSummary) -> None:
        # One call a severity: rclpy refuses a call whose severity changes.
        words = f"{node.name} is {node.level.name}: {node.words}"
        if node.level == Level.OK:
            self.get_logger().info(words)
        elif node.level == Level.WARN:
            self.get_logger().warning(words)
        else:
            self.get_logger().error(words)


def _statuses(node: NodeSummary) -> list[DiagnosticStatus]:
    """The node, and below it its parts."""
    whole = _status(f"/{node.name}", node.level, node.words)
    whole.values = [KeyValue(key=key, value=said.words) for key, said in node.parts.items()]
    stale = node.level == Level.STALE
    return [whole] + [
        _status(f"/{node.name}/{key}", Level.STALE if stale else said.level, said.words)
        for key, said in node.parts.items()
    ]


def _status(name: str, level: Level, words: str) -> DiagnosticStatus:
    return DiagnosticStatus(name=name, level=bytes([level]), message=words)


def _level(status: DiagnosticStatus) -> int:
    return int.from_bytes(status.level)


if __name__ == "__main__":
    raise SystemExit(main(lambda context: DiagnosticsNode(context=context)))
