from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from robot_rl.app.main import main
from robot_rl.app.ros import up
from robot_rl.app.ros.command import VERBS

GRAPH = str(Path(__file__).parents[3] / "configs/ros/sim_fr3.yaml")


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ros"]) == 0
    said = capsys.readouterr().out
    assert all(f"  {verb} " in said for verb in VERBS)


def test_an_unknown_verb_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ros", "plna"]) == 1
    assert "did you mean 'plan'" in capsys.readouterr().err


def test_the_plan_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ros", "plan", GRAPH, "policy.uri=ws://10.0.0.1:9000", "--group", "eval"]) == 0
    said = capsys.readouterr().out
    assert "/fr3/command_gate" in said
    assert "uri: ws://10.0.0.1:9000" in said
    assert "ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name a graph's YAML file"),
        (["policy.uri=ws://x"], "expected a graph's .yaml file"),
        ([GRAPH, "--group", "evla"], "did you mean 'eval'"),
        ([GRAPH, "robot.kind=kuka"], "'sim', 'franka' or 'ur'"),
        ([GRAPH, "--record", "--no-record"], "say one of them"),
    ],
)
def test_what_makes_no_sense_is_answered_in_one_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ros", "plan", *words]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("verb", [["up", GRAPH], ["clear", "fr3", "--by", "anna"]])
def test_without_ros_one_is_told_what_to_install(
    verb: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = up.importlib.util.find_spec
    absent = lambda name, *more: None if name == "rclpy" else found(name, *more)  # noqa: E731
    monkeypatch.setattr("importlib.util.find_spec", absent)
    assert main(["ros", *verb]) == 1
    assert "DependencyError: no Python package rclpy: install" in capsys.readouterr().err


def test_planning_waits_for_neither_torch_nor_ros() -> None:
    code = (
        "import sys; from robot_rl.app.main import main; main(sys.argv[1:])\n"
        "print(sorted({'torch', 'rclpy', 'launch', 'mujoco'} & set(sys.modules)))"
    )
    words = [sys.executable, "-c", code, "ros", "plan", GRAPH]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert ended.stdout.splitlines()[-1] == "[]", ended.stderr
