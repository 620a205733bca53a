from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from robot_rl.app.ros import node_table
from robot_rl.app.ros.argument import HELP, Arguments, load_graph
from robot_rl.app.ros.graph_config import GraphConfig
from robot_rl.app.ros.parameter_file import parameter_text, write_parameters
from robot_rl.app.ros.plan import GROUPS, NEEDS, PARTS, TOPS, plan
from robot_rl.app.ros.process import Plan, Stage
from robot_rl.config import document
from robot_rl.core.errors import ConfigError

CONFIGS = Path(__file__).parents[3] / "configs"
FILES = sorted((CONFIGS / "ros").glob("*.yaml"))
DEVICES = CONFIGS / "devices"
ARGUMENTS = Arguments(robot=str(CONFIGS / "ros/sim_fr3.yaml"), dds_profile="none")

SIM = {"kind": "sim", "driver": str(CONFIGS / "drivers/sim_fr3.yaml")}
PERSON = {"device": str(DEVICES / "fake_operator.yaml"), "person": "anna"}


def graph(**other: Any) -> GraphConfig:
    given = {
        "name": "cell",
        "namespace": "fr3",
        "cell": str(CONFIGS / "cells/sim_fr3.yaml"),
        "task": str(CONFIGS / "tasks/pick_cube.yaml"),
        "robot": SIM,
        "operator": PERSON,
        "policy": {"uri": "ws://127.0.0.1:8000"},
        "recorder": {"folder": "runs/cell"},
    }
    return GraphConfig.model_validate({**given, **other})


def plan_or_words(config: GraphConfig, group: str, record: str) -> Plan | str:
    try:
        return plan(config, group, replace(ARGUMENTS, record=record))
    except ConfigError as error:
        return str(error)


def names(made: Plan) -> list[str]:
    return [process.name for process in made.processes]


CAMERA = {"device": str(DEVICES / "fake_camera.yaml"), "calibration": "none"}
FINGER = {"device": str(DEVICES / "fake_finger.yaml")}
GRAPHS = st.builds(
    graph,
    robot=st.sampled_from([SIM, {"kind": "franka"}, {"kind": "ur"}]),
    cameras=st.sets(st.sampled_from(["wrist", "front", "side"])).map(
        lambda found: dict.fromkeys(found, CAMERA)
    ),
    tactile=st.sets(st.sampled_from(["left", "right"])).map(
        lambda found: dict.fromkeys(found, FINGER)
    ),
    operator=st.sampled_from([None, PERSON]),
    policy=st.sampled_from([None, {"uri": "unix:/tmp/policy.sock"}]),
    recorder=st.sampled_from([None, {"folder": "runs/cell"}]),
)


@given(GRAPHS, st.sampled_from(GROUPS), st.sampled_from(["auto", "true", "false"]))
def test_every_plan_either_stands_or_says_what_is_missing(
    config: GraphConfig, group: str, record: str
) -> None:
    made = plan_or_words(config, group, record)
    if isinstance(made, str):
        assert made.startswith(config.name)
        return
    assert len(set(names(made))) == len(made.processes)
    assert [p.stage for p in made.processes] == sorted(p.stage for p in made.processes)
    assert sorted(names(made)) == sorted(p.name for stage in made.ending for p in stage)
    assert made.processes[-1].stage == Stage.MANAGER
    managed = [f"{p.stage.name.lower()}:{p.name}" for p in made.processes if p.managed]
    assert made.processes[-1].parameters["nodes"] == managed
    assert all(p.namespace == "/fr3" for p in made.processes)
    assert all(p.respawn_delay_s is None or not p.critical for p in made.processes)
    if "command_gate" in names(made):
        assert made.process("command_gate").critical
        assert [p.name for p in made.ending[-1]] == ["command_gate"]
    else:
        assert group in ("sensors", "policy", "teleop", "record")


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
@pytest.mark.parametrize("group", GROUPS)
def test_every_graph_of_the_repository_makes_every_plan(file: Path, group: str) -> None:
    config = load_graph(Arguments(robot=str(file)))
    if group == "sensors" and not config.cameras:
        with pytest.raises(ConfigError, match="nothing of group 'sensors'"):
            plan(config, group, ARGUMENTS)
        return
    if group == "sim" and config.robot.kind != "sim":
        with pytest.raises(ConfigError, match="needs a simulated robot"):
            plan(config, group, ARGUMENTS)
        return
    assert plan(config, group, ARGUMENTS).processes


def test_the_parts_together_are_the_correction_session() -> None:
    config = graph(cameras={"wrist": CAMERA})
    parts = {name for part in PARTS for name in names(plan(config, part, ARGUMENTS))}
    whole = set(names(plan(config, "hil", ARGUMENTS)))
    managers = {f"{part}_manager" for part in PARTS}
    assert parts - managers == whole - {"diagnostics", "lifecycle_manager"}


