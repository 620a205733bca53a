from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sensor_msgs.msg import Image

from robot_rl.core.clock import NS_PER_S, Clock, ManualClock
from robot_rl.core.errors import ConfigError, ContractError, DependencyError
from robot_rl.core.protocol import Sensor
from robot_rl.core.spec import ActionSpec, ImageSpec, ObservationSpec, TaskSpec
from robot_rl.core.types import Observation
from robot_rl.session.config import SessionConfig
from robot_rl.session.eyes import Eyes
from robot_rl.session.view import Frame
from robot_rl_hardware.cameras.fake import pattern
from robot_rl_nodes.camera_node import CameraNode
from robot_rl_nodes.conversion import ImageWriter, image_from, stamp_from_ns
from robot_rl_nodes.graph.picture import PictureSensor, camera_pictures
from robot_rl_nodes.managed_node import ManagedNode
from robot_rl_nodes.source import HeaderTime, Source, TopicSensor
from robot_rl_nodes.topic import CAMERA_IMAGE

pytestmark = pytest.mark.ros

NOW = 1_700_000_000 * NS_PER_S
FRONT = "observation.images.front"
CAMERAS = ("front", "wrist")


class Watcher(ManagedNode):
    """Watches two cameras."""

    sensors: Mapping[str, Sensor]

    def __init__(self, **of: Any) -> None:
        super().__init__("watcher", **of)

    def setup(self, values: Mapping[str, Any]) -> None:
        self.sensors = {sensor.name: sensor for sensor in camera_pictures(self, CAMERAS)}


class Cameras:
    """Publishes what the test gives them to see."""

    def __init__(self, graph: Any) -> None:
        self.node = graph.plain("cameras")
        self.out = {
            name: self.node.create_publisher(Image, of.name, of.quality.published)
            for name in CAMERAS
            for of in [CAMERA_IMAGE.of(name)]
        }

    def see(self, name: str, message: Any) -> None:
        message.header.stamp = self.node.get_clock().now().to_msg()
        self.out[name].publish(message)


def rgb(value: int, height: int = 48, width: int = 64) -> Any:
    image = np.arange(height * width * 3, dtype=np.uint8).reshape(height, width, 3) + value
    return image.astype(np.uint8)


def message_of(image: Any, encoding: str = "rgb8") -> Any:
    message = ImageWriter(Image(), *image.shape[:2]).write(image)
    message.encoding = encoding
    return message


def seen(graph: Any, cameras: Cameras, sensor: Sensor, message: Any) -> Observation:
    """Publish until another picture than before is there, which may take a while at first."""
    before = sensor.latest()

    def arrived() -> bool:
        cameras.see(sensor.name, message)
        graph.spin(0.02)
        return sensor.latest() is not before

    graph.until(arrived)
    newest = sensor.latest()
    assert newest is not None
    return newest


def test_whole_pictures_are_offered_by_camera_stamped_when_they_were_taken(graph: Any) -> None:
    watcher, cameras = graph.start(Watcher), Cameras(graph)
    assert list(watcher.sensors) == list(CAMERAS)
    assert [sensor.latest() for sensor in watcher.sensors.values()] == [None, None]
    before_ns = time.monotonic_ns()
    newest = seen(graph, cameras, watcher.sensors["front"], message_of(rgb(5)))
    assert list(newest.images) == [FRONT]
    assert np.array_equal(newest.images[FRONT], rgb(5))
    # Two clocks are read one after the other.
    assert before_ns - NS_PER_S // 100 <= newest.stamp_ns <= time.monotonic_ns()
    assert watcher.sensors["wrist"].latest() is None


def test_a_node_offers_what_the_camera_node_sees_and_not_what_it_gives_a_policy(
    graph: Any, tmp_path: Path
) -> None:
    device = tmp_path / "camera.yaml"
    device.write_text(
        "type: robot_rl_hardware.cameras.fake:FakeCameraConfig\nwidth: 64\nheight: 48\nfps: 60\n"
    )
    watcher = graph.start(Watcher)
    graph.start(
        CameraNode,
        device=str(device),
        name="front",
        policy_width=32,
        policy_height=32,
        uncalibrated=True,
    )
    sensor = watcher.sensors["front"]
    graph.until(sensor.latest)
    picture = sensor.latest().images[FRONT]
    assert np.array_equal(picture, pattern(64, 48, int(picture[0, 0, 2])))


