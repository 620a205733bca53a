"""The cameras for a person to see: the bench's own picture, and those that the policy is given.

Drawing and copying happen in threads of their own; the control loop hands pictures over and goes
on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image as Pictures

from robot_rl.core.clock import NS_PER_S, Clock
from robot_rl.core.errors import ConfigError, DependencyError, did_you_mean
from robot_rl.core.spec import IMAGE_PREFIX, JOINT_POSITION, TCP_POSE, TaskSpec
from robot_rl.core.types import Image, Observation
from robot_rl.sensing.motion import Motion, MotionScale
from robot_rl.session.camera import LiveCamera
from robot_rl.session.config import SessionConfig
from robot_rl.session.view import CameraView, Frame

_LOG = logging.getLogger(__name__)
_DRAWN, _DRAWN_TOO = "front", "scene"
"""Name of the bench's picture, and where the policy has a camera of that name."""
_MOVED = MotionScale(distance_m=0.005, angle_rad=0.02, time_s=1.0)
"""What every camera that sees the arm must show."""
_AGAIN_S = 1.0
_ENDED_WITHIN_S = 5.0
_MOST_REFERENCE_PIXELS = 16_000_000


class SeenBench(Protocol):
    """What of a bench can be seen: see `core.protocol.Bench`."""

    clock: Clock
    task: TaskSpec

    def render(self, width: int, height: int) -> Image:
        """Return a picture of the bench, from any thread."""
        ...


