from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Duration, Time
from geometry_msgs.msg import Pose, Twist, Wrench, WrenchStamped
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from robot_rl_msgs.msg import ActionStamped, NamedVector, ObservationVectors, PolicyStep
from sensor_msgs.msg import Image

from robot_rl.core.errors import ContractError
from robot_rl_nodes import conversion

pytestmark = pytest.mark.ros

DTYPES = ["float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool"]
FLOATS = st.floats(-1e6, 1e6, width=32)


def vectors(size: int) -> st.SearchStrategy[list[float]]:
    return st.lists(FLOATS, min_size=size, max_size=size)


# Scalars and sequences: every type that numpy hands out, with the fields checked.


@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_of_every_type_arrive_as_what_they_are(dtype: str) -> None:
    six = np.array([1, 0, 1, 1, 0, 1], dtype)
    expected = six.astype(np.float32)
    wrench, twist, pose = Wrench(), Twist(), Pose()
    conversion.write_wrench(wrench, six)
    conversion.write_twist(twist, six)
    conversion.write_pose(pose, np.append(six, six[:1]))
    assert conversion.wrench_from(wrench).tolist() == expected.tolist()
    assert conversion.twist_from(twist).tolist() == expected.tolist()
    assert conversion.pose_from(pose).tolist() == [*expected.tolist(), 1.0]
    assert all(type(v) is float for v in (wrench.force.x, twist.angular.z, pose.orientation.w))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ["plain", "strided", "reversed", "column"])
def test_sequences_of_every_type_and_layout_arrive_in_order(dtype: str, layout: str) -> None:
    values = np.array([1, 0, 0, 1], dtype)
    array = {
        "plain": values,
        "strided": np.repeat(values, 3)[::3],
        "reversed": values[::-1].copy()[::-1],
        "column": np.stack([values, values], axis=1)[:, 0],
    }[layout]
    action = ActionStamped(data=conversion.float32s(array))
    step = PolicyStep(latent=conversion.float32s(array))
    assert list(action.data) == [1, 0, 0, 1]
    assert list(step.latent) == [1, 0, 0, 1]
    assert list(conversion.float64s(array)) == [1, 0, 0, 1]
    assert conversion.vector_from(action.data).dtype == np.float32


def test_a_vector_that_was_read_is_its_own() -> None:
    action = ActionStamped(data=conversion.float32s([1, 2]))
    read = conversion.vector_from(action.data)
    action.data[0] = 9.0
    assert read.tolist() == [1, 2]


def test_checked_fields_refuse_what_conversion_casts() -> None:
    with pytest.raises(AssertionError):
        Wrench().force.x = np.float32(1.5)
    with pytest.raises(AssertionError):
        ActionStamped().active = np.bool_(True)


def test_a_quaternion_is_xyzw_on_both_sides() -> None:
    pose = Pose()
    conversion.write_pose(pose, [1, 2, 3, 0.1, 0.2, 0.3, 0.9])
    q = pose.orientation
    assert (q.x, q.y, q.z, q.w) == (0.1, 0.2, 0.3, 0.9)
    assert conversion.pose_from(Pose()).tolist() == [0, 0, 0, 0, 0, 0, 1]


@pytest.mark.parametrize("size", [6, 8])
def test_a_pose_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="unpack"):
        conversion.write_pose(Pose(), np.zeros(size))


@given(vectors(7))
def test_a_pose_survives_the_way(values: list[float]) -> None:
    pose = Pose()
    conversion.write_pose(pose, np.array(values, np.float32))
    assert conversion.pose_from(pose).tolist() == values


@given(vectors(6))
def test_twist_and_wrench_survive_the_way(values: list[float]) -> None:
    twist, wrench = Twist(), Wrench()
    conversion.write_twist(twist, np.array(values, np.float32))
    conversion.write_wrench(wrench, np.array(values, np.float32))
    assert conversion.twist_from(twist).tolist() == values
    assert conversion.wrench_from(wrench).tolist() == values
    assert (twist.angular.x, wrench.torque.x) == (values[3], values[3])


