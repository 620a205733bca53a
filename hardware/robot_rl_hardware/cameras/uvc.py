"""Cameras that Linux knows (/dev/video*), and video files in their stead, through OpenCV."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from pydantic import Field

from robot_rl.core.errors import HardwareError
from robot_rl_hardware.cameras.camera import CameraConfig, picture_key, refuse_other_size
from robot_rl_hardware.pace import Pace
from robot_rl_hardware.package import needed
from robot_rl_hardware.sampler import Inlet, Sample, Sampler

_FPS_TOLERANCE = 0.05


class UvcCameraConfig(CameraConfig):
    """A camera on USB, or a video file that stands for one.

    Args:
        source: path of the device, best below /dev/v4l/by-id, where it stays the same; its
            number; or the path of a video file, which is played in its own time.
        pixels: how the pictures come over the wire, as four letters. MJPG costs quality and
            needs a tenth of the bandwidth of YUYV.
        loops: a file begins anew at its end instead of being gone.
    """

    source: int | str
    pixels: str = Field(default="MJPG", min_length=4, max_length=4)
    loops: bool = False

    def build(self, inlet: Inlet) -> Sampler:
        """Return the camera, not yet open.

        Raises:
            DependencyError: if OpenCV is missing.
        """
        cv2 = needed("cv2", "opencv-python-headless")
        camera = UvcCamera(self, picture_key(inlet.name), cv2)
        return Sampler(camera, inlet, self.silent_after_s)


class UvcCamera:
    """Implements `Reader`.

    A device's picture carries the time at which the kernel began to receive it, a file's its
    place in the film. How long light takes to get there is in neither.
    """

    def __init__(self, config: UvcCameraConfig, key: str, cv2: Any) -> None:
        self._config = config
        self._key = key
        self._cv2 = cv2
        self._capture: Any = None
        self._is_file = isinstance(config.source, str) and Path(config.source).is_file()
        self._pace = Pace(1.0 / config.fps)
        self._count = 0
        self._what = f"the camera {config.source!r}"

    def open(self) -> None:
        """Open the device or the file, and refuse another size or rate than was asked for."""
        cv2, c = self._cv2, self._config
        if isinstance(c.source, str) and not Path(c.source).exists():
            raise HardwareError(
                f"there is no {c.source}: is the camera plugged in? `ls /dev/v4l/by-id` lists "
                "those that are"
            )
        self._capture = cv2.VideoCapture(c.source, cv2.CAP_ANY if self._is_file else cv2.CAP_V4L2)
        if not self._capture.isOpened():
            raise HardwareError(
                f"{self._what} does not open: is it a camera, does another process use it, is "
                "this user in the group `video`?"
            )
        if not self._is_file:
            self._ask()
        size = self._get("FRAME_WIDTH"), self._get("FRAME_HEIGHT")
        refuse_other_size(self._what, (round(size[0]), round(size[1])), c)
        fps = self._get("FPS")
        if abs(fps - c.fps) > _FPS_TOLERANCE * c.fps:
            raise HardwareError(f"{self._what} gives {fps:g} pictures a second, expected {c.fps}")
        self._pace.begin()

    def read(self) -> Sample | None:
        """Wait for the next picture."""
        if self._is_file:
            self._pace.wait()
        there, picture = self._capture.read()
        if not there and self._is_file and self._config.loops:
            self._capture.set(self._cv2.CAP_PROP_POS_FRAMES, 0)
            there, picture = self._capture.read()
        if not there:
            end = "has come to its end" if self._is_file else "gives no pictures any more"
            raise HardwareError(f"{self._what} {end}")
        refuse_other_size(self._what, (picture.shape[1], picture.shape[0]), self._config)
        self._count += 1
        return Sample(
            sequence=self._count,
            device_ns=self._taken_ns(),
            images={self._key: self._cv2.cvtColor(picture, self._cv2.COLOR_BGR2RGB)},
        )

    def close(self) -> None:
        """Release the device."""
        if self._capture is not None:
            self._capture.release()

    def _ask(self) -> None:
        cv2, c = self._cv2, self._config
        # The order counts: some drivers choose the size anew when the pixels change.
        self._capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*c.pixels))
        self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, c.width)
        self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, c.height)
        self._capture.set(cv2.CAP_PROP_FPS, c.fps)
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)

    def _get(self, what: str) -> float:
        return float(self._capture.get(getattr(self._cv2, f"CAP_PROP_{what}")))

    def _taken_ns(self) -> int:
        """By the kernel's monotonic clock; by ours for a file, which has none that goes on."""
        stamp_ms = 0.0 if self._is_file else self._get("POS_MSEC")
        return round(stamp_ms * 1e6) if stamp_ms > 0 else time.monotonic_ns()
