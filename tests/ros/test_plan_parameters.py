"""Whatever a plan gives to a node, the node declares, and takes."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import replace
from pathlib import Path

import pytest

from robot_rl.app.ros.argument import Arguments, load_graph
from robot_rl.app.ros.plan import GROUPS, plan
from robot_rl.app.ros.process import Process
from robot_rl_nodes.managed_node import ManagedNode
from robot_rl_nodes.parameter import IMPLIED, Parameter

pytestmark = pytest.mark.ros

CONFIGS = Path(__file__).parents[2] / "configs"


def processes() -> list[Process]:
    """Every process of every plan of the repository's graphs."""
    found: dict[tuple[str, str, str], Process] = {}
    for file in sorted((CONFIGS / "ros").glob("*.yaml")):
        arguments = Arguments(robot=str(file), record="true", dds_profile="none")
        config = load_graph(arguments)
        for group in GROUPS:
            if (group == "sensors" and not config.cameras) or (
                group == "sim" and config.robot.kind != "sim"
            ):
                continue
            for process in plan(config, group, arguments).processes:
                found[file.stem, group, process.name] = process
    return [replace(process, name=f"{s}-{g}-{n}") for (s, g, n), process in found.items()]


def declared(process: Process) -> dict[str, Parameter]:
    module = importlib.import_module(process.module)
    classes = [
        each
        for _, each in inspect.getmembers(module, inspect.isclass)
        if issubclass(each, ManagedNode) and each.__module__ == process.module
    ]
    assert len(classes) == 1, f"{process.module} has {len(classes)} nodes, expected one"
    return {parameter.name: parameter for parameter in classes[0].PARAMETERS}


@pytest.mark.parametrize("process", processes(), ids=lambda process: process.name)
def test_a_node_declares_what_it_is_given_and_is_given_what_it_needs(process: Process) -> None:
    table = declared(process)
    for name, value in process.parameters.items():
        if name in (*IMPLIED, "autostart"):
            continue
        assert name in table, f"{process.module} has no parameter {name!r}"
        assert type(value) is type(table[name].default), f"{name}: got {value!r}"
        assert table[name].refuse(value) == ""
    missing = [
        name
        for name, parameter in table.items()
        if parameter.required and not process.parameters.get(name)
    ]
    assert not missing, f"{process.module} needs {missing}"
