"""The whole pictures of a live graph's cameras, for people: as large as the cameras see.

What policies are given of them are other, smaller pictures (`source`).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from robot_rl.core.errors import ConfigError, ContractError
from robot_rl.core.protocol import Sensor
from robot_rl.core.spec import IMAGE_PREFIX
from robot_rl.core.types import Observation
from robot_rl_nodes.conversion import image_from
from robot_rl_nodes.managed_node import ManagedNode
from robot_rl_nodes.source import Content, HeaderTime, Source, TopicSensor
from robot_rl_nodes.topic import CAMERA_IMAGE


class PictureSensor:
    """The newest picture of one topic (implements `core.protocol.Sensor`).

    A message is read once, when somebody asks for it, in the thread of who asks: turning the
    colours of a large picture takes longer than the node's thread has.

    Args:
        sensor: reads the messages.
    """

    def __init__(self, sensor: TopicSensor) -> None:
        self.name = sensor.name
        self._sensor = sensor
        self._heard: Any = None
        self._read: Any = None
        self._lock = threading.Lock()

    def put(self, message: Any) -> None:
        """Take a message in, unread."""
        self._heard = message

    def latest(self) -> Observation | None:
        """Return the newest picture uint8[h, w, 3] RGB, or None before the first; any thread may.

        Raises:
            ContractError: if the newest message is wrong, until another one comes.
        """
        with self._lock:
            message = self._heard
            if message is not self._read:
                self._sensor.put(message)
                self._read = message
            if self._sensor.complaint:
                raise ContractError(self._sensor.complaint)
            return self._sensor.latest()


def camera_pictures(node: ManagedNode, names: Sequence[str]) -> tuple[Sensor, ...]:
    """Listen to the whole pictures of cameras, and return a sensor for each, of its name.

    Args:
        node: that listens, while it is being set up; it hears while it is active.
        names: of the cameras.

    Raises:
        ConfigError: if one is named twice.
    """
    if len(set(names)) != len(names):
        raise ConfigError(f"cameras: got {list(names)}, expected each once")
    time_of = HeaderTime(lambda: node.now_ns, node.monotonic)
    return tuple(_listening(node, name, time_of) for name in names)


def _listening(node: ManagedNode, name: str, time_of: HeaderTime) -> PictureSensor:
    def read(message: Any) -> Content:
        return {}, {f"{IMAGE_PREFIX}{name}": image_from(message)}

    heard = Source(name=name, topic=CAMERA_IMAGE.of(name), read=read)
    sensor = PictureSensor(TopicSensor(heard, time_of))
    node.listen_to(heard.topic, sensor.put)
    return sensor
