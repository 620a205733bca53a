"""What the policy bridge is told, and what it makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from robot_rl.control.chunking.async_player import ChunkingConfig
from robot_rl_nodes.graph.contract import Patience
from robot_rl_nodes.parameter import Parameter

_MODES = get_args(ChunkingConfig.model_fields["mode"].annotation)

BRIDGE = (
    Parameter(name="task", default="", description="YAML of configs/tasks", required=True),
    Parameter(
        name="cell",
        default="",
        description="YAML of configs/cells, which says how its streams are watched; by their ages "
        "alone without it",
    ),
    Parameter(
        name="sources",
        default=["robot"],
        description="streams of the observation: robot, perception, ft, camera:NAME, "
        "tactile:NAME, tactile_image:NAME",
    ),
    Parameter(
        name="uri",
        default="",
        description="policy server: ws://host:port or unix:///path; only persons drive without it",
    ),
    Parameter(name="policy", default="", description="name at the server; its default without it"),
    Parameter(
        name="mode",
        default="trim",
        description="how plans follow each other, see ChunkingConfig; in wait the arm rests "
        "while the policy plans",
        choices=_MODES,
    ),
    Parameter(
        name="execute",
        default=0,
        description="periods from one plan to the next; 0 for the policy's own",
        minimum=0,
        maximum=1000,
    ),
    Parameter(
        name="max_action_age_s",
        default=1.0,
        description="age of the observation behind an action that is played [s]",
        minimum=0.01,
        maximum=10.0,
    ),
    Parameter(
        name="plan_s",
        default=2.0,
        description="within which the server must answer [s]",
        minimum=0.1,
        maximum=10.0,
    ),
    Parameter(
        name="max_age_s",
        default=0.25,
        description="age of a sample, beyond which nothing is offered [s]",
        minimum=0.02,
        maximum=2.0,
    ),
    Parameter(
        name="ready_s",
        default=5.0,
        description="within which streams, gate and seat must be there for an episode [s]",
        minimum=0.1,
        maximum=60.0,
    ),
    Parameter(
        name="gate_s",
        default=0.5,
        description="silence of the gate, beyond which it is lost [s]",
        minimum=0.1,
        maximum=5.0,
    ),
)


def chunking(values: Mapping[str, Any]) -> ChunkingConfig:
    """How chunks are played."""
    return ChunkingConfig(
        max_action_age_s=values["max_action_age_s"],
        mode=values["mode"],
        execute=values["execute"] or None,
    )


def patience(values: Mapping[str, Any]) -> Patience:
    """How long is waited for whom."""
    return Patience(
        max_age_s=values["max_age_s"], ready_s=values["ready_s"], gate_s=values["gate_s"]
    )


def policy_uri(values: Mapping[str, Any]) -> str:
    """Where the policy is, as `ServedPolicy` takes it."""
    named = f"#{values['policy']}" if values["policy"] else ""
    return f"{values['uri']}{named}" if values["uri"] else ""
