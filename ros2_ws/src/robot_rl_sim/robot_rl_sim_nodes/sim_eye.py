"""The cameras of a simulated cell, drawn and published from a thread of their own.

The policy's picture is the square middle of the colour picture: both are as high as the camera
sees. What nobody listens to is not drawn.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
from sensor_msgs.msg import CameraInfo, Image

from robot_rl.core.errors import ConfigError, HardwareError, did_you_mean
from robot_rl_nodes.conversion import ImageWriter, stamp_from_ns
from robot_rl_nodes.topic import CAMERA_IMAGE, CAMERA_INFO, POLICY_IMAGE, Topic
from robot_rl_sim.camera import Camera
from robot_rl_sim.live import LiveWorld
from robot_rl_sim_nodes.sim_fault import Faults, Outgoing

_FOR_PEOPLE = "front"
_LARGEST = (1920, 1080)
_READY_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EyeSettings:
    """What is drawn.

    Args:
        cameras: by the names that the model gives them.
        rate_hz: of each.
        color: width and height of the colour pictures [pixels].
        policy: width and height of the policy's pictures [pixels].
    """

    cameras: tuple[str, ...]
    rate_hz: float
    color: tuple[int, int]
    policy: int

    @property
    def topics(self) -> tuple[str, ...]:
        """Names of what is published, which can be made to fail."""
        kinds = (CAMERA_IMAGE, POLICY_IMAGE, CAMERA_INFO)
        return tuple(kind.of(name).name for name in self.cameras for kind in kinds)


class Eye:
    """Publishes what the cameras see, and draws single pictures for people.

    Args:
        settings: what is drawn.
        live: the world that is seen.
        model: of its physics.
        publish_on: makes a publisher.
        ros_now_ns: ROS time [ns].

    Raises:
        ConfigError: if the model has no camera of a name.
        DependencyError: if there is no OpenGL.
    """

    def __init__(
        self,
        settings: EyeSettings,
        live: LiveWorld,
        model: Any,
        publish_on: Callable[[Topic], Any],
        ros_now_ns: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._live = live
        self._model = model
        self._ros_now_ns = ros_now_ns
        known = [model.camera(i).name for i in range(model.ncam)]
        for name in settings.cameras:
            if name not in known:
                raise ConfigError(f"cameras: the scene has no {name!r}{did_you_mean(name, known)}")
        self.faults = Faults()
        self.error: Exception | None = None
        """Why nothing is drawn any more."""
        self._views = [
            _View(name, settings, math.radians(float(model.camera(name).fovy[0])), publish_on)
            for name in settings.cameras
        ]
        self._asked: SimpleQueue[tuple[int, int, Future[Any]] | None] = SimpleQueue()
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="eye", daemon=True)

    def start(self) -> None:
        """Begin to draw; the world's time passes already."""
        self._thread.start()
        self._ready.result(_READY_S)

    def close(self) -> None:
        """Draw nothing more."""
        self._asked.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def capture(self, width: int, height: int, drawn: Callable[[Future[Any]], None]) -> None:
        """Draw a picture for people, uint8[height, width, 3]; `drawn` is called with its future.

        Raises:
            ConfigError: if it is too large or has no size.
        """
        if not (0 < width <= _LARGEST[0] and 0 < height <= _LARGEST[1]):
            raise ConfigError(
                f"a picture of {width} x {height}, expected 1 x 1 to {_LARGEST[0]} x {_LARGEST[1]}"
            )
        future: Future[Any] = Future()
        future.add_done_callback(drawn)
        self._asked.put((width, height, future))
        if self.error is not None:
            self._refuse(self.error)

    def _run(self) -> None:
        cameras: list[Camera] = []
        try:
            if self._views:
                cameras.append(Camera(self._model, *self._settings.color))
                cameras.append(Camera(self._model, self._settings.policy, self._settings.policy))
            self._ready.set_result(None)
            self._draw(cameras)
        except Exception as error:  # noqa: BLE001 - whoever looks at `error` hears of it
            self.error = error
            self._refuse(error)
            if not self._ready.done():
                self._ready.set_exception(error)
        finally:
            for camera in cameras:
                camera.close()

    def _draw(self, cameras: list[Camera]) -> None:
        period_s = 1.0 / self._settings.rate_hz
        due_s = time.monotonic()
        while True:
            try:
                asked = self._asked.get(timeout=max(0.0, due_s - time.monotonic()))
            except Empty:
                due_s = max(due_s + period_s, time.monotonic())
                if any(view.wanted for view in self._views):
                    self._show(*cameras)
                continue
            if asked is None:
                return
            self._draw_for_people(*asked)

    def _refuse(self, error: Exception) -> None:
        """Whoever still waits would wait for ever."""
        with suppress(Empty):
            while asked := self._asked.get_nowait():
                asked[2].set_exception(HardwareError(f"nothing is drawn any more: {error}"))

    def _show(self, color: Camera, policy: Camera) -> None:
        seen_ns, data = self._live.look()
        now_ns = time.monotonic_ns()
        stamp_ns = self._ros_now_ns() - (now_ns - seen_ns)
        for view in self._views:
            for out in view.outgoing(stamp_ns, data, color, policy):
                for due in self.faults.passed_on(out, now_ns):
                    view.publish(due)

    def _draw_for_people(self, width: int, height: int, future: Future[Any]) -> None:
        try:
            camera = Camera(self._model, width, height, quality="fine")
            try:
                future.set_result(camera.render(self._live.look()[1], _FOR_PEOPLE))
            finally:
                camera.close()
        except Exception as error:  # noqa: BLE001 - it is the asker's
            future.set_exception(error)


