from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console
from robot_rl_msgs.msg import SafetyState
from robot_rl_msgs.srv import ClearStop

from robot_rl.app.ros.clear import Clear
from robot_rl.app.terminal import Terminal
from robot_rl.core.errors import ConfigError, GateStopError, HardwareError
from robot_rl_nodes.topic import GATE_CLEAR, SAFETY_STATE

pytestmark = pytest.mark.ros


class Scene:
    """A gate that clears for who names its cause, spun in a thread; and who asks it."""

    def __init__(self, graph: Any) -> None:
        self.graph = graph
        node = graph.plain("gate")
        self.state = node.create_publisher(
            SAFETY_STATE.type, SAFETY_STATE.name, SAFETY_STATE.quality.published
        )
        node.create_service(ClearStop, GATE_CLEAR, self.answer)
        self.asked: list[Any] = []
        self.out = io.StringIO()
        self.terminal = Terminal(out=Console(file=self.out), err=Console(file=self.out))
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._spin)
        self._thread.start()

    def answer(self, request: Any, response: Any) -> Any:
        self.asked.append(request)
        response.success = request.cause == "the gate has started"
        response.message = "cleared" if response.success else f"not for {request.cause!r}"
        return response

    def stop(self, state: int = SafetyState.STOP) -> None:
        self.state.publish(SafetyState(state=state, cause="the gate has started"))

    def close(self) -> None:
        self._ended.set()
        self._thread.join()

    def _spin(self) -> None:
        while not self._ended.is_set():
            self.graph.spin(0.05)


@pytest.fixture
def scene(graph: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setenv("ROS_DOMAIN_ID", str(graph.domain))
    monkeypatch.setitem(os.environ, "ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    scene = Scene(graph)
    yield scene
    scene.close()


def test_who_names_the_cause_clears_the_gate_in_their_name(scene: Scene) -> None:
    scene.stop()
    verb = Clear(namespace="test", by="anna", cause="the gate has started", timeout_s=20)
    assert verb.run(scene.terminal) == 0
    assert "STOP: the gate has started" in scene.out.getvalue()
    assert [(each.by, each.request) for each in scene.asked] == [("anna", ClearStop.Request.CLEAR)]


def test_a_cause_that_is_not_the_gates_is_refused_with_its_words(scene: Scene) -> None:
    scene.stop()
    with pytest.raises(GateStopError, match="not for 'something else'"):
        Clear(namespace="test", by="anna", cause="something else", timeout_s=20).run(
            scene.terminal
        )


def test_where_nobody_can_be_asked_nothing_is_cleared(scene: Scene) -> None:
    scene.stop()
    with pytest.raises(
        ConfigError, match=r"nobody is at the terminal.*--cause 'the gate has started'"
    ):
        Clear(namespace="test", by="anna", timeout_s=20).run(scene.terminal)
    assert scene.asked == []


def test_a_gate_that_runs_has_nothing_to_clear(scene: Scene) -> None:
    scene.stop(SafetyState.RUN)
    assert Clear(namespace="test", by="anna", timeout_s=20).run(scene.terminal) == 0
    assert scene.asked == []


def test_a_gate_that_is_not_there_is_told_with_what_to_look_at(scene: Scene) -> None:
    with pytest.raises(HardwareError, match=r"nothing on /nobody/safety/state within 0\.3 s"):
        Clear(namespace="nobody", by="anna", timeout_s=0.3).run(scene.terminal)