def words_of_the_run(**given: str) -> tuple[list[str], tuple[str, ...]]:
    """Who else is in the graph of a run, and how the run is started."""
    made = plan(graph(operator=None, policy=None), "hil", replace(ARGUMENTS, **given))
    run = next(process for process in made.processes if process.name == "run")
    return names(made), run.words


def test_a_person_at_the_page_takes_the_place_of_the_graphs_device(tmp_path: Path) -> None:
    run_file = str(CONFIGS / "runs/peg_insert_session.yaml")
    others, words = words_of_the_run(train=run_file, person="anna")
    assert not {"operator", "policy_bridge", "recorder"} & set(others)
    assert {"command_gate", "robot_interface", "sim_robot"} <= set(others)
    assert words == ("session", "--operator", "anna", "--through", ARGUMENTS.robot, run_file)
    _, words = words_of_the_run(train=str(tmp_path), person="anna")
    assert words[-2:] == ("--resume", str(tmp_path))
    with pytest.raises(ConfigError, match="no device for a person"):
        words_of_the_run(train=run_file)


def test_the_recorder_calls_the_robot_as_the_run_does() -> None:
    def robot(**more: str) -> object:
        made = plan(graph(robot={**SIM, **more}), "hil", ARGUMENTS)
        recorder = next(process for process in made.processes if process.name == "recorder")
        return recorder.parameters.get("robot")

    assert robot(name="fr3_sim") == "fr3_sim"
    # It takes its namespace then, as `ns` may change it.
    assert robot() is None
    assert node_table.robot_of(graph()) == "fr3"


def test_nobody_corrects_in_an_evaluation() -> None:
    assert "operator" not in names(plan(graph(), "eval", ARGUMENTS))


def test_a_demonstration_is_nobodys_but_the_persons() -> None:
    made = plan(graph(), "collect", ARGUMENTS)
    assert "uri" not in made.process("policy_bridge").parameters
    assert "recorder" in names(made)


@pytest.mark.parametrize("group", TOPS)
@pytest.mark.parametrize(
    ("record", "recorded"), [("true", TOPS), ("false", ()), ("auto", ("hil", "collect"))]
)
def test_recording_is_as_one_says_and_else_as_the_group_does(
    group: str, record: str, recorded: tuple[str, ...]
) -> None:
    made = plan(graph(), group, replace(ARGUMENTS, record=record))
    assert ("recorder" in names(made)) == (group in recorded)


@pytest.mark.parametrize(("group", "needs"), NEEDS.items())
def test_what_a_group_needs_is_asked_for_with_a_remedy(group: str, needs: tuple[str, ...]) -> None:
    for need in needs:
        with pytest.raises(ConfigError, match=rf"cell: no.*{need}\."):
            plan(graph(**{need: None}), group, ARGUMENTS)


def test_without_autostart_nobody_leads() -> None:
    made = plan(graph(), "hil", replace(ARGUMENTS, autostart=False))
    assert all(process.stage != Stage.MANAGER for process in made.processes)


def test_only_sensors_are_started_again() -> None:
    made = plan(graph(cameras={"wrist": CAMERA}, tactile={"left": FINGER}), "hil", ARGUMENTS)
    again = {process.name for process in made.processes if process.respawn_delay_s is not None}
    assert again == {"camera_wrist", "tactile_left"}
    assert set(made.process("lifecycle_manager").parameters["revived"]) == again


def test_a_sensor_of_its_own_is_the_only_one_that_tells_the_wrench() -> None:
    sensor = {
        "device": str(DEVICES / "fake_force_torque.yaml"),
        "compensation": str(DEVICES / "fake_compensation.yaml"),
    }
    made = plan(graph(force_torque=sensor), "hil", ARGUMENTS)
    assert made.process("robot_interface").parameters["own_wrench"] is False
    assert "ft" in made.process("policy_bridge").parameters["sources"]


@pytest.mark.parametrize(
    ("group", "recorded"), [("hil", True), ("eval", False), ("policy", False)]
)
def test_an_episode_ends_when_it_is_saved_where_there_is_a_recorder(
    group: str, recorded: bool
) -> None:
    made = plan(graph(), group, ARGUMENTS)
    assert made.process("episode_manager").parameters["recorded"] is recorded


def test_the_diagnostics_expect_everybody_else() -> None:
    made = plan(graph(cameras={"wrist": CAMERA}), "hil", ARGUMENTS)
    others = set(names(made)) - {"diagnostics", "lifecycle_manager"}
    assert set(made.process("diagnostics").parameters["expected"]) == others