@given(
    st.dictionaries(
        st.text("abc._", min_size=1, max_size=20),
        hnp.arrays(np.float32, st.integers(0, 8), elements=FLOATS),
        max_size=5,
    )
)
def test_named_vectors_survive_the_way_in_order(named: dict[str, Any]) -> None:
    written = conversion.write_vectors(NamedVector, named)
    read = conversion.vectors_from(ObservationVectors(vectors=written).vectors)
    assert list(read) == list(named)
    assert all(np.array_equal(read[key], named[key]) for key in named)


def test_a_key_that_comes_twice_is_refused() -> None:
    twice = [NamedVector(key="a"), NamedVector(key="a")]
    with pytest.raises(ContractError, match="a key comes twice"):
        conversion.vectors_from(twice)


@given(st.integers(0, 2**31 * 10**9 - 1))
def test_a_time_survives_the_way(ns: int) -> None:
    assert conversion.ns_from_stamp(conversion.stamp_from_ns(ns, Time())) == ns
    assert conversion.ns_from_stamp(conversion.stamp_from_ns(ns, Duration())) == ns


@given(st.integers(-(2**63), -1) | st.integers(2**31 * 10**9, 2**63 - 1))
def test_a_time_that_the_type_cannot_say_is_refused(ns: int) -> None:
    with pytest.raises(ContractError, match="expected 0 to"):
        conversion.stamp_from_ns(ns, Time())


def test_a_time_of_numpy_is_cast() -> None:
    stamp = conversion.stamp_from_ns(np.int64(1_500_000_007), Time())  # type: ignore[arg-type]
    assert (type(stamp.sec), stamp.sec, stamp.nanosec) == (int, 1, 500_000_007)


# Pictures.

PIXELS = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)


def image(data: Any, coded: str, across: int, padding: int = 0, **changes: Any) -> Image:
    """An image of two rows, each followed by padding that is not part of it."""
    rows = np.ascontiguousarray(data).view(np.uint8).reshape(2, -1)
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    message = Image(height=2, width=across, encoding=coded, step=padded.shape[1])
    message.data.frombytes(padded.tobytes())
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def with_alpha(pixels: Any) -> Any:
    return np.concatenate([pixels, np.full((2, 3, 1), 200, np.uint8)], axis=2)


@pytest.mark.parametrize("padding", [0, 1, 7])
@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("rgb8", lambda p: p),
        ("bgr8", lambda p: p[..., ::-1]),
        ("rgba8", with_alpha),
        ("bgra8", lambda p: with_alpha(p[..., ::-1])),
    ],
)
def test_a_colour_picture_is_rgb_whatever_its_encoding_and_padding(
    encoding: str, packed: Callable[[Any], Any], padding: int
) -> None:
    read = conversion.image_from(image(packed(PIXELS), encoding, 3, padding))
    assert read.shape == (2, 3, 3)
    assert read.dtype == np.uint8
    assert np.array_equal(read, PIXELS)


def test_a_grey_picture_is_grey_in_all_colours() -> None:
    read = conversion.image_from(image(PIXELS[..., 0], "mono8", 3, 2))
    assert np.array_equal(read, np.repeat(PIXELS[..., :1], 3, axis=2))


def test_an_rgb_picture_is_not_copied() -> None:
    message = image(PIXELS, "rgb8", 3)
    read = conversion.image_from(message)
    message.data[0] = 99
    assert read[0, 0, 0] == 99


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"encoding": "yuv422"}, "encoding 'yuv422', expected one of: rgb8"),
        ({"encoding": "16UC1"}, "encoding '16UC1'"),
        ({"step": 8}, "rows of at least 9"),
        ({"step": 10}, "2 rows of 10 bytes"),
        ({"height": 3}, "3 rows of 9 bytes"),
        ({"height": 0}, "0 rows"),
        ({"width": 4}, "rows of at least 12"),
    ],
)
def test_a_picture_that_does_not_add_up_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ContractError, match=words):
        conversion.image_from(image(PIXELS, "rgb8", 3, **changes))


