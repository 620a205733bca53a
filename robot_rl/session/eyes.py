"""The cameras for a person to see: the bench's own picture, and those that the policy is given.

Drawing, looking and copying happen in threads of their own; the control loop hands pictures over
and goes on.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Container, Sequence
from typing import Protocol

from robot_rl.core.clock import NS_PER_S, Clock
from robot_rl.core.errors import ConfigError, ContractError, DependencyError
from robot_rl.core.protocol import Sensor
from robot_rl.core.spec import IMAGE_PREFIX, TaskSpec
from robot_rl.core.types import Image, Observation
from robot_rl.session.arm import SeenArm
from robot_rl.session.camera import LiveCamera
from robot_rl.session.config import SessionConfig
from robot_rl.session.reference import references_of
from robot_rl.session.view import CameraView, Frame

_LOG = logging.getLogger(__name__)
_DRAWN, _DRAWN_TOO = "front", "scene"
"""Name of the bench's picture, and where there is a camera of that name."""
_AGAIN_S = 1.0
_LOOK_S = 0.005
"""How often the watched cameras are asked: a few times for each picture of a fast one."""
_ENDED_WITHIN_S = 5.0


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
        watched: cameras that may be asked from any thread at any time. Their pictures, under
            `observation.images.` and the camera's name, are shown as they come, whether or not
            an episode runs; what an observation holds of these cameras is not.

    Raises:
        ConfigError: if there is a reference picture for no camera, or one that cannot be read, or
            a camera is watched twice.
    """

    def __init__(
        self,
        bench: SeenBench,
        config: SessionConfig,
        show: Callable[[Frame], None],
        watched: Sequence[Sensor] = (),
    ) -> None:
        self._bench = bench
        self._config = config
        self._show = show
        self._arm = SeenArm(bench.task.action.period_s)
        self._watched = _by_name(watched)
        images = bench.task.observation.images
        sizes: dict[str, tuple[int, int] | None] = {
            key.removeprefix(IMAGE_PREFIX): (spec.width, spec.height)
            for key, spec in images.items()
        }
        # A watched camera is seen as large as it sees, and not as a policy is given it.
        sizes.update(dict.fromkeys(self._watched))
        self._cameras = {name: self._camera(name, size) for name, size in sizes.items()}
        self._own = {
            key: self._cameras[name]
            for key in images
            if (name := key.removeprefix(IMAGE_PREFIX)) not in self._watched
        }
        self.drawn_name = _free_name(self._cameras)
        """Name of the bench's own picture, whether or not there is one."""
        drawn = self._camera(self.drawn_name, (config.camera_width, config.camera_height))
        self._drawn: LiveCamera | None = drawn
        self._references = references_of(config.reference, {drawn.name: drawn, **self._cameras})
        self._arrived = threading.Event()
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._draw, args=(drawn,), name="eyes drawing", daemon=True)
        ]
        if self._own:
            self._threads.append(threading.Thread(target=self._pass_on, name="eyes", daemon=True))
        if self._watched:
            self._threads.append(
                threading.Thread(target=self._watch, name="eyes watching", daemon=True)
            )

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
        self._arm.see(observation)
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
        return tuple(camera.view(now_ns) for camera in (*drawn, *self._cameras.values()))

    def show_references(self) -> None:
        """Show the pictures that the cameras' poses are compared with, once more."""
        for reference in self._references.values():
            if frame := reference.frame(self._bench.clock.now_ns()):
                self._show(frame)

    def _camera(self, name: str, size: tuple[int, int] | None) -> LiveCamera:
        return LiveCamera(name, size, self._config, self._arm)

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

    def _watch(self) -> None:
        """Show what the watched cameras see, in a thread."""
        due_s = dict.fromkeys(self._watched, 0.0)
        while not self._ended.wait(_LOOK_S):
            for name, sensor in self._watched.items():
                if time.monotonic() < due_s[name]:
                    continue
                try:
                    self._look(sensor)
                except Exception as error:  # noqa: BLE001 - the view tells it, the others go on
                    self._fail(self._cameras[name], error)
                    due_s[name] = time.monotonic() + _AGAIN_S

    def _look(self, sensor: Sensor) -> None:
        sample, camera = sensor.latest(), self._cameras[sensor.name]
        if sample is None:
            return
        image = sample.images.get(IMAGE_PREFIX + sensor.name)
        if image is None:
            raise ContractError(
                f"it gives {list(sample.images)}, expected {IMAGE_PREFIX + sensor.name}"
            )
        if camera.take(image, _taken_ns(sensor.name, sample)):
            self._tell(camera)

    def _tell(self, camera: LiveCamera) -> None:
        frame = camera.frame()
        if frame is None:
            return
        self._show(frame)
        reference = self._references.get(camera.name)
        if reference and reference.compare() and (frame := reference.frame(frame.stamp_ns)):
            self._show(frame)

    def _fail(self, camera: LiveCamera, error: Exception) -> None:
        if camera.fail(f"no picture: {type(error).__name__}: {error}"):
            _LOG.error("camera %s", camera.name, exc_info=error)


def _taken_ns(camera: str, observation: Observation) -> int:
    """When a camera's picture was taken; as the oldest stream, if nobody says whose it is."""
    ages_s = observation.ages_s
    age_s = ages_s[camera] if camera in ages_s else max(ages_s.values(), default=0.0)
    return observation.stamp_ns - round(age_s * NS_PER_S)


def _free_name(taken: Container[str]) -> str:
    further = (f"{_DRAWN_TOO} {number}" for number in itertools.count(2))
    names = itertools.chain((_DRAWN, _DRAWN_TOO), further)
    return next(name for name in names if name not in taken)


def _by_name(watched: Sequence[Sensor]) -> dict[str, Sensor]:
    names = [sensor.name for sensor in watched]
    if len(set(names)) != len(names):
        raise ConfigError(f"watched cameras: got {names}, expected each once")
    return dict(zip(names, watched, strict=True))
