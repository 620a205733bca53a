"""The vectors of an observation as ROS 2 messages: a standard one where the spec's key has one.

Standard messages hold float64, which gives float32 back bit by bit (a signalling NaN comes back
as a quiet one). A vector that does not have the size or unit that the standard message means
travels as our own `Vector`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.spec import (
    JOINT_POSITION,
    JOINT_VELOCITY,
    TCP_POSE,
    TCP_TWIST,
    WRENCH,
    VectorSpec,
)
from robot_rl.core.types import Observation
from robot_rl.data.log import message_types as types
from robot_rl.data.log.channel import Arrays, Channel, frame_of, topic_of
from robot_rl.data.log.fixed_message import FixedMessage, marker
from robot_rl.data.log.message_types import message_class

_Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """How vectors are put into a type of message, and taken out again, one array each."""

    message_type: str
    dtype: type[np.float32] | type[np.float64]
    make: Callable[..., Any]
    take: Callable[[Any], tuple[Any, ...]]


def vector_channels(vectors: Mapping[str, VectorSpec]) -> Iterator[Channel]:
    """Make the channels that together carry every vector of a spec, each once."""
    joints = _joint_keys(vectors)
    for key, spec in vectors.items():
        if joints and key == JOINT_POSITION:
            yield _channel(_joint_state(list(spec.names)), joints, spec)
        elif key not in joints:
            size, kind = _STANDARD.get(key, (0, _VECTOR))
            yield _channel(kind if spec.size == size else _VECTOR, (key,), spec)


def _joint_keys(vectors: Mapping[str, VectorSpec]) -> tuple[str, ...]:
    """Return which vectors the joint state carries: none, positions, or velocities too."""
    position, velocity = vectors.get(JOINT_POSITION), vectors.get(JOINT_VELOCITY)
    if position is None or position.unit != "rad":
        return ()
    if velocity is None or velocity.unit != "rad/s" or velocity.size != position.size:
        return (JOINT_POSITION,)
    return (JOINT_POSITION, JOINT_VELOCITY)


def _channel(kind: _Kind, keys: tuple[str, ...], spec: VectorSpec) -> Channel:
    """Make the channel of `keys`, which all have the size of `spec`, that of the first."""
    samples = [marker(spec.size, kind.dtype) for _ in keys]
    message = FixedMessage(
        kind.message_type,
        lambda header: kind.make(header, *samples),
        [sample.tobytes() for sample in samples],
        frame_of(spec.frame),
    )

    def encode(stamp: bytes, observation: Observation) -> bytes:
        # numpy warns of a signalling NaN, and a warning may have been made an error.
        with np.errstate(invalid="ignore"):
            arrays = [observation.vectors[key].astype(kind.dtype) for key in keys]
        return message.encode(stamp, [array.tobytes() for array in arrays])

    def unpack(message: Any) -> Arrays:
        # Copies: what rosbags returns are views of the whole message.
        return {
            key: np.array(values, np.float32)
            for key, values in zip(keys, kind.take(message), strict=True)
        }

    return Channel(
        topic=topic_of(keys[0]),
        message_type=kind.message_type,
        metadata={
            "key": ",".join(keys),
            "names": ",".join(spec.names),
            "unit": spec.unit,
            "frame": spec.frame,
        },
        encode=encode,
        unpack=unpack,
    )


def _joint_state(names: list[str]) -> _Kind:
    none = np.empty(0)

    def make(header: Any, position: _Array, velocity: _Array = none) -> Any:
        return message_class(types.JOINT_STATE)(
            header=header, name=names, position=position, velocity=velocity, effort=none
        )

    def take(message: Any) -> tuple[Any, ...]:
        has_velocity = len(message.velocity) > 0
        return (message.position, message.velocity) if has_velocity else (message.position,)

    return _Kind(message_type=types.JOINT_STATE, dtype=np.float64, make=make, take=take)


def _make_vector3(values: list[float]) -> Any:
    x, y, z = values
    return message_class("geometry_msgs/msg/Vector3")(x=x, y=y, z=z)


def _make_vector(header: Any, values: _Array) -> Any:
    return message_class(types.VECTOR)(header=header, values=values)


def _make_wrench(header: Any, values: _Array) -> Any:
    force, torque = _make_vector3(values[:3].tolist()), _make_vector3(values[3:].tolist())
    wrench = message_class("geometry_msgs/msg/Wrench")(force=force, torque=torque)
    return message_class(types.WRENCH)(header=header, wrench=wrench)


def _take_wrench(message: Any) -> tuple[Any, ...]:
    force, torque = message.wrench.force, message.wrench.torque
    return ([force.x, force.y, force.z, torque.x, torque.y, torque.z],)


def _make_twist(header: Any, values: _Array) -> Any:
    linear, angular = _make_vector3(values[:3].tolist()), _make_vector3(values[3:].tolist())
    twist = message_class("geometry_msgs/msg/Twist")(linear=linear, angular=angular)
    return message_class(types.TWIST)(header=header, twist=twist)


def _take_twist(message: Any) -> tuple[Any, ...]:
    linear, angular = message.twist.linear, message.twist.angular
    return ([linear.x, linear.y, linear.z, angular.x, angular.y, angular.z],)


def _make_pose(header: Any, values: _Array) -> Any:
    x, y, z, qx, qy, qz, qw = values.tolist()
    pose = message_class("geometry_msgs/msg/Pose")(
        position=message_class("geometry_msgs/msg/Point")(x=x, y=y, z=z),
        orientation=message_class("geometry_msgs/msg/Quaternion")(x=qx, y=qy, z=qz, w=qw),
    )
    return message_class(types.POSE)(header=header, pose=pose)


def _take_pose(message: Any) -> tuple[Any, ...]:
    at, turn = message.pose.position, message.pose.orientation
    return ([at.x, at.y, at.z, turn.x, turn.y, turn.z, turn.w],)


_VECTOR = _Kind(
    message_type=types.VECTOR,
    dtype=np.float32,
    make=_make_vector,
    take=lambda message: (message.values,),
)
_STANDARD: Mapping[str, tuple[int, _Kind]] = {
    key: (size, _Kind(message_type=name, dtype=np.float64, make=make, take=take))
    for key, size, name, make, take in (
        (WRENCH, 6, types.WRENCH, _make_wrench, _take_wrench),
        (TCP_TWIST, 6, types.TWIST, _make_twist, _take_twist),
        (TCP_POSE, 7, types.POSE, _make_pose, _take_pose),
    )
}
