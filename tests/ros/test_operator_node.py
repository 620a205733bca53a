from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lifecycle_msgs.msg import State
from robot_rl_msgs.msg import ActionStamped, ControlState, NamedVector, RobotState
from robot_rl_msgs.srv import SetControlSource

from robot_rl.core.spec import TCP_POSE
from robot_rl_nodes.conversion import stamp_from_ns, write_vectors
from robot_rl_nodes.operator_node import OperatorNode
from robot_rl_nodes.topic import (
    CONTROL_STATE,
    PERSON_ACTION,
    ROBOT_STATE,
    TAKE_PERSON_SEAT,
)

pytestmark = pytest.mark.ros


class Gate:
    """What the person's device sees of a gate: its seat, its state, and the robot's."""

    def __init__(self, graph: Any, size: int = 2, refusal: str = "") -> None:
        self.node = graph.plain("gate")
        self.asked: list[tuple[int, int, str]] = []
        self.heard: list[ActionStamped] = []
        self.refusal = refusal
        self._size, self._epoch = size, 0
        self.node.create_service(SetControlSource, TAKE_PERSON_SEAT, self._seat)
        self.node.create_subscription(
            ActionStamped,
            PERSON_ACTION.name,
            self.heard.append,
            PERSON_ACTION.quality.subscribed,
        )
        self._state = self.node.create_publisher(
            RobotState, ROBOT_STATE.name, ROBOT_STATE.quality.published
        )
        self.control = self.node.create_publisher(
            ControlState, CONTROL_STATE.name, CONTROL_STATE.quality.published
        )
        self.node.create_timer(0.02, self._tell)

    def _tell(self) -> None:
        pose = {TCP_POSE: [0.4, 0.0, 0.3, 0.0, 0.0, 0.0, 1.0]}
        state = RobotState(vectors=write_vectors(NamedVector, pose))  # type: ignore[arg-type]
        stamp_from_ns(self.node.get_clock().now().nanoseconds, state.header.stamp)
        state.header.frame_id = "base"
        self._state.publish(state)

    def _seat(self, request: Any, response: Any) -> Any:
        self.asked.append((request.request, request.source, request.name))
        if self.refusal:
            response.success, response.message = False, self.refusal
            return response
        self._epoch += 1
        response.success, response.epoch = True, self._epoch
        response.action_names = [f"a{k}" for k in range(self._size)]
        response.period_s = 0.1
        return response


def device(tmp_path: Path, **changes: Any) -> str:
    fields = {
        "size": 2,
        "loops": True,
        "parts": "[{lasts_s: 0.3}, {lasts_s: 0.5, action: [0.5, -0.5]}]",
    } | changes
    path = tmp_path / "operator.yaml"
    lines = ["type: robot_rl_hardware.operators.fake:FakeOperatorConfig"]
    path.write_text("\n".join(lines + [f"{k}: {v}" for k, v in fields.items()]) + "\n")
    return str(path)


def said(node: Any, part: str) -> str:
    told = node.diagnostics.message("", node.get_clock().now().to_msg()).status
    return next((s.message for s in told if s.name.endswith(f": {part}")), "")


@pytest.fixture
def start(graph: Any, tmp_path: Path) -> Callable[..., Any]:
    def start(**changes: Any) -> Any:
        return graph.start(OperatorNode, device=device(tmp_path, **changes), name="kim")

    return start


def test_the_seat_is_taken_and_the_dead_man_decides(graph: Any, start: Any) -> None:
    gate = Gate(graph)
    start()
    graph.until(lambda: {m.active for m in gate.heard} == {True, False})
    assert gate.asked[0] == (SetControlSource.Request.TAKE, ActionStamped.SOURCE_HUMAN, "kim")
    driven = next(m for m in gate.heard if m.active)
    assert list(driven.data) == [0.5, -0.5]
    assert driven.source == ActionStamped.SOURCE_HUMAN
    assert driven.header.frame_id == "base"
    assert driven.policy_id == "kim"
    assert driven.obs_stamp.sec > 0
    assert all(m.seq >> 32 == 1 for m in gate.heard)
    numbers = [m.seq for m in gate.heard]
    assert numbers == sorted(numbers)


def test_a_device_that_is_gone_falls_silent_leaves_the_seat_and_is_told(
    graph: Any, start: Any
) -> None:
    gate = Gate(graph)
    node = start(gone_after_s=1.0)
    graph.until(lambda: gate.heard)
    graph.until(lambda: not node.active)
    graph.until(lambda: gate.asked[-1][0] == SetControlSource.Request.LEAVE)
    graph.spin(0.1)
    count = len(gate.heard)
    graph.spin(0.3)
    assert len(gate.heard) == count
    assert "gone after 1 s" in said(node, "fault")


def test_a_device_that_falls_silent_is_lost(graph: Any, start: Any) -> None:
    Gate(graph)
    node = start(silent_after_s=0.6)
    graph.until(lambda: not node.active)
    assert "the person's device is silent" in said(node, "fault")


def test_deactivating_gives_the_seat_back(graph: Any, start: Any) -> None:
    gate = Gate(graph)
    node = start()
    graph.until(lambda: gate.heard)
    node.trigger_deactivate()
    graph.until(lambda: gate.asked[-1][0] == SetControlSource.Request.LEAVE)
    node.trigger_activate()
    graph.until(lambda: gate.heard[-1].seq >> 32 > 1)


def test_a_refusal_is_told_and_asked_again(graph: Any, start: Any) -> None:
    gate = Gate(graph, refusal="'lee' commands; one at a time")
    node = start()
    graph.until(lambda: "'lee' commands" in said(node, "seat"))
    assert not gate.heard
    gate.refusal = ""
    graph.until(lambda: gate.heard)


def test_without_a_gate_the_node_says_what_it_waits_for(graph: Any, start: Any) -> None:
    node = start()
    graph.until(lambda: "nobody offers gate/person_seat" in said(node, "seat"))
    assert "waits for robot/state" in said(node, "device")


def test_a_seat_that_is_lost_is_asked_for_again(graph: Any, start: Any) -> None:
    gate = Gate(graph)
    node = start()
    graph.until(lambda: gate.heard)
    timer = gate.node.create_timer(0.1, lambda: gate.control.publish(ControlState(person="")))
    graph.until(lambda: "the seat is lost" in said(node, "seat"))
    timer.cancel()
    graph.until(lambda: gate.heard[-1].seq >> 32 > 1)


def test_an_action_of_another_size_than_the_gates_is_refused(graph: Any, start: Any) -> None:
    Gate(graph, size=7)
    node = start()
    graph.until(lambda: not node.active)
    assert "the gate plays 7 finite numbers" in said(node, "fault")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"device": "/nowhere.yaml"}, "/nowhere.yaml"),
        ({"name": "k" * 61}, "expected at most 60 characters"),
    ],
)
def test_what_is_wrong_is_named(graph: Any, changes: dict[str, Any], words: str) -> None:
    asked = {"device": "configs/devices/fake_operator.yaml", "name": "kim"} | changes
    node = graph.make(OperatorNode, **asked)
    node.trigger_configure()
    assert node.state_id == State.PRIMARY_STATE_UNCONFIGURED
    assert words in said(node, "fault")
