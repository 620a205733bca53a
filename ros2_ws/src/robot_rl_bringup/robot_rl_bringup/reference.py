"""Writes `REFERENCE.md`: every topic and every node's parameters, as the code has them.

python -m robot_rl_bringup.reference > ros2_ws/REFERENCE.md
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterator

import robot_rl_nodes
import robot_rl_sim_nodes
from robot_rl_nodes import topic
from robot_rl_nodes.managed_node import ManagedNode
from robot_rl_nodes.parameter import Parameter
from robot_rl_nodes.topic import Topic

HEAD = """\
# Reference

Made by `python -m robot_rl_bringup.reference > ros2_ws/REFERENCE.md`; a test compares.
"""
TOPICS = """\
## Topics

Under the robot's namespace, but for those with a slash. What each quality of service is stands in
the docstring of `robot_rl_nodes/topic.py`.

| topic | type | quality |
|---|---|---|"""
PARAMETERS = """\
## Parameters

Each node also has `use_sim_time`, `autostart` (configure and activate at start, where no manager
does it) and `manager_ends_within_s` (asked to end, it waits so long for its manager to end it in
order). One that is marked with a star must be given. A limit may be lowered while the node
is active, never raised."""
TABLE = """\
| parameter | default | means |
|---|---|---|"""


def reference() -> str:
    """Return the whole text."""
    lines = [HEAD, TOPICS, *map(_topic_line, topics()), "", PARAMETERS]
    for module, node in nodes():
        summary = (inspect.getdoc(sys.modules[module]) or "").partition("\n")[0]
        lines += ["", f"### `{module.rpartition('.')[2]}`", "", summary]
        if node.PARAMETERS:
            lines += ["", TABLE, *map(_parameter_line, node.PARAMETERS)]
    return "\n".join(lines) + "\n"


def topics() -> list[Topic]:
    """All topics of the graph, by name."""
    found = [value for value in vars(topic).values() if isinstance(value, Topic)]
    return sorted(found, key=lambda each: each.name)


def nodes() -> Iterator[tuple[str, type[ManagedNode]]]:
    """Every node's module and class."""
    for package in (robot_rl_nodes, robot_rl_sim_nodes):
        for found in sorted(pkgutil.iter_modules(package.__path__), key=lambda each: each.name):
            name = f"{package.__name__}.{found.name}"
            if not found.name.endswith("_node") or found.name == "managed_node":
                continue
            module = importlib.import_module(name)
            for _, kind in inspect.getmembers(module, inspect.isclass):
                if issubclass(kind, ManagedNode) and kind.__module__ == name:
                    yield name, kind


def _topic_line(each: Topic) -> str:
    folder = each.type.__module__.split(".")[0]
    return f"| `{each.name}` | {folder}/{each.type.__name__} | {each.quality.value} |"


def _parameter_line(each: Parameter) -> str:
    words = each.description
    if each.choices:
        words += f"; one of {', '.join(each.choices)}"
    if each.minimum is not None and each.maximum is not None:
        words += f"; {each.minimum:g} to {each.maximum:g}"
    if each.limit:
        words += "; a limit"
    star = "*" if each.required else ""
    empty = each.default in ("", [""])
    return f"| `{each.name}`{star} | {'' if empty else f'`{each.default}`'} | {words} |"


if __name__ == "__main__":
    sys.stdout.write(reference())
