"""Faults as parameters of a node, which may be set while it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node

from robot_rl.core.errors import ConfigError
from robot_rl_sim_nodes.sim_fault import FAULTS, FaultSettings


class FaultParameters:
    """Lets a node's `FAULTS` be set, if they can be, and hands them on.

    Args:
        node: that has declared them.

    Attributes:
        check: raises a ConfigError for faults that cannot be; None while nothing can fail.
        take: is called with the faults after each change.
    """

    def __init__(self, node: Node) -> None:
        self.check: Callable[[FaultSettings], None] | None = None
        self.take: Callable[[FaultSettings], None] | None = None
        self._node = node
        node.add_on_set_parameters_callback(self._judge)
        node.add_post_set_parameters_callback(lambda changes: self.hand_on())

    def hand_on(self) -> None:
        """Call `take` with the faults as they are set now."""
        if self.take is not None:
            self.take(FaultSettings.of(self._values()))

    def end(self) -> None:
        """Nothing can fail any more."""
        self.check = self.take = None

    def _judge(self, changes: list[Any]) -> SetParametersResult:
        changed = {change.name: change.value for change in changes}
        try:
            if self.check is not None:
                self.check(FaultSettings.of(self._values() | changed))
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _values(self) -> dict[str, Any]:
        return {fault.name: self._node.get_parameter(fault.name).value for fault in FAULTS}
