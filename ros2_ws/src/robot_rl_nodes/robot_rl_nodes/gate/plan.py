"""What the gate is to be: its parameters, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robot_rl.config.load import load
from robot_rl.control.arbiter import HandOver
from robot_rl.control.realtime import RealtimeConfig
from robot_rl.control.tightening import tightened
from robot_rl.core.spec import ActionSpec
from robot_rl.runtime.gate.cell import GateCell, played
from robot_rl_nodes.gate.writer import CONTROLLERS, controller_topic
from robot_rl_nodes.parameter import Parameter
from robot_rl_nodes.task import task_spec
from robot_rl_nodes.topic import GRIPPER_COMMAND, Topic

THE_CELLS_M_S = 10.0
"""The value of `max_tcp_speed_m_s` that stands for the cell's own."""

PARAMETERS = (
    Parameter(
        name="cell",
        default="",
        description="path of a YAML of configs/cells, whose limits hold",
        required=True,
    ),
    Parameter(
        name="task",
        default="",
        description="path of a YAML of configs/tasks, whose actions are taken",
        required=True,
    ),
    Parameter(
        name="rate_hz", default=100.0, description="checks per second", minimum=50, maximum=500
    ),
    Parameter(
        name="controller",
        default="twist",
        description="which controller the robot runs",
        choices=tuple(CONTROLLERS),
    ),
    Parameter(
        name="after_release",
        default="hold",
        description="once a person lets go the policy goes on by itself, or when given back",
        choices=("auto", "hold"),
    ),
    Parameter(
        name="max_tcp_speed_m_s",
        default=THE_CELLS_M_S,
        description=f"below the cell's own; {THE_CELLS_M_S:g} for that one [m/s]",
        minimum=0.001,
        maximum=THE_CELLS_M_S,
        limit=True,
    ),
    Parameter(
        name="leash_m",
        default=0.02,
        description="controller pose: how far its target may be from the tcp [m]",
        minimum=0.0005,
        maximum=0.1,
    ),
    Parameter(
        name="leash_rad",
        default=0.2,
        description="controller pose: likewise its rotation [rad]",
        minimum=0.005,
        maximum=0.5,
    ),
    Parameter(
        name="wait_s",
        default=5.0,
        description="how long activation waits for robot and controller [s]",
        minimum=0.0,
        maximum=60.0,
    ),
    Parameter(
        name="priority",
        default=0,
        description="real-time priority, 1 to 49; 0 asks for none",
        minimum=0,
        maximum=49,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatePlan:
    """All that the parameters say, checked.

    Args:
        cell: with the limits in force.
        action: of the commanders.
        played: the same as the gate sees it in each of its periods.
        controller: a key of `CONTROLLERS`.
        leash: of a target pose, in m and in rad.
        speed_m_s: the parameter `max_tcp_speed_m_s`.
        rule: what follows a release.
        realtime: what is asked of the machine.
    """

    cell: GateCell
    action: ActionSpec
    played: ActionSpec
    controller: str
    leash: tuple[float, float]
    speed_m_s: float
    rule: HandOver
    realtime: RealtimeConfig

    @property
    def period_s(self) -> float:
        """Of the gate."""
        return self.played.period_s

    @property
    def topics(self) -> tuple[Topic, ...]:
        """Where arm and gripper hear; the arm's is the first."""
        grips = self.action.names[-1] == "gripper"
        return (controller_topic(self.controller, self.action), *([GRIPPER_COMMAND] * grips))


def plan(values: Mapping[str, Any]) -> GatePlan:
    """Return what the parameters say.

    Raises:
        ConfigError: naming what is wrong, or does not fit together.
    """
    action = task_spec(Path(values["task"])).action
    made = GatePlan(
        cell=limited(load(Path(values["cell"]), GateCell), values["max_tcp_speed_m_s"]),
        action=action,
        played=played(action, 1.0 / values["rate_hz"]),
        controller=values["controller"],
        leash=(values["leash_m"], values["leash_rad"]),
        speed_m_s=values["max_tcp_speed_m_s"],
        rule=HandOver(after_release=values["after_release"]),
        realtime=RealtimeConfig(priority=values["priority"] or None),
    )
    controller_topic(made.controller, action)
    return made


def limited(cell: GateCell, speed_m_s: float) -> GateCell:
    """Return the cell with a lower limit of speed.

    Raises:
        ConfigError: if it is higher.
    """
    if speed_m_s == THE_CELLS_M_S:
        return cell
    tighter = tightened(cell.limits, {"max_tcp_speed_m_s": speed_m_s})
    return cell.model_copy(update={"limits": tighter.limits})
