from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from geometry_msgs.msg import WrenchStamped
from robot_rl_msgs.msg import NamedVector, ObservationVectors, RobotState
from sensor_msgs.msg import Image

from robot_rl.core.clock import ManualClock
from robot_rl.core.errors import ConfigError, ContractError
from robot_rl.core.spec import ImageSpec, ObservationSpec, VectorSpec
from robot_rl_nodes.conversion import (
    ImageWriter,
    stamp_from_ns,
    write_vectors,
    write_wrench,
)
from robot_rl_nodes.source import HeaderTime, TopicSensor, source

pytestmark = pytest.mark.ros

S = 1_000_000_000
NOW = 1_700_000_000 * S
TACTILE = "observation.tactile.left"
SPEC = ObservationSpec(
    vectors={
        "observation.state": VectorSpec(names=("q0", "q1"), unit="rad"),
        "observation.wrench": VectorSpec(names=tuple("xyzabc"), unit="N, N m", frame="tcp"),
        TACTILE: VectorSpec(names=("x", "y", "d"), unit="px"),
    },
    images={"observation.images.front": ImageSpec(height=4, width=6)},
)


def header_time(clock: ManualClock, ros_now_ns: int = NOW) -> HeaderTime:
    return HeaderTime(lambda: ros_now_ns, clock)


def sensor(name: str) -> TopicSensor:
    return TopicSensor(source(name, SPEC), header_time(ManualClock(10 * S)))


def stamped(message: Any, ns: int = NOW) -> Any:
    stamp_from_ns(ns, message.header.stamp)
    return message


def wrench(values: Any, frame_id: str = "tcp") -> WrenchStamped:
    message = WrenchStamped()
    message.header.frame_id = frame_id
    write_wrench(message.wrench, values)
    return stamped(message)


@pytest.mark.parametrize(
    ("name", "topic"),
    [
        ("robot", "robot/state"),
        ("perception", "perception/vectors"),
        ("ft", "ft/wrench"),
        ("camera:front", "cameras/front/policy/image_raw"),
        ("tactile:left", "tactile/left/vectors"),
        ("tactile_image:left", "tactile/left/image_raw"),
    ],
)
def test_a_source_knows_its_topic(name: str, topic: str) -> None:
    assert source(name, SPEC).topic.name == topic


@pytest.mark.parametrize("name", ["robt", "camera", "camera:", "robot:left", "ft:a", ""])
def test_a_source_that_there_is_not_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match=r"unknown source .*e\.g\. camera:front"):
        source(name, SPEC)


def test_a_nearly_right_source_is_suggested() -> None:
    with pytest.raises(ConfigError, match="did you mean 'robot'"):
        source("robt", SPEC)


def test_what_the_task_does_not_observe_is_left_out() -> None:
    robot = sensor("robot")
    vectors = {"observation.state": np.ones(2), "observation.velocity": np.zeros(2)}
    robot.put(stamped(RobotState(vectors=write_vectors(NamedVector, vectors))))
    newest = robot.latest()
    assert newest is not None
    assert list(newest.vectors) == ["observation.state"]


def test_each_kind_of_stream_says_what_it_carries() -> None:
    ft, finger, camera = sensor("ft"), sensor("tactile:left"), sensor("camera:front")
    ft.put(wrench([1, 2, 3, 4, 5, 6]))
    felt = write_vectors(NamedVector, {TACTILE: np.array([1, 2, 3])})
    finger.put(stamped(ObservationVectors(vectors=felt)))
    picture = np.arange(72, dtype=np.uint8).reshape(4, 6, 3)
    camera.put(stamped(ImageWriter(Image(), 4, 6).write(picture)))
    assert ft.latest().vectors["observation.wrench"].tolist() == [1, 2, 3, 4, 5, 6]  # type: ignore[union-attr]
    assert finger.latest().vectors[TACTILE].tolist() == [1, 2, 3]  # type: ignore[union-attr]
    assert np.array_equal(camera.latest().images["observation.images.front"], picture)  # type: ignore[union-attr]


@pytest.mark.parametrize("encoding", ["yuyv", "16UC1", "mono16"])
def test_a_picture_of_a_wrong_encoding_is_complained_about_and_not_taken(encoding: str) -> None:
    camera = sensor("camera:front")
    message = stamped(ImageWriter(Image(), 4, 6).write(np.zeros((4, 6, 3), np.uint8)))
    camera.put(message)
    before = camera.latest()
    message.encoding = encoding
    camera.put(message)
    assert camera.latest() is before
    assert f"camera:front: image: encoding '{encoding}'" in camera.complaint
    message.encoding = "rgb8"
    camera.put(message)
    assert camera.complaint == ""


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_a_wrench_that_is_not_finite_is_complained_about_and_not_taken(wrong: float) -> None:
    ft = sensor("ft")
    ft.put(wrench([0, 0, 0, 0, 0, 0]))
    before = ft.latest()
    ft.put(wrench([0, 0, wrong, 0, 0, 0]))
    assert ft.latest() is before
    assert "observation.wrench is not finite" in ft.complaint


def test_a_wrench_of_another_frame_is_complained_about_and_not_taken() -> None:
    ft = sensor("ft")
    ft.put(wrench(np.zeros(6), frame_id="ft_link"))
    assert ft.latest() is None
    assert "header.frame_id is 'ft_link', expected 'tcp'" in ft.complaint


def test_a_vector_of_another_size_is_complained_about_and_not_taken() -> None:
    robot = sensor("robot")
    vectors = {"observation.state": np.ones(3)}
    robot.put(stamped(RobotState(vectors=write_vectors(NamedVector, vectors))))
    assert robot.latest() is None
    assert "observation.state: 3 elements, expected 2: q0, q1" in robot.complaint


def test_a_picture_of_another_size_is_complained_about_and_not_taken() -> None:
    camera = sensor("camera:front")
    camera.put(stamped(ImageWriter(Image(), 6, 4).write(np.zeros((6, 4, 3), np.uint8))))
    assert camera.latest() is None
    assert "observation.images.front: 4x6 pixels, expected 6x4" in camera.complaint


@pytest.mark.parametrize(
    ("ns", "words"),
    [
        (0, "header.stamp is zero: its sender stamps nothing"),
        (NOW + S // 10, r"0\.100 s in the future: another clock\?"),
    ],
)
def test_a_stamp_of_no_clock_or_another_is_complained_about(ns: int, words: str) -> None:
    ft = sensor("ft")
    message = wrench(np.zeros(6))
    stamp_from_ns(ns, message.header.stamp)
    ft.put(message)
    assert ft.latest() is None
    with pytest.raises(ContractError, match=words):
        header_time(ManualClock())(message.header.stamp)
    assert ft.complaint.startswith("ft: header.stamp")


def stamp(ns: int) -> Time:
    return stamp_from_ns(ns, Time())


def test_an_age_by_ros_time_becomes_an_age_by_the_monotonic_clock() -> None:
    time_of = header_time(ManualClock(10 * S))
    assert time_of(stamp(NOW - S // 4)) == 10 * S - S // 4


def test_a_stamp_slightly_ahead_is_of_now() -> None:
    time_of = header_time(ManualClock(10 * S))
    assert time_of(stamp(NOW + S // 50)) == 10 * S


def test_a_stamp_of_another_clock_that_is_behind_is_old() -> None:
    # A simulator's clock, which began at zero: it is decades old, and whoever asks for freshness
    # refuses it.
    assert header_time(ManualClock(10 * S))(stamp(5 * S)) == 10 * S - (NOW - 5 * S)
