"""Pictures of a simulated bench for whoever asks, drawn while physics goes on."""

from __future__ import annotations

import threading
import weakref
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import SimpleQueue

from robot_rl.core.errors import HardwareError
from robot_rl.core.types import Image
from robot_rl_sim.backend import Likeness, MujocoBackend
from robot_rl_sim.camera import Camera, Quality

_CLOSED_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    camera: str
    width: int
    height: int
    picture: Future[Image] = field(default_factory=lambda: Future[Image]())


class Painter:
    """Draws one simulation in a thread of its own, which alone has the OpenGL context.

    Every method may be called from any thread. The thread starts with the first picture; whoever
    steps physics does not wait for it.

    Args:
        backend: of the simulation, its first.
        quality: see `Camera`.
    """

    def __init__(self, backend: MujocoBackend, quality: Quality) -> None:
        self._orders: SimpleQueue[_Order | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._begun = self._closed = False
        self._thread = threading.Thread(
            target=_paint, args=(backend, quality, self._orders), name="painter", daemon=True
        )
        # The thread must not outlive a bench that nobody closed; with the process it ends anyway.
        self._finalizer = weakref.finalize(self, self._orders.put, None)
        self._finalizer.atexit = False

    def draw(self, camera: str, width: int, height: int) -> Image:
        """Return what a camera of the model sees now, uint8[height, width, 3], a new array.

        Raises:
            ConfigError: the model has no such camera, or the size is not a valid one.
            DependencyError: there is no OpenGL; the message names the packages to install.
            HardwareError: the bench is closed.
        """
        order = _Order(camera=camera, width=width, height=height)
        with self._lock:
            if self._closed:
                raise HardwareError("this bench is closed; nothing is drawn any more")
            if not self._begun:
                self._begun = True
                self._thread.start()
            self._orders.put(order)
        return order.picture.result()

    def close(self) -> None:
        """Give the OpenGL context back, where it was made. Closing twice does nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._finalizer()
        if self._begun:
            self._thread.join(_CLOSED_WITHIN_S)


def _paint(backend: MujocoBackend, quality: Quality, orders: SimpleQueue[_Order | None]) -> None:
    likeness = Likeness(backend, 0)
    camera: Camera | None = None
    size = (0, 0)
    try:
        while (order := orders.get()) is not None:
            try:
                if camera is None or size != (order.width, order.height):
                    if camera is not None:
                        camera.close()
                        camera = None
                    size = (order.width, order.height)
                    camera = Camera(backend.model, *size, quality=quality)
                order.picture.set_result(camera.render(likeness.data(), order.camera))
            except Exception as error:  # noqa: BLE001 - it is the asker's
                order.picture.set_exception(error)
    finally:
        if camera is not None:
            camera.close()
