"""A node's parameters as the YAML that ROS reads.

The key is `/**/NAME`: a bare name would not match a node in a namespace, in silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from robot_rl.app.ros.graph_config import Value
from robot_rl.app.ros.process import Plan
from robot_rl.config import document


def parameter_text(node: str, parameters: Mapping[str, Value]) -> str:
    """Return the YAML of one node's parameters; an empty list is left to the node's default."""
    given = {name: value for name, value in parameters.items() if value != []}
    return document.dump({f"/**/{node}": {"ros__parameters": given}})


def write_parameters(plan: Plan, folder: Path) -> dict[str, Path]:
    """Write one file for each process into a folder; returns them by the node's name."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {process.name: folder / f"{process.name}.yaml" for process in plan.processes}
    for process in plan.processes:
        text = parameter_text(process.name, process.parameters)
        files[process.name].write_text(text, encoding="utf-8")
    return files