class _View:
    """One camera's topics."""

    def __init__(
        self,
        name: str,
        settings: EyeSettings,
        fovy_rad: float,
        publish_on: Callable[[Topic], Any],
    ) -> None:
        self._name = name
        self._frame = f"{name}_color_optical_frame"
        self._color, self._policy, self._info = (
            kind.of(name) for kind in (CAMERA_IMAGE, POLICY_IMAGE, CAMERA_INFO)
        )
        self._publishers = {
            topic.name: publish_on(topic) for topic in (self._color, self._policy, self._info)
        }
        width, height = settings.color
        self._writers = {
            self._color.name: ImageWriter(Image(), height, width),
            self._policy.name: ImageWriter(Image(), settings.policy, settings.policy),
        }
        self._intrinsics = camera_info(width, height, fovy_rad)

    @property
    def wanted(self) -> bool:
        """Whether anybody listens."""
        return any(p.get_subscription_count() for p in self._publishers.values())

    def outgoing(self, stamp_ns: int, data: Any, color: Camera, policy: Camera) -> list[Outgoing]:
        """What its topics are to say now."""
        pictures = [
            (topic, camera.render(data, self._name))
            for topic, camera in ((self._color, color), (self._policy, policy))
            if self._publishers[topic.name].get_subscription_count()
        ]
        said = [*pictures, (self._info, np.zeros(0))]
        return [
            Outgoing(topic=topic.name, stamp_ns=stamp_ns, frame=self._frame, content=content)
            for topic, content in said
        ]

    def publish(self, out: Outgoing) -> None:
        """Publish one of them."""
        message: Any = self._intrinsics
        if writer := self._writers.get(out.topic):
            message = writer.write(np.asarray(out.content, np.uint8))
            message.encoding = out.encoding
        stamp_from_ns(out.stamp_ns, message.header.stamp)
        message.header.frame_id = out.frame
        self._publishers[out.topic].publish(message)


def camera_info(width: int, height: int, fovy_rad: float) -> CameraInfo:
    """The intrinsics of a camera without distortion that sees `fovy_rad` from top to bottom.

    A pixel's whole coordinates are those of its middle.
    """
    focal = height / 2 / math.tan(fovy_rad / 2)
    cx, cy = (width - 1) / 2, (height - 1) / 2
    return CameraInfo(
        width=width,
        height=height,
        distortion_model="plumb_bob",
        d=[0.0] * 5,
        k=[focal, 0.0, cx, 0.0, focal, cy, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[focal, 0.0, cx, 0.0, 0.0, focal, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    )
