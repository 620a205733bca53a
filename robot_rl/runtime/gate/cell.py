"""What the gate is built from: a cell as it stands in `configs/cells`, and the robot's actions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from robot_rl.config.model import Config
from robot_rl.control.collision.shape import CollisionConfig
from robot_rl.control.kinematics import SerialChainConfig
from robot_rl.control.limits import SafetyLimits
from robot_rl.core.errors import ConfigError
from robot_rl.core.spec import ActionSpec


class GateCell(Config):
    """A cell as the process beside the robot sees it.

    Args:
        name: of the cell.
        limits: what no command may exceed here.
        chain: the arm's kinematics.
        collision: bodies that the gate keeps apart.
        bench, streams, realtime: not looked at: simulators, cameras and the actor's loop are other
            processes' business.
    """

    name: str
    limits: SafetyLimits
    chain: SerialChainConfig | None = None
    collision: CollisionConfig | None = None
    bench: dict[str, Any]
    streams: dict[str, Any] | None = None
    realtime: dict[str, Any] | None = None


def played(action: ActionSpec, period_s: float) -> ActionSpec:
    """Return the commanders' action space as the gate sees it in each of its own periods.

    The same normalised numbers mean the same velocity: what one action moves in its period is
    spread over the gate's periods in it. A gripper's last element is a position and stays.

    Args:
        action: of the commanders, a delta of one of their periods.
        period_s: of the gate.

    Raises:
        ConfigError: if the gate would be slower than its commanders.
    """
    if period_s > action.period_s:
        raise ConfigError(
            f"the gate's period is {period_s} s, its commanders' {action.period_s} s; expected "
            "a gate that is at least as fast: raise rate_hz"
        )
    share = period_s / action.period_s
    scale = tuple(
        whole if name == "gripper" else share * whole
        for name, whole in zip(action.names, action.scale, strict=True)
    )
    return replace(action, scale=scale, period_s=period_s)
