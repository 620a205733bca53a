"""The two ends of camera images on topics: who sends them in runs, and who notes what came."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from sensor_msgs.msg import Image

from robot_rl_nodes import topic
from robot_rl_nodes.conversion import ImageWriter, ns_from_stamp, stamp_from_ns
from robot_rl_nodes.topic import Topic

IMAGE_PERIOD_S = 1 / 30
VGA = topic.CAMERA_IMAGE.of("front")
VGA_SIZE = (480, 640)
RUNS_ENV, FRAMES_ENV = "BENCH_RUNS", "BENCH_FRAMES"

_PAUSE_S = 1.0
_STEADY = Clock(clock_type=ClockType.STEADY_TIME)


class Speaker:
    """Publishes images whose `frame_id` counts them."""

    def __init__(self, node: Node, found: Topic, size: tuple[int, int]) -> None:
        self._frames = np.random.default_rng(0).integers(0, 256, (8, *size, 3), np.uint8)
        self._writer = ImageWriter(found.type(), *size)
        self._out = node.create_publisher(found.type, found.name, found.quality.published)
        self.count = 0

    def say(self) -> None:
        """Publish the next image."""
        message = self._writer.write(self._frames[self.count % len(self._frames)])
        message.header.frame_id = str(self.count)
        stamp_from_ns(time.time_ns(), message.header.stamp)
        self._out.publish(message)
        self.count += 1


class PlainSpeaker:
    """Does the same as rclpy's examples do: a new message and a copy each time."""

    def __init__(self, node: Node) -> None:
        self._frames = np.random.default_rng(0).integers(0, 256, (8, *VGA_SIZE, 3), np.uint8)
        self._out = node.create_publisher(Image, VGA.name, 10)
        self.count = 0

    def say(self) -> None:
        """Publish the next image."""
        height, width = VGA_SIZE
        message = Image(height=height, width=width, encoding="rgb8", step=3 * width)
        message.data = self._frames[self.count % len(self._frames)].tobytes()
        message.header.frame_id = str(self.count)
        message.header.stamp = stamp_from_ns(time.time_ns(), message.header.stamp)
        self._out.publish(message)
        self.count += 1


class Camera(Node):
    """VGA images at 30 Hz, in runs with pauses in between."""

    def __init__(self, make: Callable[[Node], Any]) -> None:
        super().__init__("camera")
        self._frames = int(os.environ[FRAMES_ENV])
        self._all = self._frames * int(os.environ[RUNS_ENV])
        self._speaker = make(self)
        self._ready_s: float | None = None
        self.create_timer(IMAGE_PERIOD_S, self._turn, clock=_STEADY)

    def _turn(self) -> None:
        now_s = time.monotonic()
        if self._ready_s is None and self.count_subscribers(VGA.name):
            self._ready_s = now_s + _PAUSE_S
        if self._ready_s is None or now_s < self._ready_s or self._speaker.count >= self._all:
            return
        self._speaker.say()
        if self._speaker.count % self._frames == 0:
            self._ready_s = now_s + _PAUSE_S

    @property
    def ready(self) -> bool:
        """Whether all were sent, and could have come."""
        late = self._ready_s is not None and time.monotonic() > self._ready_s
        return late and self._speaker.count >= self._all

    def result(self) -> Any:
        """How many were sent."""
        return self._speaker.count


class Viewer(Node):
    """Notes which images came, and when."""

    def __init__(self, profile: Any) -> None:
        super().__init__("viewer")
        self.heard: list[tuple[int, int]] = []
        self.create_subscription(Image, VGA.name, self._see, profile)

    def _see(self, message: Any) -> None:
        late_ns = time.time_ns() - ns_from_stamp(message.header.stamp)
        self.heard.append((int(message.header.frame_id), late_ns))

    def result(self) -> Any:
        """Numbers of the images, and how late each was [ns]."""
        return self.heard