@pytest.mark.parametrize(
    ("robot", "words"),
    [
        ({"kind": "sim"}, "driver is missing"),
        ({**SIM, "kind": "ur"}, "start its own driver"),
    ],
)
def test_only_a_simulated_robot_has_its_driver_started(robot: Any, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        graph(robot=robot)


def test_arguments_reach_every_node() -> None:
    made = plan(
        graph(), "hil", replace(ARGUMENTS, ns="left/fr3", use_sim_time=True, discovery="subnet")
    )
    assert {process.namespace for process in made.processes} == {"/left/fr3"}
    assert all(process.parameters["use_sim_time"] is True for process in made.processes)
    assert made.environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "SUBNET"


def test_parameters_of_the_yaml_win() -> None:
    made = plan(graph(parameters={"command_gate": {"rate_hz": 200.0}}), "hil", ARGUMENTS)
    assert made.process("command_gate").parameters["rate_hz"] == 200.0


def test_parameters_of_a_node_that_there_is_not_are_a_slip() -> None:
    with pytest.raises(ConfigError, match="'comand_gate'; did you mean 'command_gate'"):
        plan(graph(parameters={"comand_gate": {"rate_hz": 200.0}}), "robot", ARGUMENTS)


def test_a_file_that_a_yaml_names_lies_beside_it(tmp_path: Path) -> None:
    text = (CONFIGS / "ros/sim_fr3.yaml").read_text().replace("../", f"{CONFIGS}/")
    text = text.partition("\nparameters:")[0]
    (tmp_path / "cell.yaml").write_text(f"{text}\nparameters: {{recorder: {{robot: a.yaml}}}}\n")
    config = load_graph(Arguments(robot=str(tmp_path / "cell.yaml")))
    assert config.parameters["recorder"]["robot"] == str(tmp_path / "a.yaml")
    assert Path(config.cell) == CONFIGS / "cells/sim_fr3.yaml"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    text = (CONFIGS / "ros/sim_fr3.yaml").read_text()
    (tmp_path / "cell.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"cell: .*no such file"):
        load_graph(Arguments(robot=str(tmp_path / "cell.yaml")))


def test_the_profile_of_shared_memory_says_what_it_should() -> None:
    made = plan(graph(), "hil", replace(ARGUMENTS, dds_profile="shm"))
    files = {made.environment[f"{name}_DEFAULT_PROFILES_FILE"] for name in ("FASTDDS", "FASTRTPS")}
    assert len(files) == 1
    root = ElementTree.parse(files.pop()).getroot()
    space = {"d": "http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles"}
    offered = {
        transport.findtext("d:transport_id", None, space): transport
        for transport in root.iterfind(".//d:transport_descriptor", space)
    }
    used = [each.text for each in root.iterfind(".//d:userTransports/d:transport_id", space)]
    assert sorted(used) == sorted(name for name in offered if name)
    by_type = {each.findtext("d:type", None, space): each for each in offered.values()}
    assert set(by_type) == {"SHM", "UDPv4"}
    assert by_type["SHM"].findtext("d:segment_size", None, space) == str(16 * 1024 * 1024)
    assert root.findtext(".//d:useBuiltinTransports", None, space) == "false"
    assert root.find(".//d:participant", space).get("is_default_profile") == "true"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"log_level": "loud"}, "log_level: got 'loud'"),
        ({"record": "yes"}, "record: got 'yes'"),
        ({"autostart": "1"}, "autostart: got '1', expected true or false"),
        ({"ns": "fr 3"}, "expected a ROS namespace"),
        ({"robto": "fr3"}, "did you mean 'robot'"),
        ({"person": "anna"}, "person: sits at a run's session; name the run with `train`"),
        ({"train": "nowhere.yaml"}, "train: no such file or folder"),
    ],
)
def test_an_argument_that_makes_no_sense_is_refused(given: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Arguments.of_text(given)


def test_arguments_are_the_same_as_text_and_back() -> None:
    arguments = Arguments(ns="fr3", use_sim_time=True, record="true", log_level="debug")
    assert Arguments.of_text(arguments.text()) == arguments
    assert set(arguments.text()) == set(HELP)


def test_parameters_stand_under_a_key_that_matches_in_any_namespace(tmp_path: Path) -> None:
    made = plan(graph(), "hil", ARGUMENTS)
    for name, file in write_parameters(made, tmp_path).items():
        content = document.read(file)
        assert list(content) == [f"/**/{name}"]


def test_an_empty_list_is_left_to_the_nodes_own_default() -> None:
    text = parameter_text("node", {"fingers": [], "rate_hz": 1e-05})
    assert document.parse(text, "text", ()) == {
        "/**/node": {"ros__parameters": {"rate_hz": 1e-05}}
    }
