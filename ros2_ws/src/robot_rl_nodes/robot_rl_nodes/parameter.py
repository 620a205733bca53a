"""Parameters of a node: typed, described, range-checked, and never looser while the arm may move.

Not here: what they mean (each node's table), and files (a path is a string until a node opens it).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.lifecycle import LifecycleNode
from rclpy.parameter import Parameter as RosParameter

from robot_rl.core.errors import ConfigError, did_you_mean

Value = bool | int | float | str | Sequence[str] | Sequence[float]

IMPLIED = ("use_sim_time", "start_type_description_service")
"""What rclpy declares for every node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a node.

    Args:
        name: of the parameter.
        default: its type is the parameter's type; a list that may be empty is declared as one
            empty string.
        description: with the unit, for `ros2 param describe`.
        minimum, maximum: for numbers, both included.
        choices: the valid strings.
        required: an empty string is refused when the node is configured.
        limit: while the node is active it may be lowered, never raised.
        live: may change while the node is active at all; implied by `limit`.
    """

    name: str
    default: Value
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    required: bool = False
    limit: bool = False
    live: bool = False

    @property
    def descriptor(self) -> ParameterDescriptor:
        """As rclpy takes it."""
        described = ParameterDescriptor(description=self.description)
        if self.minimum is not None and self.maximum is not None:
            if isinstance(self.default, int):
                whole = IntegerRange(from_value=int(self.minimum), to_value=int(self.maximum))
                described.integer_range = [whole]
            else:
                span = FloatingPointRange(
                    from_value=float(self.minimum), to_value=float(self.maximum)
                )
                described.floating_point_range = [span]
        if self.choices:
            described.additional_constraints = f"one of: {', '.join(self.choices)}"
        return described

    def refuse(self, value: Any) -> str:
        """Why the value is wrong, in words; empty if it is not."""
        if self.choices and value not in self.choices:
            return f"{self.name}: got {value!r}, expected one of: {', '.join(self.choices)}"
        if isinstance(value, float) and not math.isfinite(value):
            return f"{self.name}: got {value}, expected a finite number"
        low = -math.inf if self.minimum is None else self.minimum
        high = math.inf if self.maximum is None else self.maximum
        numbers = [value] if isinstance(value, int | float) else []
        if any(not low <= number <= high for number in numbers):
            return f"{self.name}: got {value}, expected {low:g} to {high:g}"
        return ""


class Parameters:
    """The declared parameters of one node.

    Args:
        node: declares them, and lets nobody set one to a wrong value.
        table: of the node's class.

    Attributes:
        active: whether the node is; set by the node.
    """

    def __init__(self, node: LifecycleNode, table: Iterable[Parameter]) -> None:
        self._node = node
        self._table = {parameter.name: parameter for parameter in table}
        self.active = False
        for parameter in self._table.values():
            node.declare_parameter(parameter.name, parameter.default, parameter.descriptor)
        node.add_on_set_parameters_callback(self._judge)

    def values(self) -> Mapping[str, Any]:
        """All of them.

        Raises:
            ConfigError: naming what is missing, out of range, or unknown.
        """
        overrides: Mapping[str, Any] = self._node._parameter_overrides
        for name in overrides:
            if name not in self._table and name not in IMPLIED and not name.startswith("qos_"):
                raise ConfigError(f"unknown parameter {name!r}{did_you_mean(name, self._table)}")
        values = {name: self._node.get_parameter(name).value for name in self._table}
        for name, parameter in self._table.items():
            if parameter.required and values[name] == "":
                raise ConfigError(f"parameter {name!r} is missing: {parameter.description}")
            if refusal := parameter.refuse(values[name]):
                raise ConfigError(f"parameter {refusal}")
        return {
            name: [v for v in value if v != ""] if isinstance(value, list) else value
            for name, value in values.items()
        }

    def _judge(self, changes: list[RosParameter]) -> SetParametersResult:
        for change in changes:
            if refusal := self._refuse(change):
                return SetParametersResult(successful=False, reason=refusal)
        return SetParametersResult(successful=True)

    def _refuse(self, change: RosParameter) -> str:
        parameter = self._table.get(change.name)
        if parameter is None:
            return ""
        if refusal := parameter.refuse(change.value):
            return refusal
        if not self.active:
            return ""
        if parameter.limit:
            now: Any = self._node.get_parameter(change.name).value
            if change.value > now:
                return (
                    f"{change.name}: a limit is not raised while the node is active; got "
                    f"{change.value}, it is {now}. Deactivate the node first"
                )
        elif not parameter.live:
            return f"{change.name}: fixed while the node is active; deactivate it first"
        return ""
