"""The launch files say what the plan says: under stand-ins of `launch`, and the real one."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from robot_rl.app.ros.argument import HELP, Arguments, load_graph
from robot_rl.app.ros.parameter_file import parameter_text
from robot_rl.app.ros.plan import GROUPS, plan
from robot_rl.app.ros.process import Plan
from robot_rl.core.errors import ConfigError

pytestmark = pytest.mark.ros

ROOT = Path(__file__).parents[2]
LAUNCH = ROOT / "ros2_ws/src/robot_rl_bringup/launch"
FILES = {file.name.removesuffix(".launch.py"): file for file in LAUNCH.glob("*.launch.py")}
REAL = importlib.util.find_spec("launch_ros") is not None
ABSENT = "launch_ros is not there: it comes with a ROS 2 installation"


@dataclass
class Recorded:
    """An action, as it was made."""

    kind: str
    words: tuple[Any, ...]
    given: dict[str, Any]


@dataclass
class RecordedContext:
    """What the arguments of a launch are."""

    values: dict[str, str] = field(default_factory=dict)


def recorder(kind: str) -> Callable[..., Recorded]:
    return lambda *words, **given: Recorded(kind, words, given)


class RecordedConfiguration:
    def __init__(self, name: str) -> None:
        self.name = name

    def perform(self, context: RecordedContext) -> str:
        return context.values[self.name]


def module(name: str, **members: Any) -> ModuleType:
    made = ModuleType(name)
    vars(made).update(members)
    return made


def stand_ins() -> dict[str, ModuleType]:
    kinds = (
        "DeclareLaunchArgument",
        "ExecuteProcess",
        "LogInfo",
        "OpaqueFunction",
        "SetEnvironmentVariable",
        "Shutdown",
    )
    description = recorder("LaunchDescription")
    return {
        "launch": module("launch", LaunchDescription=description, LaunchContext=RecordedContext),
        "launch.actions": module("launch.actions", **{kind: recorder(kind) for kind in kinds}),
        "launch.substitutions": module(
            "launch.substitutions", LaunchConfiguration=RecordedConfiguration
        ),
        "launch_ros": module("launch_ros"),
        "launch_ros.actions": module("launch_ros.actions", Node=recorder("Node")),
    }


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, made in stand_ins().items():
        monkeypatch.setitem(sys.modules, name, made)
    monkeypatch.delitem(sys.modules, "robot_rl_bringup.launching", raising=False)
    yield
    sys.modules.pop("robot_rl_bringup.launching", None)


def described(group: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"{group}_launch", FILES[group])
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded.generate_launch_description()


def arguments(group: str) -> dict[str, str]:
    robot = "sim_fr3" if group in ("sim", "robot") else "example_real"
    return Arguments(robot=robot, config_dir=str(ROOT / "configs"), ns="cell").text()


def actions(group: str, given: dict[str, str]) -> list[Recorded]:
    *_, opaque = described(group).words[0]
    return opaque.given["function"](RecordedContext(given), *opaque.given["args"])


def planned(group: str, given: dict[str, str]) -> Plan:
    said = Arguments.of_text(given)
    return plan(load_graph(said), group, said)


def test_every_group_has_its_launch_file_and_no_other() -> None:
    assert set(FILES) == set(GROUPS)


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize("group", GROUPS)
def test_every_launch_file_declares_the_arguments_with_their_defaults(group: str) -> None:
    *declared, _ = described(group).words[0]
    assert [each.words[0] for each in declared] == list(HELP)
    defaults = {each.words[0]: each.given["default_value"] for each in declared}
    assert defaults == Arguments().text()
    assert all(each.given["description"] for each in declared)


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize("group", GROUPS)
def test_every_launch_file_starts_what_the_plan_says(group: str) -> None:
    given = arguments(group)
    made, done = planned(group, given), actions(group, given)
    variables = {a.words[0]: a.words[1] for a in done if a.kind == "SetEnvironmentVariable"}
    assert variables == made.environment
    nodes = [action.given for action in done if action.kind == "Node"]
    assert len(nodes) == len(made.processes)
    for node, process in zip(nodes, made.processes, strict=True):
        assert (node["package"], node["executable"]) == (process.package, process.executable)
        assert (node["name"], node["namespace"]) == (process.name, "/cell")
        assert dict(node["remappings"]) == process.remaps
        text = Path(node["parameters"][0]).read_text()
        assert text == parameter_text(process.name, process.parameters)
        assert node.get("respawn", False) == (process.respawn_delay_s is not None)
        assert ("on_exit" in node) == process.critical
        assert node["arguments"] == ["--ros-args", "--log-level", made.log_level]


@pytest.mark.usefixtures("recorded")
def test_the_environment_is_set_before_anything_is_started() -> None:
    kinds = [action.kind for action in actions("hil", arguments("hil"))]
    assert "Node" not in kinds[: kinds.index("Node")]
    last = max(i for i, kind in enumerate(kinds) if kind == "SetEnvironmentVariable")
    assert last < kinds.index("Node")


@pytest.mark.usefixtures("recorded")
def test_a_wrong_argument_starts_nothing() -> None:
    with pytest.raises(ConfigError, match="log_level"):
        actions("hil", {**arguments("hil"), "log_level": "loud"})


@pytest.mark.skipif(not REAL, reason=ABSENT)
@pytest.mark.parametrize("group", GROUPS)
def test_the_real_launch_takes_every_launch_file(group: str) -> None:
    from launch import LaunchContext
    from launch.actions import DeclareLaunchArgument, OpaqueFunction
    from launch_ros.actions import Node

    context = LaunchContext()
    context.launch_configurations.update(arguments(group))
    done: list[Any] = []
    for entity in described(group).entities:
        made = entity.execute(context)
        assert isinstance(entity, DeclareLaunchArgument | OpaqueFunction)
        done += made or []
    assert sum(isinstance(action, Node) for action in done) == len(
        planned(group, arguments(group)).processes
    )
