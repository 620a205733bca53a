from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lifecycle_msgs.msg import State

from robot_rl.app.ros.parameter_file import parameter_text
from robot_rl.core.errors import HardwareError
from robot_rl_nodes.managed_node import ManagedNode
from robot_rl_nodes.parameter import Parameter

pytestmark = pytest.mark.ros

MODULE = "robot_rl_nodes.lifecycle_manager_node"
NODES = ["robot:sensor", "gate:gate", "policy:bridge"]


class StandIn(ManagedNode):
    PARAMETERS = (Parameter(name="broken", default=False, description="refuses to configure"),)

    def __init__(self, name: str, story: list[tuple[str, str]], **of: Any) -> None:
        super().__init__(name, **of)
        self.story = story

    def setup(self, values: Any) -> None:
        if values["broken"]:
            raise HardwareError("the device does not answer")

    def begin(self) -> None:
        self.story.append((self.get_name(), "up"))

    def rest(self) -> None:
        self.story.append((self.get_name(), "down"))


class Scene:
    """Stand-ins in this process, the manager in its own."""

    def __init__(self, graph: Any, python: str, folder: Path) -> None:
        self.graph = graph
        self.python = python
        self.log = folder / "manager.log"
        self.story: list[tuple[str, str]] = []
        self.nodes = {name: self.stand_in(name) for name in ("sensor", "gate", "bridge")}
        self.manager: subprocess.Popen[bytes] | None = None

    def stand_in(self, name: str) -> Any:
        return self.graph.make(lambda **of: StandIn(name, self.story, **of))

    def start(self, **more: Any) -> None:
        given = {"nodes": NODES, "critical": ["gate"], "revived": ["sensor"]}
        given |= {"autostart": True, "watch_period_s": 0.1, **more}
        file = self.log.with_suffix(".yaml")
        file.write_text(parameter_text("lifecycle_manager", given))
        words = ["-r", "__ns:=/test", "--params-file", str(file)]
        with self.log.open("wb") as log:
            self.manager = subprocess.Popen(
                [self.python, "-m", MODULE, "--ros-args", *words],
                env=self.graph.environment,
                stdout=log,
                stderr=log,
            )

    def logged(self, words: str) -> bool:
        return words in self.log.read_text()

    def all_active(self) -> bool:
        return all(node.active for node in self.nodes.values())

    def ended(self) -> bool:
        return self.manager is not None and self.manager.poll() is not None


@pytest.fixture
def scene(graph: Any, python: str, tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(graph, python, tmp_path)
    yield scene
    if scene.manager is not None:
        scene.manager.kill()
        scene.manager.wait()
        sys.stderr.write(scene.log.read_text())


def test_it_brings_them_up_in_order_and_at_its_end_down_with_the_gate_last(scene: Scene) -> None:
    scene.start()
    scene.graph.until(scene.all_active, 40)
    scene.graph.until(lambda: scene.logged("policy: bridge active"))
    scene.manager.send_signal(signal.SIGINT)
    scene.graph.until(scene.ended, 40)
    assert scene.manager.returncode == 0, scene.log.read_text()
    assert scene.story == [
        ("sensor", "up"),
        ("gate", "up"),
        ("bridge", "up"),
        ("bridge", "down"),
        ("sensor", "down"),
        ("gate", "down"),
    ]


def test_when_the_gate_falls_all_come_to_rest_and_it_stays_to_say_so(scene: Scene) -> None:
    scene.start()
    scene.graph.until(lambda: scene.logged("policy: bridge active"), 40)
    scene.nodes["gate"].trigger_deactivate()
    scene.graph.until(lambda: not any(node.active for node in scene.nodes.values()))
    scene.graph.until(lambda: scene.logged("gate is inactive, and without it nothing goes on"))
    scene.graph.spin(0.5)
    assert not scene.ended()


def test_a_sensor_that_is_born_again_becomes_active_again(scene: Scene) -> None:
    scene.start()
    scene.graph.until(lambda: scene.logged("policy: bridge active"), 40)
    sensor = scene.nodes["sensor"]
    sensor.trigger_deactivate()
    # As one that has just been started stands.
    sensor.trigger_cleanup()
    assert sensor.state_id == State.PRIMARY_STATE_UNCONFIGURED
    scene.graph.until(lambda: sensor.active)
    scene.graph.until(lambda: scene.logged("sensor was brought up again"))


def test_a_graph_that_cannot_be_brought_up_rests_and_is_its_failure(
    scene: Scene,
) -> None:
    from rclpy.parameter import Parameter as RosParameter

    scene.nodes["bridge"].set_parameters([RosParameter("broken", value=True)])
    scene.start()
    scene.graph.until(scene.ended, 40)
    assert scene.manager.returncode == 1
    assert scene.logged("bridge: could not configure; its log says why")
    assert scene.story == [("sensor", "up"), ("sensor", "down")]


def test_a_node_that_is_not_there_is_named(scene: Scene) -> None:
    scene.start(nodes=["robot:absent"], critical=[], revived=[], timeout_s=0.5)
    scene.graph.until(scene.ended, 40)
    assert scene.manager.returncode == 1
    assert scene.logged("absent: did not appear within 0.5 s")
