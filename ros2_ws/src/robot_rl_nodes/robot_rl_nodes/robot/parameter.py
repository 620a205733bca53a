"""What the robot interface is told, and the reader that it makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from robot_rl.config.load import load
from robot_rl.core.errors import ConfigError
from robot_rl.core.spec import WRENCH
from robot_rl.runtime.gate.cell import GateCell
from robot_rl_nodes.parameter import Parameter
from robot_rl_nodes.robot.reader import RobotReader
from robot_rl_nodes.robot.table import ROBOTS
from robot_rl_nodes.task import task_spec

PARAMETERS = (
    Parameter(
        name="robot",
        default="sim",
        description="whose driver is listened to",
        choices=tuple(ROBOTS),
    ),
    Parameter(
        name="cell",
        default="",
        description="path of the cell's YAML: its chain",
        required=True,
    ),
    Parameter(
        name="task",
        default="",
        description="path of the task's YAML: which vectors are wanted",
        required=True,
    ),
    Parameter(
        name="max_skew_s",
        default=0.02,
        description="how much older than the joints a part may be [s]",
        minimum=0.0,
        maximum=0.2,
    ),
    Parameter(
        name="max_slow_s",
        default=0.2,
        description="the same for a part that comes more rarely, such as a gripper [s]",
        minimum=0.0,
        maximum=2.0,
    ),
    Parameter(
        name="own_wrench",
        default=True,
        description="whether the robot's wrench is taken; false where a force-torque node "
        "delivers one, and offers ft/zero",
    ),
    Parameter(
        name="own_pose",
        default=True,
        description="whether the robot's pose of the tool is taken; false where its tool is "
        "not the cell's: the cell's chain gives the pose then",
    ),
)


def reader(values: Mapping[str, Any]) -> RobotReader:
    """Return what joins a robot's samples.

    Args:
        values: of `PARAMETERS`.

    Raises:
        ConfigError: if cell, task and robot do not fit together.
    """
    chain = load(values["cell"], GateCell).chain
    if chain is None:
        raise ConfigError(
            f"cell {values['cell']}: it has no chain, by which the tool's place is known"
        )
    robot = ROBOTS[values["robot"]]
    left_out = {"wrench": not values["own_wrench"], "pose": not values["own_pose"]}
    spec = task_spec(values["task"]).observation
    wanted = {k: v for k, v in spec.vectors.items() if k != WRENCH or values["own_wrench"]}
    return RobotReader(
        robot.layout,
        chain,
        replace(spec, vectors=wanted),
        frozenset(part for part in robot.topics if not left_out.get(part)),
        max_skew_s=values["max_skew_s"],
        max_slow_s=values["max_slow_s"],
    )
