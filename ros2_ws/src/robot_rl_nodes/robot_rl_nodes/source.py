"""Topics as streams of an observation: what a message of each source says, and since when.

| source | topic | delivers |
|---|---|---|
| `robot` | robot/state | vectors |
| `perception` | perception/vectors | vectors |
| `ft` | ft/wrench | observation.wrench |
| `camera:NAME` | cameras/NAME/policy/image_raw | observation.images.NAME |
| `tactile:NAME` | tactile/NAME/vectors | vectors |
| `tactile_image:NAME` | tactile/NAME/image_raw | observation.images.NAME |

What a task does not observe is left out. Not here: the joining of streams
(`sensing.synchroniser`), and subscriptions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from robot_rl.core.clock import Clock
from robot_rl.core.errors import ConfigError, ContractError, did_you_mean
from robot_rl.core.spec import IMAGE_PREFIX, WRENCH, ObservationSpec
from robot_rl.core.types import Image, Observation, Vector
from robot_rl_nodes import topic
from robot_rl_nodes.conversion import image_from, ns_from_stamp, vectors_from, wrench_from
from robot_rl_nodes.topic import Topic

MOST_AHEAD_S = 0.05
"""A stamp that is further in the future is of another clock."""

Content = tuple[Mapping[str, Vector], Mapping[str, Image]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One stream of an observation.

    Args:
        name: of the stream, e.g. `camera:front`.
        topic: that carries it.
        read: turns a message into vectors and images.
    """

    name: str
    topic: Topic
    read: Callable[[Any], Content]


def source(name: str, spec: ObservationSpec) -> Source:
    """Return the source of a name, for a task with these observations.

    Raises:
        ConfigError: if there is no such source; the message names those that there are.
    """
    kind, _, device = name.partition(":")
    makers: dict[str, Callable[[], tuple[Topic, Callable[[Any], Content]]]] = {
        "robot": lambda: (topic.ROBOT_STATE, _vectors),
        "perception": lambda: (topic.PERCEPTION, _vectors),
        "ft": lambda: (topic.WRENCH, _wrench(spec)),
        "camera": lambda: (topic.POLICY_IMAGE.of(device), _picture(device)),
        "tactile": lambda: (topic.TACTILE_VECTORS.of(device), _vectors),
        "tactile_image": lambda: (topic.TACTILE_IMAGE.of(device), _picture(device)),
    }
    if kind not in makers or bool(device) != (kind in ("camera", "tactile", "tactile_image")):
        raise ConfigError(
            f"unknown source {name!r}{did_you_mean(kind, makers)}; cameras and tactile fingers "
            "are named, e.g. camera:front"
        )
    carried, read = makers[kind]()

    def observed(message: Any) -> Content:
        vectors, images = read(message)
        vectors = {key: v for key, v in vectors.items() if key in spec.vectors}
        images = {key: i for key, i in images.items() if key in spec.images}
        _check_sizes(spec, vectors, images)
        return vectors, images

    return Source(name=name, topic=carried, read=observed)


class HeaderTime:
    """Turns the stamps of headers, which are ROS time, into this machine's monotonic time.

    Args:
        ros_now_ns: ROS time [ns], by which the senders stamp.
        clock: monotonic.
    """

    def __init__(self, ros_now_ns: Callable[[], int], clock: Clock) -> None:
        self._ros_now_ns = ros_now_ns
        self._clock = clock

    def __call__(self, stamp: Any) -> int:
        """Return when `stamp` was, by the monotonic clock [ns].

        Raises:
            ContractError: if it is zero, or so far in the future that it is of another clock.
        """
        ns = ns_from_stamp(stamp)
        age_ns = self._ros_now_ns() - ns
        if ns == 0:
            raise ContractError("header.stamp is zero: its sender stamps nothing")
        if age_ns < -MOST_AHEAD_S * 1e9:
            raise ContractError(
                f"header.stamp is {-age_ns / 1e9:.3f} s in the future: another clock? "
                "Synchronise the machines, or set use_sim_time everywhere"
            )
        return self._clock.now_ns() - max(0, age_ns)


class TopicSensor:
    """The newest sample of one source (implements `core.protocol.Sensor`).

    Args:
        source: of the samples.
        time_of: turns a header's stamp into the time of the samples [ns].

    Attributes:
        name: of the source.
        stamp: of the newest sample's header; None before the first.
        complaint: why the newest message was not taken; empty if it was.
    """

    def __init__(self, source: Source, time_of: Callable[[Any], int]) -> None:
        self.name = source.name
        self.stamp: Any = None
        self.complaint = ""
        self._source = source
        self._time_of = time_of
        self._newest: Observation | None = None

    def put(self, message: Any) -> None:
        """Take a message in; one that is wrong is not taken and complained about."""
        try:
            vectors, images = self._source.read(message)
            _check_finite(vectors)
            stamp_ns = self._time_of(message.header.stamp)
        except ContractError as error:
            self.complaint = f"{self.name}: {error}"
            return
        self.complaint = ""
        self.stamp = message.header.stamp
        self._newest = Observation(stamp_ns=stamp_ns, vectors=vectors, images=images)

    def latest(self) -> Observation | None:
        """Return the newest sample, or None before the first."""
        return self._newest


def _check_sizes(
    spec: ObservationSpec, vectors: Mapping[str, Vector], images: Mapping[str, Image]
) -> None:
    for key, vector in vectors.items():
        if vector.shape != (spec.vectors[key].size,):
            raise ContractError(
                f"{key}: {vector.size} elements, expected {spec.vectors[key].size}: "
                f"{', '.join(spec.vectors[key].names)}"
            )
    for key, image in images.items():
        expected = spec.images[key]
        if image.shape[:2] != (expected.height, expected.width):
            raise ContractError(
                f"{key}: {image.shape[1]}x{image.shape[0]} pixels, expected "
                f"{expected.width}x{expected.height}: set policy_width and policy_height of the "
                "camera"
            )


def _check_finite(vectors: Mapping[str, Vector]) -> None:
    for key, vector in vectors.items():
        if not np.isfinite(vector).all():
            raise ContractError(f"{key} is not finite: {vector.tolist()}")


def _vectors(message: Any) -> Content:
    return vectors_from(message.vectors), {}


def _wrench(spec: ObservationSpec) -> Callable[[Any], Content]:
    frame = spec.vectors[WRENCH].frame if WRENCH in spec.vectors else ""

    def read(message: Any) -> Content:
        if frame and message.header.frame_id != frame:
            raise ContractError(
                f"{WRENCH}: header.frame_id is {message.header.frame_id!r}, expected {frame!r}"
            )
        return {WRENCH: wrench_from(message.wrench)}, {}

    return read


def _picture(camera: str) -> Callable[[Any], Content]:
    return lambda message: ({}, {f"{IMAGE_PREFIX}{camera}": image_from(message)})
