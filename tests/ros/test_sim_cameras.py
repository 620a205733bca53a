from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rclpy.parameter import Parameter as RosParameter
from robot_rl_msgs.srv import CaptureImage

from robot_rl.core.errors import ContractError
from robot_rl_nodes.conversion import image_from, ns_from_stamp
from robot_rl_nodes.topic import CAMERA_IMAGE, CAMERA_INFO, POLICY_IMAGE
from robot_rl_sim.backend import MujocoBackend
from robot_rl_sim.camera import Camera
from robot_rl_sim.tasks.pick_cube import PickCubeConfig
from robot_rl_sim_nodes.sim_eye import camera_info
from robot_rl_sim_nodes.sim_robot_node import SimRobotNode

pytestmark = [pytest.mark.ros, pytest.mark.render]

DRIVER = Path(__file__).resolve().parents[2] / "configs" / "drivers" / "sim_fr3.yaml"


def hear(probe: Any, topic: Any) -> list[Any]:
    heard: list[Any] = []
    probe.create_subscription(topic.type, topic.name, heard.append, topic.quality.recorded)
    return heard


def test_pictures_of_both_sizes_come_with_one_stamp_and_their_intrinsics(graph: Any) -> None:
    graph.start(
        SimRobotNode, driver=str(DRIVER), cameras=["front"], camera_rate_hz=10.0, color_width=160,
        color_height=120,
    )  # fmt: skip
    probe = graph.plain()
    color, policy, info = (
        hear(probe, kind.of("front")) for kind in (CAMERA_IMAGE, POLICY_IMAGE, CAMERA_INFO)
    )
    graph.until(lambda: len(color) > 3 and len(policy) > 3 and info)
    stamps = [{ns_from_stamp(m.header.stamp) for m in heard} for heard in (color, policy, info)]
    assert stamps[0] & stamps[1] & stamps[2]
    assert color[-1].header.frame_id == "front_color_optical_frame"
    wide, square = image_from(color[-1]), image_from(policy[-1])
    assert (wide.shape, square.shape) == ((120, 160, 3), (128, 128, 3))
    assert square.std() > 10
    # The policy's picture is the middle of the other: about the same colours.
    np.testing.assert_allclose(wide[:, 20:140].mean((0, 1)), square.mean((0, 1)), atol=4)
    assert (info[-1].width, info[-1].height) == (160, 120)


def test_a_camera_fails_as_it_is_told_to(graph: Any) -> None:
    node = graph.start(SimRobotNode, driver=str(DRIVER), cameras=["wrist"], camera_rate_hz=20.0)
    policy = hear(graph.plain(), POLICY_IMAGE.of("wrist"))
    graph.until(lambda: len(policy) > 2)
    name = "cameras/wrist/policy/image_raw"
    node.set_parameters([RosParameter("fault.encoding", value=[name])])
    graph.until(lambda: policy[-1].encoding == "yuv422")
    with pytest.raises(ContractError, match="encoding 'yuv422'"):
        image_from(policy[-1])
    node.set_parameters([RosParameter("fault.encoding", value=[""])])
    node.set_parameters([RosParameter("fault.drop", value=[name])])

    def is_silent() -> bool:
        policy.clear()
        graph.spin(0.3)
        return not policy

    graph.until(is_silent)


def test_a_picture_for_people_is_drawn_on_request(graph: Any) -> None:
    graph.start(SimRobotNode, driver=str(DRIVER))
    answer = graph.call(CaptureImage, "sim/capture", CaptureImage.Request(width=200, height=150))
    assert answer.success, answer.message
    assert image_from(answer.image).std() > 10
    wrong = graph.call(CaptureImage, "sim/capture", CaptureImage.Request(width=0, height=150))
    assert "a picture of 0 x 150, expected" in wrong.message


def test_the_intrinsics_say_where_a_point_of_the_scene_is_seen() -> None:
    task = PickCubeConfig().build()
    backend = MujocoBackend(task.model, task.frames)
    backend.reset(0, task.start(np.random.default_rng(0)))
    data = backend.data(0)
    width, height = 320, 240
    camera = Camera(task.model, width, height)
    picture = camera.render(data, "front").astype(int)
    camera.close()
    info = camera_info(width, height, np.deg2rad(float(task.model.camera("front").fovy[0])))
    view = data.camera("front")
    axes = view.xmat.reshape(3, 3) @ np.diag([1.0, -1.0, -1.0])
    cube = axes.T @ (backend.state().frames["cube"][0, :3] - view.xpos)
    u, v, w = np.array(info.k).reshape(3, 3) @ cube
    reddish = picture[..., 0] - picture[..., 1:].max(-1) > 60
    rows, columns = np.nonzero(reddish)
    assert (columns.mean(), rows.mean()) == pytest.approx((u / w, v / w), abs=6)
