"""Between messages and numpy. Pure: knows messages by their fields, and casts every scalar.

rclpy checks no field unless told to, and then writes the bits of a `numpy.float32` into a float64
field as they are. So every number goes through `float`, `int` or `bool` here and nowhere else.
Quaternions are xyzw on both sides.
"""

from __future__ import annotations

import array
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from robot_rl.core.clock import NS_PER_S
from robot_rl.core.errors import ContractError
from robot_rl.core.types import Image, Vector

_COLOURS: Mapping[str, tuple[int, int | None]] = {
    "rgb8": (3, None),
    "bgr8": (3, cv2.COLOR_BGR2RGB),
    "rgba8": (4, cv2.COLOR_RGBA2RGB),
    "bgra8": (4, cv2.COLOR_BGRA2RGB),
    "mono8": (1, cv2.COLOR_GRAY2RGB),
}
"""Bytes per pixel, and how they become red, green and blue."""
_MOST_NS = (2**31) * NS_PER_S


def stamp_from_ns(ns: int, stamp: Any) -> Any:
    """Write a time [ns] into a `builtin_interfaces/Time` or `Duration` and return it.

    Raises:
        ContractError: if it is negative or beyond the year 2038, which the type cannot say.
    """
    if not 0 <= ns < _MOST_NS:
        raise ContractError(f"stamp: got {ns} ns, expected 0 to {_MOST_NS}")
    stamp.sec, stamp.nanosec = int(ns // NS_PER_S), int(ns % NS_PER_S)
    return stamp


def ns_from_stamp(stamp: Any) -> int:
    """Return a `builtin_interfaces/Time` or `Duration` as [ns]."""
    return int(stamp.sec) * NS_PER_S + int(stamp.nanosec)


def float32s(values: NDArray[Any] | Sequence[float]) -> array.array[float]:
    """Return numbers as a `float32[]` field takes them."""
    return array.array("f", np.ascontiguousarray(values, np.float32).tobytes())


def float64s(values: NDArray[Any] | Sequence[float]) -> array.array[float]:
    """Return numbers as a `float64[]` field takes them."""
    return array.array("d", np.ascontiguousarray(values, np.float64).tobytes())


def vector_from(values: Any) -> Vector:
    """Return a number sequence field as float32[n], copied."""
    return np.array(values, np.float32)


def pose_from(pose: Any) -> Vector:
    """Return a `geometry_msgs/Pose` as float32[7]: position [m] and quaternion xyzw."""
    p, q = pose.position, pose.orientation
    return np.array([p.x, p.y, p.z, q.x, q.y, q.z, q.w], np.float32)


def write_pose(pose: Any, values: Sequence[float] | NDArray[Any]) -> None:
    """Write position [m] and quaternion xyzw, float[7], into a `geometry_msgs/Pose`."""
    p, q = pose.position, pose.orientation
    p.x, p.y, p.z, q.x, q.y, q.z, q.w = (float(v) for v in values)


def twist_from(twist: Any) -> Vector:
    """Return a `geometry_msgs/Twist` as float32[6]: linear [m/s] and angular [rad/s]."""
    return _six(twist.linear, twist.angular)


def write_twist(twist: Any, values: Sequence[float] | NDArray[Any]) -> None:
    """Write linear [m/s] and angular [rad/s] velocity, float[6], into a `geometry_msgs/Twist`."""
    _write_six(twist.linear, twist.angular, values)


def wrench_from(wrench: Any) -> Vector:
    """Return a `geometry_msgs/Wrench` as float32[6]: force [N] and torque [N m]."""
    return _six(wrench.force, wrench.torque)


def write_wrench(wrench: Any, values: Sequence[float] | NDArray[Any]) -> None:
    """Write force [N] and torque [N m], float[6], into a `geometry_msgs/Wrench`."""
    _write_six(wrench.force, wrench.torque, values)


def vectors_from(named: Any) -> dict[str, Vector]:
    """Return `NamedVector[]` as `{key: float32[d]}`.

    Raises:
        ContractError: if a key comes twice.
    """
    vectors = {str(vector.key): vector_from(vector.data) for vector in named}
    if len(vectors) != len(named):
        raise ContractError(f"vectors: a key comes twice in {[v.key for v in named]}")
    return vectors


def write_vectors(named: type, vectors: Mapping[str, NDArray[Any]]) -> list[Any]:
    """Return `{key: float[d]}` as `NamedVector[]`.

    Args:
        named: the message class `robot_rl_msgs.msg.NamedVector`.
        vectors: in the order in which they are to stand.
    """
    return [named(key=str(key), data=float32s(v)) for key, v in vectors.items()]


def image_from(message: Any) -> Image:
    """Return a `sensor_msgs/Image` as uint8[h, w, 3] RGB: a view of the message where it can be.

    Raises:
        ContractError: naming an encoding, step or size that is wrong.
    """
    if message.encoding not in _COLOURS:
        raise ContractError(
            f"image: encoding {message.encoding!r}, expected one of: {', '.join(_COLOURS)}"
        )
    channels, becomes = _COLOURS[message.encoding]
    rows = _rows(message, channels)
    return rows if becomes is None else np.asarray(cv2.cvtColor(rows, becomes), np.uint8)


def depth_from(message: Any) -> NDArray[np.float32]:
    """Return a depth `sensor_msgs/Image` as float32[h, w] in metres, NaN where unknown (REP 118).

    Raises:
        ContractError: naming an encoding, step or size that is wrong.
    """
    if message.encoding not in ("16UC1", "32FC1"):
        raise ContractError(f"depth: encoding {message.encoding!r}, expected 16UC1 or 32FC1")
    size = 2 if message.encoding == "16UC1" else 4
    order = ">" if message.is_bigendian else "<"
    raw = np.ascontiguousarray(_rows(message, size)).view(f"{order}{'u2' if size == 2 else 'f4'}")
    raw = raw[..., 0]
    if size == 4:
        return raw.astype(np.float32)
    return np.where(raw == 0, np.float32(np.nan), raw * np.float32(1e-3)).astype(np.float32)


class ImageWriter:
    """Fills one `sensor_msgs/Image` again and again, in place.

    Args:
        message: allocated once; its header is the caller's.
        height, width: of the pictures, RGB.
    """

    def __init__(self, message: Any, height: int, width: int) -> None:
        message.height, message.width = int(height), int(width)
        message.encoding, message.is_bigendian, message.step = "rgb8", 0, int(3 * width)
        message.data = array.array("B", bytes(3 * height * width))
        self.message = message
        self._view = np.frombuffer(message.data, np.uint8).reshape(height, width, 3)

    def write(self, image: Image) -> Any:
        """Write uint8[h, w, 3] RGB into the message and return it.

        Raises:
            ContractError: if the picture has another shape or type.
        """
        if image.shape != self._view.shape or image.dtype != np.uint8:
            raise ContractError(
                f"image: got {image.dtype}{list(image.shape)}, expected "
                f"uint8{list(self._view.shape)}"
            )
        self._view[...] = image
        return self.message


def _six(first: Any, second: Any) -> Vector:
    return np.array([first.x, first.y, first.z, second.x, second.y, second.z], np.float32)


def _write_six(first: Any, second: Any, values: Sequence[float] | NDArray[Any]) -> None:
    first.x, first.y, first.z, second.x, second.y, second.z = (float(v) for v in values)


def _rows(message: Any, channels: int) -> NDArray[np.uint8]:
    """The pixels uint8[h, w, channels] of an image message, without the padding of its rows."""
    height, width, step = int(message.height), int(message.width), int(message.step)
    if height < 1 or width < 1 or step < width * channels or len(message.data) != height * step:
        raise ContractError(
            f"image: {height} rows of {step} bytes for {width} pixels of {channels} in "
            f"{len(message.data)} bytes; expected rows of at least {width * channels}"
        )
    data = np.frombuffer(message.data, np.uint8).reshape(height, step)
    return data[:, : width * channels].reshape(height, width, channels)
