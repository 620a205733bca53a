"""The simulated arm, its interface and the gate as real processes, started both ways."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from robot_rl_msgs.msg import SafetyState
from robot_rl_msgs.srv import ClearStop

from robot_rl_nodes.topic import GATE_CLEAR, SAFETY_STATE

pytestmark = [pytest.mark.ros, pytest.mark.sim, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
GRAPH = str(ROOT / "configs/ros/sim_fr3.yaml")
LAUNCH = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
service = LaunchService(noninteractive=True)
given = {"robot": sys.argv[2], "ns": "test"}.items()
service.include_launch_description(
    LaunchDescription([IncludeLaunchDescription(sys.argv[1], launch_arguments=given)])
)
sys.exit(service.run())
"""


def installed() -> bool:
    if importlib.util.find_spec("launch_ros") is None:
        return False
    try:
        return all(get_package_prefix(name) for name in ("robot_rl_nodes", "robot_rl_sim"))
    except PackageNotFoundError:
        return False


class Started:
    """A graph in processes of its own, and a probe that hears its gate."""

    def __init__(self, graph: Any, words: list[str], log: Path) -> None:
        self.graph = graph
        self.log = log
        self.heard: list[SafetyState] = []
        graph.plain().create_subscription(
            SAFETY_STATE.type,
            SAFETY_STATE.name,
            self.heard.append,
            SAFETY_STATE.quality.subscribed,
        )
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, *words], env=graph.environment, stdout=file, stderr=file, cwd=ROOT
            )

    def logged(self) -> str:
        return self.log.read_text()

    def end(self) -> int:
        self.process.send_signal(signal.SIGINT)
        self.graph.until(lambda: self.process.poll() is not None, 60)
        return int(self.process.returncode)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
        sys.stderr.write(self.logged())


@pytest.fixture
def up(graph: Any, tmp_path: Path) -> Iterator[Started]:
    code = "import sys; from robot_rl.app.main import main; sys.exit(main(sys.argv[1:]))"
    words = ["-c", code, "ros", "up", GRAPH, "--group", "robot", "--ns", "test"]
    words += ["--runs", str(tmp_path)]
    started = Started(graph, words, tmp_path / "log")
    yield started
    started.close()


def test_the_simulated_cell_comes_up_in_stop_is_cleared_and_ends_with_the_gate_last(
    up: Started,
) -> None:
    up.graph.until(lambda: "gate: command_gate active" in up.logged(), 60)
    up.graph.until(lambda: up.heard and up.heard[-1].state == SafetyState.STOP, 30)
    cleared = up.graph.call(
        ClearStop,
        GATE_CLEAR,
        ClearStop.Request(request=ClearStop.Request.CLEAR, by="anna", cause=up.heard[-1].cause),
    )
    assert cleared.success, cleared.message
    up.graph.until(lambda: up.heard[-1].state != SafetyState.STOP, 30)
    assert up.end() == 0
    said = up.logged()
    ended = [line.split("]")[0][1:] for line in said.splitlines() if "ended by SIGINT" in line]
    assert ended[0] == "robot_manager"
    assert ended[-1] == "command_gate"
    assert "does not end" not in said
    assert len(ended) == 4


@pytest.mark.skipif(
    not installed(), reason="no ROS 2 installation in which ros2_ws is built and sourced"
)
def test_the_real_launch_brings_the_simulated_cell_up_and_ends_it(
    graph: Any, tmp_path: Path
) -> None:
    file = ROOT / "ros2_ws/src/robot_rl_bringup/launch/robot.launch.py"
    started = Started(graph, ["-c", LAUNCH, str(file), GRAPH], tmp_path / "log")
    try:
        graph.until(lambda: "gate: command_gate active" in started.logged(), 60)
        graph.until(lambda: started.heard and started.heard[-1].state == SafetyState.STOP, 30)
        started.end()
        assert "process has died" not in started.logged()
    finally:
        started.close()
        assert not [pid for pid in os.listdir("/proc") if _is_of(pid, graph.domain)]


def _is_of(pid: str, domain: int) -> bool:
    if not pid.isdecimal() or int(pid) == os.getpid():
        return False
    try:
        said = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return f"ROS_DOMAIN_ID={domain}".encode() in said
