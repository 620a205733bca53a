from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from robot_rl.core.clock import ManualClock, MonotonicClock
from robot_rl.core.errors import HardwareError
from robot_rl.sensing.intake import Intake
from robot_rl_hardware.cameras.realsense import RealSenseCamera, RealSenseCameraConfig

rs = pytest.importorskip("pyrealsense2")

KEY = "observation.images.wrist"


class Soft:
    """librealsense's own device in software: numbers and stamps as the test says."""

    def __init__(self) -> None:
        self.device = rs.software_device()
        self._sensor = self.device.add_sensor("RGB Camera")
        stream = rs.video_stream()
        stream.type, stream.index, stream.uid = rs.stream.color, 0, 1
        stream.width, stream.height, stream.fps = 64, 48, 30
        stream.bpp, stream.fmt = 3, rs.format.rgb8
        self._profile = self._sensor.add_video_stream(stream).as_video_stream_profile()

    def take(self, number: int, at_ms: float, red: int) -> None:
        frame = rs.software_video_frame()
        picture = np.zeros((48, 64, 3), np.uint8)
        picture[..., 0] = red
        frame.pixels, frame.bpp, frame.stride = picture, 3, 3 * 64
        frame.timestamp, frame.domain = at_ms, rs.timestamp_domain.hardware_clock
        frame.frame_number, frame.profile = number, self._profile
        self._sensor.on_video_frame(frame)


def config(**changes: Any) -> RealSenseCameraConfig:
    return RealSenseCameraConfig(
        **({"serial": "1234", "width": 64, "height": 48, "fps": 30} | changes)
    )


def test_a_frame_keeps_its_number_its_stamp_and_its_pixels() -> None:
    soft = Soft()
    camera = RealSenseCamera(config(), KEY, rs, soft.device)
    camera.open()
    assert camera.read() is None
    samples = []
    for number, at_ms, red in ((7, 1000.0, 10), (9, 1066.5, 20)):
        soft.take(number, at_ms, red)
        samples.append(camera.read())
    camera.close()
    assert [s.sequence for s in samples] == [7, 9]
    assert [s.device_ns for s in samples] == [1_000_000_000, 1_066_500_000]
    # The first picture is its own, though its memory went back to the camera.
    assert [int(s.images[KEY][0, 0, 0]) for s in samples] == [10, 20]
    assert samples[0].images[KEY][0, 0].tolist() == [10, 0, 0]


def test_a_frame_that_the_camera_took_earlier_is_older_here() -> None:
    soft, clock = Soft(), ManualClock(5_000_000_000)
    inlet = Intake("wrist", clock, 0.1)
    camera = RealSenseCamera(config(), KEY, rs, soft.device)
    camera.open()
    for number, at_ms, passes_s in ((1, 0.0, 0.0), (2, 33.0, 0.053)):
        soft.take(number, at_ms, 0)
        clock.advance_s(passes_s)
        sample = camera.read()
        assert sample is not None
        inlet.put(sample.sequence, sample.device_ns, images=sample.images)
    camera.close()
    newest = inlet.latest()
    assert newest is not None
    # It came 53 ms after the first but was taken 33 ms after it.
    assert newest.stamp_ns == 5_033_000_000


def test_a_size_that_the_camera_lacks_is_refused_with_those_it_has() -> None:
    camera = RealSenseCamera(config(width=1280), KEY, rs, Soft().device)
    with pytest.raises(HardwareError, match=r"no colour pictures of 1280x48.*it has: 64x48 at 30"):
        camera.open()
    camera.close()


def test_a_camera_that_is_not_plugged_in_is_named() -> None:
    with (
        config().build(Intake("wrist", MonotonicClock(), 0.1)) as camera,
        pytest.raises(HardwareError, match=r"the RealSense 1234 is not there; found: none"),
    ):
        camera.wait_until_ready(20)
