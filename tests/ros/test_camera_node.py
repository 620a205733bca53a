from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from lifecycle_msgs.msg import State
from sensor_msgs.msg import CameraInfo, Image

from robot_rl.core.errors import ConfigError
from robot_rl_hardware.cameras.fake import pattern
from robot_rl_nodes.camera_node import CameraNode
from robot_rl_nodes.conversion import image_from, ns_from_stamp
from robot_rl_nodes.device import Decimation
from robot_rl_nodes.device_picture import PolicyView
from robot_rl_nodes.topic import CAMERA_INFO

pytestmark = pytest.mark.ros

CALIBRATION = "configs/devices/fake_camera_calibration.yaml"


def device(tmp_path: Path, **settings: Any) -> str:
    fields = {"width": 64, "height": 48, "fps": 60} | settings
    lines = ["type: robot_rl_hardware.cameras.fake:FakeCameraConfig"]
    path = tmp_path / "camera.yaml"
    path.write_text("\n".join(lines + [f"{k}: {v}" for k, v in fields.items()]) + "\n")
    return str(path)


def asked(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    return {
        "device": changes.get("device") or device(tmp_path),
        "name": "front",
        "policy_width": 32,
        "policy_height": 32,
        "uncalibrated": True,
        "rate_hz": 60.0,
    } | changes


def statuses(node: Any) -> dict[str, str]:
    told = node.diagnostics.message("", node.get_clock().now().to_msg()).status
    return {s.name.split(": ")[-1]: s.message for s in told}


def listen(graph: Any, what: str, kind: Any = Image, qos: Any = 10) -> list[Any]:
    heard: list[Any] = []
    graph.plain(f"probe_{what.replace('/', '_')}").create_subscription(
        kind, f"cameras/front/{what}", heard.append, qos
    )
    return heard


def test_the_policys_picture_goes_out_stamped_when_it_was_taken(
    graph: Any, tmp_path: Path
) -> None:
    heard = listen(graph, "policy/image_raw")
    graph.start(CameraNode, **asked(tmp_path))
    graph.until(lambda: len(heard) > 5)
    message = heard[-1]
    assert message.header.frame_id == "front_color_optical_frame"
    age_s = time.time() - ns_from_stamp(message.header.stamp) * 1e-9
    assert 0.0 <= age_s < 10.0
    stamps = [ns_from_stamp(m.header.stamp) for m in heard]
    assert stamps == sorted(set(stamps))
    image = image_from(message)
    whole = pattern(64, 48, int(image[0, 0, 2]))
    expected = cv2.resize(whole[:, 8:56], (32, 32), interpolation=cv2.INTER_AREA)
    assert np.array_equal(image, expected)


def test_whole_pictures_go_out_only_while_somebody_listens(graph: Any, tmp_path: Path) -> None:
    node = graph.start(CameraNode, **asked(tmp_path))
    sent: list[Any] = []
    publish = node._whole_out.publish
    node._whole_out.publish = lambda m: (sent.append(None), publish(m))
    small = listen(graph, "policy/image_raw")
    graph.until(lambda: len(small) > 3)
    assert not sent
    whole = listen(graph, "color/image_raw")
    graph.until(lambda: len(whole) > 3)
    image = image_from(whole[-1])
    assert np.array_equal(image, pattern(64, 48, int(image[0, 0, 2])))


def test_the_calibration_is_told_to_whoever_comes_later(graph: Any, tmp_path: Path) -> None:
    graph.start(
        CameraNode,
        **asked(
            tmp_path,
            device="configs/devices/fake_camera.yaml",
            uncalibrated=False,
            camera_info=CALIBRATION,
        ),
    )
    heard = listen(graph, "color/camera_info", CameraInfo, CAMERA_INFO.quality.subscribed)
    graph.until(lambda: heard)
    info = heard[0]
    assert (info.width, info.height) == (320, 240)
    assert info.k.tolist() == [300.0, 0.0, 160.0, 0.0, 300.0, 120.0, 0.0, 0.0, 1.0]
    assert info.p.tolist()[:4] == [300.0, 0.0, 160.0, 0.0]
    assert list(info.d) == [0.0] * 5
    assert info.header.frame_id == "front_color_optical_frame"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"uncalibrated": False}, "name the calibration's YAML"),
        ({"camera_info": CALIBRATION}, "or say uncalibrated: true"),
        ({"uncalibrated": False, "camera_info": CALIBRATION}, "made at 320x240"),
        ({"uncalibrated": False, "camera_info": "/nowhere.yaml"}, "/nowhere.yaml"),
        ({"device": "configs/devices/fake_operator.yaml"}, "CameraConfig"),
        ({"device": "/nowhere.yaml"}, "/nowhere.yaml"),
        ({"name": "Front Camera"}, "expected lower-case letters"),
        ({"policy_width": 128}, "never enlarged"),
        ({"rate": 3.0}, "did you mean 'rate_hz'"),
        ({"name": ""}, "'name' is missing"),
    ],
)
def test_what_is_wrong_is_named_and_the_node_stays_unconfigured(
    graph: Any, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    node = graph.make(CameraNode, **asked(tmp_path, **changes))
    node.trigger_configure()
    assert node.state_id == State.PRIMARY_STATE_UNCONFIGURED
    assert words in statuses(node)["fault"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"gone_after": 5}, "gone after 5 pictures"), ({"frozen_after": 5}, "silent for")],
)
def test_a_camera_that_is_gone_deactivates_the_node_which_can_be_tried_again(
    graph: Any, tmp_path: Path, settings: dict[str, Any], words: str
) -> None:
    camera = device(tmp_path, **settings, silent_after_s=0.3)
    node = graph.start(CameraNode, **asked(tmp_path, device=camera))
    heard = listen(graph, "policy/image_raw")
    graph.until(lambda: not node.active)
    assert words in statuses(node)["device"]
    assert words in statuses(node)["fault"]
    count = len(heard)
    node.trigger_activate()
    assert node.active
    graph.until(lambda: len(heard) > count)
    graph.until(lambda: not node.active)