def test_a_camera_that_is_named_twice_is_refused(graph: Any) -> None:
    with pytest.raises(ConfigError, match=r"\['front', 'front'\], expected each once"):
        camera_pictures(graph.make(Watcher), ["front", "front"])


class Read:
    """A picture sensor without a graph, and how many messages it has read."""

    def __init__(self) -> None:
        self.count = 0
        found = Source(name="front", topic=CAMERA_IMAGE.of("front"), read=self._read)
        self.clock = ManualClock(10 * NS_PER_S)
        self.sensor = PictureSensor(TopicSensor(found, HeaderTime(lambda: NOW, self.clock)))

    def _read(self, message: Any) -> Any:
        self.count += 1
        return {}, {FRONT: image_from(message)}

    def put(self, image: Any, encoding: str = "rgb8", stamp_ns: int = NOW) -> None:
        message = message_of(image, encoding)
        stamp_from_ns(stamp_ns, message.header.stamp)
        self.sensor.put(message)


def test_only_the_newest_message_is_read_once_when_it_is_asked_for() -> None:
    read = Read()
    for value in range(5):
        read.put(rgb(value), stamp_ns=NOW - NS_PER_S)
    assert read.count == 0
    newest = read.sensor.latest()
    assert newest is not None
    assert np.array_equal(newest.images[FRONT], rgb(4))
    assert newest.stamp_ns == 9 * NS_PER_S
    assert read.sensor.latest() is newest
    assert read.count == 1


def test_other_orders_of_colours_are_shown_as_red_green_blue() -> None:
    read = Read()
    read.put(rgb(0)[..., ::-1], "bgr8")
    newest = read.sensor.latest()
    assert newest is not None
    assert np.array_equal(newest.images[FRONT], rgb(0))


@pytest.mark.parametrize(
    ("encoding", "stamp_ns", "words"),
    [
        ("yuyv", NOW, "front: image: encoding 'yuyv', expected one of: rgb8"),
        ("rgba8", NOW, "front: image: 48 rows of 192 bytes"),
        ("rgb8", 0, "front: header.stamp is zero"),
        ("rgb8", NOW + NS_PER_S, r"front: header.stamp is 1\.000 s in the future"),
    ],
)
def test_a_message_that_is_wrong_is_told_until_another_one_comes(
    encoding: str, stamp_ns: int, words: str
) -> None:
    read = Read()
    read.put(rgb(1))
    before = read.sensor.latest()
    read.put(rgb(2), encoding, stamp_ns)
    for _ in range(2):
        with pytest.raises(ContractError, match=words):
            read.sensor.latest()
    assert read.count == 2
    read.put(rgb(3))
    after = read.sensor.latest()
    assert after is not None
    assert after is not before
    assert np.array_equal(after.images[FRONT], rgb(3))


class Cell:
    """A bench that a policy is given small pictures of, and that cannot draw."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.task = TaskSpec(
            name="task",
            horizon=10,
            observation=ObservationSpec(
                vectors={}, images={FRONT: ImageSpec(height=32, width=32)}
            ),
            action=ActionSpec(kind="tcp_delta", names=("dx",), scale=(0.01,), period_s=0.1),
        )

    def render(self, width: int, height: int) -> Any:
        raise DependencyError("a live graph is not drawn")


def test_eyes_show_whole_pictures_of_the_graph_while_nothing_is_observed(
    graph: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("robot_rl.session.eyes._AGAIN_S", 0.02)
    watcher, cameras, frames = graph.start(Watcher), Cameras(graph), list[Frame]()
    config = SessionConfig(operator="Ada", camera_rate_hz=60.0)
    sensors: Sequence[Sensor] = tuple(watcher.sensors.values())
    eyes = Eyes(Cell(watcher.monotonic), config, frames.append, sensors)
    eyes.start()

    def see_until(message: Any, happened: Any) -> None:
        def publish() -> Any:
            cameras.see("front", message)
            graph.spin(0.02)
            return happened()

        graph.until(publish)

    def front() -> Any:
        return next(view for view in eyes.views() if view.name == "front")

    try:
        see_until(message_of(rgb(5)), lambda: frames)
        assert (frames[0].camera, frames[0].width, frames[0].height) == ("front", 64, 48)
        assert frames[0].rgb == rgb(5).tobytes()
        see_until(message_of(rgb(6), "yuyv"), lambda: front().frozen)
        assert "front: image: encoding 'yuyv'" in front().words
        see_until(message_of(rgb(7)), lambda: frames[-1].rgb == rgb(7).tobytes())
        assert not front().frozen
    finally:
        eyes.close()
