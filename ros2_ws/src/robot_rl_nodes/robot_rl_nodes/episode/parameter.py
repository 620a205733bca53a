"""What the episode manager is told, and what it makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from robot_rl_nodes.episode.state import EpisodePatience
from robot_rl_nodes.parameter import Parameter


def _seconds(name: str, default: float, description: str) -> Parameter:
    return Parameter(
        name=name, default=default, description=f"{description} [s]", minimum=0.1, maximum=3600.0
    )


MANAGER = (
    Parameter(name="task", default="", description="YAML of configs/tasks", required=True),
    Parameter(
        name="recorded",
        default=False,
        description="an episode is over once the recorder has said that it is saved",
    ),
    _seconds("reset_s", 60.0, "within which robot and task are reset"),
    _seconds("ready_s", 60.0, "within which a person clears the gate"),
    _seconds("silence_s", 10.0, "for which the policy bridge may say nothing"),
    _seconds("save_s", 30.0, "within which the recorder saves an episode"),
)


def patience(values: Mapping[str, Any]) -> EpisodePatience:
    """How long is waited for whom."""
    return EpisodePatience(
        reset_s=values["reset_s"],
        ready_s=values["ready_s"],
        silence_s=values["silence_s"],
        save_s=values["save_s"] if values["recorded"] else None,
    )
