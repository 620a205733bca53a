"""Intel RealSense cameras: their colour pictures, numbered and stamped by the camera itself."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from robot_rl.core.errors import HardwareError
from robot_rl_hardware.cameras.camera import CameraConfig, picture_key, refuse_other_size
from robot_rl_hardware.package import needed
from robot_rl_hardware.sampler import WAIT_S, Inlet, Sample, Sampler


class RealSenseCameraConfig(CameraConfig):
    """A RealSense camera.

    Args:
        serial: its serial number, as `rs-enumerate-devices -s` lists it.
        exposure_us: fixed, for pictures that do not change with what is in them; None leaves it
            to the camera.
    """

    serial: str = Field(min_length=1)
    exposure_us: int | None = Field(default=None, ge=1, le=200_000)

    def build(self, inlet: Inlet) -> Sampler:
        """Return the camera, not yet open.

        Raises:
            DependencyError: if librealsense is missing.
        """
        rs = needed("pyrealsense2", "pyrealsense2, and Debian's libusb-1.0-0,")
        camera = RealSenseCamera(self, picture_key(inlet.name), rs)
        return Sampler(camera, inlet, self.silent_after_s)


class RealSenseCamera:
    """Implements `Reader`.

    Args:
        config: of the camera.
        key: of the pictures.
        rs: the module `pyrealsense2`.
        device: a `pyrealsense2.device`; without it, that of the serial number is looked for.
    """

    def __init__(
        self, config: RealSenseCameraConfig, key: str, rs: Any, device: Any = None
    ) -> None:
        self._config = config
        self._key = key
        self._rs = rs
        self._device = device
        self._sensor: Any = None
        self._streams = False
        self._queue: Any = None
        self._what = f"the RealSense {config.serial}"

    def open(self) -> None:
        """Find the camera and let its colour sensor stream."""
        rs, c = self._rs, self._config
        try:
            device = self._device or self._find()
            self._sensor, profile = self._colour(device)
            if c.exposure_us is not None:
                self._sensor.set_option(rs.option.enable_auto_exposure, 0)
                self._sensor.set_option(rs.option.exposure, c.exposure_us)
            self._queue = rs.frame_queue(2)
            self._sensor.open(profile)
            self._streams = True
            self._sensor.start(self._queue)
        except RuntimeError as error:
            raise HardwareError(f"{self._what} does not open: {error}") from error

    def read(self) -> Sample | None:
        """Wait for the next picture."""
        there, frame = self._queue.try_wait_for_frame(round(1000 * WAIT_S))
        if not there:
            return None
        picture = np.asarray(frame.as_video_frame().get_data())
        refuse_other_size(self._what, (picture.shape[1], picture.shape[0]), self._config)
        return Sample(
            sequence=int(frame.get_frame_number()),
            device_ns=round(1e6 * frame.get_timestamp()),
            # The frame's memory goes back to the camera's pool.
            images={self._key: picture.copy()},
        )

    def close(self) -> None:
        """Stop the stream and let go of the camera."""
        if self._streams:
            self._streams = False
            self._sensor.stop()
            self._sensor.close()

    def _find(self) -> Any:
        rs = self._rs
        serials: list[str] = []
        for device in rs.context().query_devices():
            serials.append(device.get_info(rs.camera_info.serial_number))
            if serials[-1] == self._config.serial:
                return device
        raise HardwareError(
            f"{self._what} is not there; found: {', '.join(serials) or 'none'}. Is it plugged in "
            "(USB 3), and are the udev rules of librealsense installed?"
        )

    def _colour(self, device: Any) -> tuple[Any, Any]:
        """The sensor and its profile of what was asked for."""
        rs, c = self._rs, self._config
        wanted = (c.width, c.height, c.fps)
        offered: list[str] = []
        for sensor in device.query_sensors():
            for profile in sensor.get_stream_profiles():
                if profile.stream_type() != rs.stream.color or profile.format() != rs.format.rgb8:
                    continue
                video = profile.as_video_stream_profile()
                got = (video.width(), video.height(), profile.fps())
                if got == wanted:
                    return sensor, profile
                offered.append(f"{got[0]}x{got[1]} at {got[2]}")
        raise HardwareError(
            f"{self._what} has no colour pictures of {c.width}x{c.height} at {c.fps} a second; "
            f"it has: {', '.join(sorted(set(offered))) or 'none'}"
        )
