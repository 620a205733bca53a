from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lifecycle_msgs.msg import State
from std_srvs.srv import Trigger

from robot_rl_hardware.tactile.fake import dots
from robot_rl_nodes.conversion import image_from, vectors_from
from robot_rl_nodes.tactile_node import TactileNode
from robot_rl_nodes.topic import TACTILE_IMAGE, TACTILE_VECTORS

pytestmark = pytest.mark.ros

KEY = "observation.tactile.left"


def device(tmp_path: Path, pushed_after: int = 10_000) -> str:
    path = tmp_path / "finger.yaml"
    path.write_text(
        "type: robot_rl_hardware.tactile.camera_finger:CameraFingerConfig\n"
        "camera:\n  type: robot_rl_hardware.tactile.fake:FakeSkinConfig\n"
        f"  width: 64\n  height: 48\n  fps: 60\n  pushed_after: {pushed_after}\n"
        "  push_px: [3, -2]\n"
        "width: 64\nheight: 48\nframes: 5\n"
    )
    return str(path)


def listen(graph: Any, topic: Any) -> list[Any]:
    topic, heard = topic.of("left"), []
    graph.plain(f"probe_{topic.name.replace('/', '_')}").create_subscription(
        topic.type, topic.name, heard.append, topic.quality.subscribed
    )
    return heard


def rest(graph: Any) -> Any:
    return graph.call(Trigger, "tactile/left/set_background", Trigger.Request())


def said(node: Any, part: str) -> str:
    told = node.diagnostics.message("", node.get_clock().now().to_msg()).status
    return next((s.message for s in told if s.name.endswith(f": {part}")), "")


def test_a_finger_shows_its_picture_and_feels_once_it_was_at_rest(
    graph: Any, tmp_path: Path
) -> None:
    pictures, felt = listen(graph, TACTILE_IMAGE), listen(graph, TACTILE_VECTORS)
    node = graph.start(TactileNode, device=device(tmp_path), name="left", rate_hz=60.0)
    graph.until(lambda: len(pictures) > 10)
    assert np.array_equal(image_from(pictures[-1]), dots(64, 48))
    assert pictures[-1].header.frame_id == "left_optical_frame"
    assert not felt
    assert "tactile/left/set_background" in said(node, "skin")
    graph.until(lambda: rest(graph).success)
    graph.until(lambda: felt)
    assert vectors_from(felt[-1].vectors)[KEY] == pytest.approx([0, 0, 0], abs=0.05)


def test_a_push_is_felt(graph: Any, tmp_path: Path) -> None:
    felt = listen(graph, TACTILE_VECTORS)
    graph.start(TactileNode, device=device(tmp_path, pushed_after=200), name="left", rate_hz=60.0)
    graph.until(lambda: rest(graph).success)
    graph.until(lambda: felt and vectors_from(felt[-1].vectors)[KEY][2] > 0.01)
    assert vectors_from(felt[-1].vectors)[KEY][:2] == pytest.approx([3, -2], abs=0.4)


def test_the_difference_is_shown_where_it_is_asked_for(graph: Any, tmp_path: Path) -> None:
    pictures = listen(graph, TACTILE_IMAGE)
    graph.start(TactileNode, device=device(tmp_path), name="left", shows="difference")
    graph.spin(0.5)
    assert not pictures
    graph.until(lambda: rest(graph).success)
    graph.until(lambda: pictures)
    assert np.all(image_from(pictures[-1]) == 128)


def test_a_wrong_device_is_named(graph: Any) -> None:
    node = graph.make(TactileNode, device="configs/devices/fake_camera.yaml", name="left")
    node.trigger_configure()
    assert node.state_id == State.PRIMARY_STATE_UNCONFIGURED
    assert "CameraFingerConfig" in said(node, "fault")