@pytest.mark.parametrize("big", [0, 1])
@pytest.mark.parametrize("padding", [0, 3])
def test_depth_in_millimetres_becomes_metres(big: int, padding: int) -> None:
    raw = np.array([[0, 1, 1000], [65535, 2500, 7]], ">u2" if big else "<u2")
    read = conversion.depth_from(image(raw, "16UC1", 3, padding, is_bigendian=big))
    expected = [[np.nan, 0.001, 1.0], [65.535, 2.5, 0.007]]
    np.testing.assert_allclose(read, expected, rtol=1e-6)
    assert read.dtype == np.float32


@pytest.mark.parametrize("big", [0, 1])
@pytest.mark.parametrize("padding", [0, 3])
def test_depth_in_metres_stays_as_it_is(big: int, padding: int) -> None:
    raw = np.array([[np.nan, 0.25, 1.5], [np.inf, 0.0, 3.0]], ">f4" if big else "<f4")
    read = conversion.depth_from(image(raw, "32FC1", 3, padding, is_bigendian=big))
    np.testing.assert_array_equal(read, raw.astype(np.float32))
    assert read.dtype == np.float32


def test_depth_of_another_encoding_is_refused() -> None:
    with pytest.raises(ContractError, match="encoding 'rgb8', expected 16UC1 or 32FC1"):
        conversion.depth_from(image(PIXELS, "rgb8", 3))


@given(
    hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))),
)
@settings(max_examples=50)
def test_a_picture_survives_the_way(picture: Any) -> None:
    writer = conversion.ImageWriter(Image(), *picture.shape[:2])
    assert np.array_equal(conversion.image_from(writer.write(picture)), picture)
    flipped = picture[::-1, ::-1]
    assert np.array_equal(conversion.image_from(writer.write(flipped)), flipped)


@pytest.mark.parametrize(
    "picture",
    [np.zeros((2, 3, 3), np.float32), np.zeros((3, 2, 3), np.uint8), np.zeros((2, 3), np.uint8)],
)
def test_a_picture_of_another_shape_or_type_is_not_written(picture: Any) -> None:
    with pytest.raises(ContractError, match=r"expected uint8\[2, 3, 3\]"):
        conversion.ImageWriter(Image(), 2, 3).write(picture)


# Over the wire, with fields checked and unchecked.

WIRE = """
import numpy as np
from geometry_msgs.msg import Wrench
from rclpy.serialization import deserialize_message, serialize_message
from robot_rl_nodes.conversion import write_wrench, wrench_from
said = np.array([1.5, -2.5, 3.25, 0.5, -0.25, 0.125], np.float32)
wrench, bare = Wrench(), Wrench()
write_wrench(wrench, said)
heard = wrench_from(deserialize_message(serialize_message(wrench), Wrench))
assert heard.tolist() == said.tolist(), heard
bare.force.x = said[0]
print(deserialize_message(serialize_message(bare), Wrench).force.x)
"""


def test_float32_scalars_arrive_where_nobody_checks_fields(graph: Any, python: str) -> None:
    environment = {**graph.environment, "ROS_PYTHON_CHECK_FIELDS": "0"}
    run = subprocess.run(
        [python, "-c", WIRE], env=environment, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    # Why all numbers go through here: what was not cast arrives as something else.
    assert float(run.stdout) != 1.5


def test_float32_scalars_arrive_at_a_subscriber(graph: Any) -> None:
    probe = graph.plain()
    heard: list[WrenchStamped] = []
    probe.create_subscription(WrenchStamped, "w", heard.append, 10)
    out = probe.create_publisher(WrenchStamped, "w", 10)
    said = np.array([1.5, -2.5, 3.25, 0.5, -0.25, 0.125], np.float32)
    message = WrenchStamped()
    conversion.write_wrench(message.wrench, said)
    conversion.stamp_from_ns(np.int64(1_500_000_007), message.header.stamp)  # type: ignore[arg-type]

    def arrived() -> bool:
        out.publish(message)
        graph.spin(0.02)
        return bool(heard)

    graph.until(arrived)
    assert conversion.wrench_from(heard[0].wrench).tolist() == said.tolist()
    assert conversion.ns_from_stamp(heard[0].header.stamp) == 1_500_000_007