def test_a_rate_lets_no_more_through_and_equal_rates_lose_nothing() -> None:
    ms = 1_000_000
    passes = Decimation(30.0)
    assert sum(passes(k * 1000 * ms // 60) for k in range(600)) in (300, 301)
    passes = Decimation(30.0)
    jitter = [0, 5, -5, 3, -4] * 60
    kept = [passes(k * 1000 * ms // 30 + late * ms) for k, late in enumerate(jitter)]
    assert all(kept)


def test_the_middle_is_cut_out() -> None:
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:, 8:56] = 200
    assert np.all(PolicyView(64, 48, 24, 24)(picture) == 200)
    tall = np.zeros((48, 64, 3), np.uint8)
    tall[8:40] = 100
    assert np.all(PolicyView(64, 48, 64, 32)(tall) == 100)
    with pytest.raises(ConfigError, match="never enlarged"):
        PolicyView(64, 48, 65, 32)


def test_a_process_says_what_is_wrong_and_ends_with_a_status(graph: Any, python: str) -> None:
    asked = ["autostart:=true", "device:=/nowhere.yaml", "name:=front", "uncalibrated:=true"]
    run = subprocess.run(
        [python, "-m", "robot_rl_nodes.camera_node", "--ros-args"]
        + [word for setting in asked for word in ("-p", setting)],
        env=graph.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 1
    assert "/nowhere.yaml" in run.stderr


def test_a_process_publishes_until_it_is_asked_to_end(
    graph: Any, python: str, tmp_path: Path
) -> None:
    heard = listen(graph, "policy/image_raw")
    settings = asked(tmp_path) | {"autostart": True}
    words = [word for k, v in settings.items() for word in ("-p", f"{k}:={str(v).lower()}")]
    process = subprocess.Popen(
        [python, "-m", "robot_rl_nodes.camera_node", "--ros-args", "-r", "__ns:=/test", *words],
        env=graph.environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        graph.until(lambda: len(heard) > 3, timeout_s=60)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate()
