"""What the workspace says of itself is so."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from robot_rl.app.ros.argument import HELP
from robot_rl.app.ros.plan import GROUPS
from robot_rl_bringup.reference import nodes, reference, topics
from robot_rl_nodes import topic

pytestmark = pytest.mark.ros

WORKSPACE = Path(__file__).parents[2] / "ros2_ws"
BRINGUP = WORKSPACE / "src/robot_rl_bringup"
README = (WORKSPACE / "README.md").read_text()
SERVICES = {
    value
    for name, value in vars(topic).items()
    if name.isupper() and isinstance(value, str) and not name.startswith("_")
}


def first_cells(heading: str) -> list[str]:
    """What stands first in each line of a table that begins so."""
    table = README[README.index(f"| {heading} |") :].partition("\n\n")[0]
    return [line.split("|")[1] for line in table.splitlines()[2:]]


def named(cells: list[str]) -> list[str]:
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def test_the_reference_is_what_the_code_says() -> None:
    said = (WORKSPACE / "REFERENCE.md").read_text()
    assert said == reference(), "python -m robot_rl_bringup.reference > ros2_ws/REFERENCE.md"


def test_the_reference_has_every_node_and_topic() -> None:
    assert len(list(nodes())) == len(list((WORKSPACE / "src").glob("*/*/*_node.py"))) - 1
    assert topic.SAFETY_STATE in topics()


def test_the_readme_names_every_package_group_and_argument() -> None:
    packages = {file.parent.name for file in (WORKSPACE / "src").glob("*/package.xml")}
    assert set(named(first_cells("package"))) == packages
    assert named(first_cells("group, launch file")) == list(GROUPS)
    assert named(first_cells("argument of a launch file")) == list(HELP)


def test_services_of_the_readme_are_those_of_the_graph() -> None:
    assert set(named(first_cells("service or action"))) <= SERVICES


def test_what_the_readme_draws_is_there() -> None:
    drawn = README[README.index("```") :].split("```")[1]
    names = {each.name for each in topics()} | SERVICES
    for name in re.findall(r"[a-z_]+/[a-z_]+\b", drawn.replace("twist_controller/ --", "")):
        assert any(known.startswith(name) for known in names), name


def strings(node: Any) -> list[str]:
    if isinstance(node, dict):
        return [text for value in node.values() for text in strings(value)]
    if isinstance(node, list):
        return [text for value in node for text in strings(value)]
    return [node] if isinstance(node, str) else []


@pytest.mark.parametrize("file", ["foxglove/robot_rl.json", "rviz/robot_rl.rviz"])
def test_the_views_look_at_topics_that_there_are(file: str) -> None:
    text = (BRINGUP / file).read_text()
    looked_at = set(re.findall(r"/fr3/([a-z_/]+)", text)) - {"robot_description"}
    known = {each.name.format(name="wrist") for each in topics()} | SERVICES
    assert looked_at
    assert looked_at <= known


def test_the_layout_places_every_panel_it_describes() -> None:
    layout = json.loads((BRINGUP / "foxglove/robot_rl.json").read_text())
    placed = [text for text in strings(layout["layout"]) if "!" in text]
    assert sorted(placed) == sorted(layout["configById"])
