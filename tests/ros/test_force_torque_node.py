from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from geometry_msgs.msg import WrenchStamped
from lifecycle_msgs.msg import State
from robot_rl_msgs.msg import NamedVector, RobotState
from std_srvs.srv import Trigger

from robot_rl.core.spec import TCP_POSE
from robot_rl_nodes.conversion import ns_from_stamp, wrench_from, write_vectors
from robot_rl_nodes.force_torque_node import ForceTorqueNode
from robot_rl_nodes.topic import ROBOT_STATE, WRENCH, WRENCH_RAW

pytestmark = pytest.mark.ros

G = 9.80665


def files(tmp_path: Path, sensor: str = "", tool: str = "") -> dict[str, Any]:
    device, compensation = tmp_path / "ft.yaml", tmp_path / "tool.yaml"
    device.write_text(
        "type: robot_rl_hardware.force_torque.fake:FakeForceTorqueConfig\n"
        "range_n: [100.0, 100.0, 100.0]\nrange_nm: [10.0, 10.0, 10.0]\nrate_hz: 300.0\n"
        "silent_after_s: 5.0\n" + sensor
    )
    compensation.write_text(
        "type: robot_rl_hardware.force_torque.compensation:CompensationConfig\n"
        "centre_of_mass_m: [0.0, 0.0, 0.0]\ncutoff_hz: 100.0\n"
        "tcp_from_sensor: [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]\n"
        + (tool or "mass_kg: 0.0\nbias: [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]\n")
    )
    return {"device": str(device), "compensation": str(compensation)}


def listen(graph: Any, topic: Any) -> list[WrenchStamped]:
    heard: list[WrenchStamped] = []
    graph.plain(f"probe_{topic.name.replace('/', '_')}").create_subscription(
        topic.type, topic.name, heard.append, topic.quality.subscribed
    )
    return heard


def zero(graph: Any) -> Any:
    return graph.call(Trigger, "ft/zero", Trigger.Request())


def said(node: Any, part: str) -> str:
    told = node.diagnostics.message("", node.get_clock().now().to_msg()).status
    return next((s.message for s in told if s.name.endswith(f": {part}")), "")


def test_the_wrench_is_published_in_both_frames(graph: Any, tmp_path: Path) -> None:
    wrenches, raw = listen(graph, WRENCH), listen(graph, WRENCH_RAW)
    graph.start(
        ForceTorqueNode, **files(tmp_path, sensor="mean: [1.0, -2.0, 3.0, 0.1, -0.2, 0.3]\n")
    )
    graph.until(lambda: len(wrenches) > 20 and len(raw) > 20)
    assert wrench_from(wrenches[-1].wrench) == pytest.approx([1, -2, 3, 0.1, -0.2, 0.3], abs=1e-4)
    assert wrenches[-1].header.frame_id == "tcp"
    assert raw[-1].header.frame_id == "ft_link"
    stamps = [ns_from_stamp(m.header.stamp) for m in wrenches]
    assert stamps == sorted(set(stamps))


def test_nothing_is_said_of_the_tool_before_it_is_zeroed(graph: Any, tmp_path: Path) -> None:
    wrenches, raw = listen(graph, WRENCH), listen(graph, WRENCH_RAW)
    node = graph.start(
        ForceTorqueNode,
        **files(tmp_path, "mean: [5.0, 0.0, 0.0, 0.0, 0.0, 0.0]\n", "mass_kg: 0.0\n"),
    )
    graph.until(lambda: len(raw) > 40)
    assert not wrenches
    assert "call ft/zero" in said(node, "wrench")
    graph.until(lambda: zero(graph).success)
    graph.until(lambda: wrenches)
    assert wrench_from(wrenches[-1].wrench) == pytest.approx([0.0] * 6, abs=1e-3)


def test_a_tool_that_moves_is_not_zeroed(graph: Any, tmp_path: Path) -> None:
    sensor = "swing: [5.0, 0.0, 0.0, 0.0, 0.0, 0.0]\nswing_hz: 5.0\n"
    graph.start(ForceTorqueNode, **files(tmp_path, sensor))
    answers: list[str] = []

    def refused() -> bool:
        answers.append(zero(graph).message)
        return "wait, and ask again" not in answers[-1]

    graph.until(refused)
    assert "let nothing touch the tool" in answers[-1]


def test_the_tools_weight_needs_the_robots_state(graph: Any, tmp_path: Path) -> None:
    wrenches = listen(graph, WRENCH)
    tool = "mass_kg: 1.0\nbias: [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]\n"
    node = graph.start(
        ForceTorqueNode, **files(tmp_path, f"mean: [0.0, 0.0, {-G}, 0.0, 0.0, 0.0]\n", tool)
    )
    graph.until(lambda: "nothing heard on robot/state" in said(node, "wrench"))
    assert not wrenches
    probe = graph.plain("robot")
    out = probe.create_publisher(RobotState, "robot/state", ROBOT_STATE.quality.published)
    pose = {TCP_POSE: [0.4, 0.0, 0.3, 0.0, 0.0, 0.0, 1.0]}
    timer = probe.create_timer(
        0.02,
        lambda: out.publish(RobotState(vectors=write_vectors(NamedVector, pose))),  # type: ignore[arg-type]
    )
    graph.until(lambda: len(wrenches) > 5)
    graph.until(lambda: abs(wrench_from(wrenches[-1].wrench)[2]) < 0.01)
    timer.cancel()
    graph.until(lambda: "robot/state is silent" in said(node, "wrench"))


def test_what_is_not_a_number_is_not_published_but_told(graph: Any, tmp_path: Path) -> None:
    wrenches, raw = listen(graph, WRENCH), listen(graph, WRENCH_RAW)
    node = graph.start(ForceTorqueNode, **files(tmp_path, "nan_after: 200\n"))
    graph.until(lambda: "not finite" in said(node, "device"))
    graph.spin(0.1)
    count = len(raw)
    graph.spin(0.3)
    assert len(raw) == count
    assert node.active
    assert all(m.wrench.force.x == m.wrench.force.x for m in wrenches + raw)


def test_a_sensor_that_is_gone_deactivates_the_node(graph: Any, tmp_path: Path) -> None:
    node = graph.start(ForceTorqueNode, **files(tmp_path, "gone_after: 100\n"))
    graph.until(lambda: not node.active)
    assert "gone after 100 samples" in said(node, "device") + said(node, "fault")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"compensation": ""}, "'compensation' is missing"),
        ({"device": "configs/devices/fake_camera.yaml"}, "ForceTorqueConfig"),
        ({"compensation": "configs/devices/fake_camera.yaml"}, "CompensationConfig"),
        ({"rate": 150.0}, "did you mean 'rate_hz'"),
    ],
)
def test_what_is_wrong_is_named(
    graph: Any, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    node = graph.make(ForceTorqueNode, **(files(tmp_path) | changes))
    node.trigger_configure()
    assert node.state_id == State.PRIMARY_STATE_UNCONFIGURED
    assert words in said(node, "fault")