class Eyes:
    """Shows what the cameras see, as it comes, and knows how each of them stands.

    A bench that cannot draw has no picture of its own. A camera that fails is told as such and
    tried again each second.

    Args:
        bench: its clock stamps the pictures.
        config: of the session.
        show: takes the frames; called from threads of this object, returns at once.

    Raises:
        ConfigError: if there is a reference picture for no camera, or one that cannot be read.
    """

    def __init__(
        self, bench: SeenBench, config: SessionConfig, show: Callable[[Frame], None]
    ) -> None:
        self._bench = bench
        self._config = config
        self._show = show
        self._motion = Motion(_MOVED)
        images = bench.task.observation.images
        self._own = {
            key: self._camera(key.removeprefix(IMAGE_PREFIX), (spec.width, spec.height))
            for key, spec in images.items()
        }
        taken = [camera.name for camera in self._own.values()]
        size = (config.camera_width, config.camera_height)
        self.drawn_name = _DRAWN_TOO if _DRAWN in taken else _DRAWN
        """Name of the bench's own picture, whether or not there is one."""
        drawn = self._camera(self.drawn_name, size)
        self._drawn: LiveCamera | None = drawn
        self._references = self._read_references(config.reference)
        self._reference_number = 0
        self._arrived = threading.Event()
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._draw, args=(drawn,), name="eyes drawing", daemon=True)
        ]
        if self._own:
            self._threads.append(threading.Thread(target=self._pass_on, name="eyes", daemon=True))

    def start(self) -> None:
        """Show the reference pictures, then what is seen."""
        self.show_references()
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Show nothing more."""
        self._ended.set()
        self._arrived.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(_ENDED_WITHIN_S)
                if thread.is_alive():
                    _LOG.error("%s: its camera does not return; left to itself", thread.name)

    def observed(self, observation: Observation) -> None:
        """Take the pictures of an observation, or of a sensor's sample; returns at once."""
        vectors = observation.vectors
        places = {key: vectors[key] for key in (TCP_POSE, JOINT_POSITION) if key in vectors}
        self._motion.update(places, observation.stamp_ns)
        any_new = False
        for key, image in observation.images.items():
            if camera := self._own.get(key):
                stamp_ns = _taken_ns(camera.name, observation)
                any_new |= camera.take(image, stamp_ns)
        if any_new:
            self._arrived.set()

    def views(self) -> tuple[CameraView, ...]:
        """How each camera stands, the bench's own picture first."""
        now_ns = self._bench.clock.now_ns()
        drawn = [self._drawn] if self._drawn else []
        return tuple(camera.view(now_ns) for camera in (*drawn, *self._own.values()))

    def show_references(self) -> None:
        """Show the pictures that the cameras' poses are compared with, once more."""
        self._reference_number += 1
        for name, image in self._references.items():
            height, width = image.shape[:2]
            frame = Frame(
                camera=name,
                number=self._reference_number,
                stamp_ns=self._bench.clock.now_ns(),
                width=width,
                height=height,
                rgb=image.tobytes(),
                reference=True,
            )
            self._show(frame)

    def _camera(self, name: str, size: tuple[int, int]) -> LiveCamera:
        return LiveCamera(name, size, self._config, self._motion)

    def _draw(self, camera: LiveCamera) -> None:
        """See the bench again and again, in a thread."""
        period_s = 1.0 / self._config.camera_rate_hz
        due_s, has_drawn = time.monotonic(), False
        while not self._ended.wait(due_s - time.monotonic()):
            try:
                stamp_ns = self._bench.clock.now_ns()
                image = self._bench.render(self._config.camera_width, self._config.camera_height)
                has_drawn = True
                camera.take(image, stamp_ns)
                self._tell(camera)
                # A picture that came late is not made up for.
                due_s = max(due_s + period_s, time.monotonic())
            except DependencyError as error:
                if not has_drawn:
                    _LOG.info("the bench has no picture of its own: %s", error)
                    self._drawn = None
                    return
                self._fail(camera, error)
                due_s = time.monotonic() + _AGAIN_S
            except Exception as error:  # noqa: BLE001 - the view tells it, the arm goes on
                self._fail(camera, error)
                due_s = time.monotonic() + _AGAIN_S

    def _pass_on(self) -> None:
        """Show what the policy sees, in a thread."""
        while True:
            self._arrived.wait()
            self._arrived.clear()
            if self._ended.is_set():
                return
            for camera in self._own.values():
                try:
                    self._tell(camera)
                except Exception as error:  # noqa: BLE001 - the view tells it, the arm goes on
                    self._fail(camera, error)

    def _tell(self, camera: LiveCamera) -> None:
        if frame := camera.frame():
            self._show(frame)

    def _fail(self, camera: LiveCamera, error: Exception) -> None:
        if camera.fail(f"no picture: {type(error).__name__}: {error}"):
            _LOG.error("camera %s", camera.name, exc_info=error)

    def _read_references(self, files: Mapping[str, Path]) -> dict[str, Image]:
        """The pictures of the right size; of others their camera is told."""
        drawn = [self._drawn] if self._drawn else []
        cameras = {camera.name: camera for camera in (*drawn, *self._own.values())}
        references: dict[str, Image] = {}
        for name, file in files.items():
            if name not in cameras:
                raise ConfigError(
                    f"reference: there is no camera {name!r}{did_you_mean(name, cameras)}"
                )
            image = _read(file)
            got, expected = (image.shape[1], image.shape[0]), cameras[name].size
            if got == expected:
                references[name] = image
                continue
            cameras[name].complaint = (
                f"the reference picture {file} is {got[0]} x {got[1]}, expected "
                f"{expected[0]} x {expected[1]}: it is not shown"
            )
            _LOG.warning("camera %s: %s", name, cameras[name].complaint)
        return references


def _taken_ns(camera: str, observation: Observation) -> int:
    """When a camera's picture was taken; as the oldest stream, if nobody says whose it is."""
    ages_s = observation.ages_s
    age_s = ages_s[camera] if camera in ages_s else max(ages_s.values(), default=0.0)
    return observation.stamp_ns - round(age_s * NS_PER_S)


def _read(file: Path) -> Image:
    """Read a picture as uint8[height, width, 3].

    Raises:
        ConfigError: if it cannot be read.
    """
    try:
        with Pictures.open(file) as picture:
            if picture.width * picture.height > _MOST_REFERENCE_PIXELS:
                raise ConfigError(
                    f"reference: {file} is {picture.width} x {picture.height}, expected the size "
                    "of the camera's pictures"
                )
            return np.asarray(picture.convert("RGB"), np.uint8)
    except (OSError, ValueError, SyntaxError, Pictures.DecompressionBombError) as error:
        raise ConfigError(
            f"reference: {file} cannot be read as a picture ({error}); expected a PNG or JPEG"
        ) from error
