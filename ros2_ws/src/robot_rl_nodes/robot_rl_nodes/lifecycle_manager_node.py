"""Leads the nodes of a graph through their lives: up in order, and down with the gate last.

What is said to them is said from a thread of its own, one after the other.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from rclpy.context import Context

from robot_rl_nodes.diagnostic import Level
from robot_rl_nodes.lifecycle.client import LifecycleClient
from robot_rl_nodes.lifecycle.lead import LifecycleLead
from robot_rl_nodes.lifecycle.order import LifecycleOrder, describe
from robot_rl_nodes.managed_node import ManagedNode
from robot_rl_nodes.parameter import Parameter
from robot_rl_nodes.process import main

_CHECK_S = 0.2


class LifecycleManagerNode(ManagedNode):
    """While it is active, so are the nodes of its list; when it comes to rest, they have.

    Attributes:
        up: all nodes have become active.
        failed: it could not make them so, or a critical one fell; all are at rest.
    """

    PARAMETERS = (
        Parameter(
            name="nodes",
            default=[""],
            description="the managed nodes as `stage:node`, in the order in which they come up",
        ),
        Parameter(
            name="critical", default=[""], description="nodes without which all come to rest"
        ),
        Parameter(
            name="revived",
            default=[""],
            description="nodes that are brought up again if they fall",
        ),
        Parameter(
            name="timeout_s",
            default=30.0,
            description="for a node to appear, and for each of its transitions [s]",
            minimum=0.1,
            maximum=600,
        ),
        Parameter(
            name="watch_period_s",
            default=1.0,
            description="between two looks at the nodes [s]",
            minimum=0.05,
            maximum=60,
        ),
    )

    def __init__(self, **of: Any) -> None:
        super().__init__("lifecycle_manager", **of)
        self.up = False
        self.failed = False

    def setup(self, values: Mapping[str, Any]) -> None:
        """Read the order."""
        self._order = LifecycleOrder.parse(values["nodes"], values["critical"], values["revived"])
        self._timeout_s: float = values["timeout_s"]
        self._period_s: float = values["watch_period_s"]
        self.every(_CHECK_S, self._end_if_not_up)

    def begin(self) -> None:
        """Begin to bring the nodes up."""
        self.up = self.failed = False
        self._asked = threading.Event()
        self._thread = threading.Thread(target=self._lead, name="lifecycle", daemon=True)
        self._thread.start()

    def rest(self) -> None:
        """Bring the nodes to rest; it is done when this returns."""
        self._asked.set()
        self._thread.join()
        self.up = False

    def _lead(self) -> None:
        client = LifecycleClient(self.context, f"{self.get_name()}_client", self.get_namespace())
        with client:
            lead = LifecycleLead(
                client, self._order, self._timeout_s, self._say, self._asked.is_set
            )
            try:
                self.up = lead.bring_up()
                while not self._asked.wait(self._period_s):
                    self._judge(describe(lead.look()))
            except Exception as error:  # noqa: BLE001 - logged and told; all come to rest
                self.failed = True
                self._judge(f"all come to rest: {error}")
                self.get_logger().error(f"all come to rest: {error}")
            lead.bring_down()

    def _end_if_not_up(self) -> None:
        """A graph that could not be brought up is at an end; one that fell can be looked at."""
        if self.failed and not self.up and not self._thread.is_alive():
            self.trigger_shutdown()

    def _say(self, words: str) -> None:
        self.get_logger().info(words)

    def _judge(self, fault: str) -> None:
        if fault:
            self.diagnostics.set("nodes", Level.ERROR, fault)
        else:
            self.diagnostics.set("nodes", Level.OK, "all are active")


def run(argv: Sequence[str] | None = None) -> int:
    """Run the manager; a graph that could not be brought up is its failure."""
    made: list[LifecycleManagerNode] = []

    def make(context: Context) -> LifecycleManagerNode:
        made.append(LifecycleManagerNode(context=context))
        return made[0]

    return main(make, argv) or int(made[0].failed)


if __name__ == "__main__":
    raise SystemExit(run())
