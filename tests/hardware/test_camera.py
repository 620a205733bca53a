from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from robot_rl.config.load import load
from robot_rl.core.clock import MonotonicClock
from robot_rl.core.errors import ConfigError, DependencyError, HardwareError
from robot_rl.sensing.intake import Intake
from robot_rl_hardware.cameras.calibration import load_calibration
from robot_rl_hardware.cameras.fake import FakeCameraConfig, pattern
from robot_rl_hardware.cameras.uvc import UvcCamera, UvcCameraConfig

KEY = "observation.images.front"


def intake() -> Intake:
    return Intake("front", MonotonicClock(), 0.1)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty pictures, red on the left half and blue on the right, brighter with time."""
    path = tmp_path_factory.mktemp("film") / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 50, (64, 48))
    for count in range(20):
        picture = np.zeros((48, 64, 3), np.uint8)
        picture[:, :32, 2] = 100 + 5 * count
        picture[:, 32:, 0] = 100 + 5 * count
        writer.write(picture)
    writer.release()
    return path


def test_a_fake_camera_shows_a_pattern_that_moves() -> None:
    config = FakeCameraConfig(width=32, height=24, fps=100)
    with config.build(intake()) as camera:
        camera.wait_until_ready(20)
        image = camera.latest().images[KEY]  # type: ignore[union-attr]
    assert np.array_equal(image, pattern(32, 24, int(image[0, 0, 2])))
    assert image[0, 0].tolist()[:2] == [0, 0]
    assert image[-1, -1].tolist()[:2] == [255, 255]


def test_a_film_is_seen_in_rgb(film: Path) -> None:
    config = UvcCameraConfig(source=str(film), width=64, height=48, fps=50)
    with config.build(intake()) as camera:
        image = camera.wait_until_ready(20).images[KEY]
    assert image.shape == (48, 64, 3)
    assert image[24, 8, 0] > 80 > image[24, 8, 2]
    assert image[24, 56, 2] > 80 > image[24, 56, 0]


def test_a_film_ends_and_its_camera_is_gone(film: Path) -> None:
    reader = UvcCamera(UvcCameraConfig(source=str(film), width=64, height=48, fps=50), KEY, cv2)
    reader.open()
    for count in range(1, 21):
        sample = reader.read()
        assert sample is not None
        assert sample.sequence == count
    with pytest.raises(HardwareError, match="has come to its end"):
        reader.read()
    reader.close()


def test_a_film_may_loop(film: Path) -> None:
    config = UvcCameraConfig(source=str(film), width=64, height=48, fps=50, loops=True)
    reader = UvcCamera(config, KEY, cv2)
    reader.open()
    assert all(reader.read() is not None for _ in range(45))
    reader.close()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"width": 128}, "gives 64x48, expected 128x48"),
        ({"fps": 30}, "gives 50 pictures a second, expected 30"),
        ({"source": "/dev/video-that-is-not"}, "is the camera plugged in"),
    ],
)
def test_another_size_or_rate_than_asked_for_is_refused(
    film: Path, change: dict[str, Any], words: str
) -> None:
    asked = {"source": str(film), "width": 64, "height": 48, "fps": 50} | change
    with (
        UvcCameraConfig(**asked).build(intake()) as camera,
        pytest.raises(HardwareError, match=words),
    ):
        camera.wait_until_ready(20)


def test_a_device_that_is_no_camera_is_refused() -> None:
    config = UvcCameraConfig(source="/dev/null", width=64, height=48)
    with (
        config.build(intake()) as camera,
        pytest.raises(HardwareError, match="does not open: is it a camera"),
    ):
        camera.wait_until_ready(20)


def test_a_missing_package_is_named_when_the_camera_is_built(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from robot_rl_hardware import package

    def absent(module: str) -> Any:
        raise ImportError(f"No module named {module!r}")

    monkeypatch.setattr(package.importlib, "import_module", absent)
    with pytest.raises(DependencyError, match=r"opencv-python-headless.*robot_rl\[hardware\]"):
        UvcCameraConfig(source=0, width=64, height=48).build(intake())


def calibration(tmp_path: Path, **changes: str) -> Path:
    text = Path("configs/devices/fake_camera_calibration.yaml").read_text()
    for old, new in changes.items():
        text = text.replace(old, new)
    path = tmp_path / "calibration.yaml"
    path.write_text(text)
    return path


def test_a_calibration_is_read_row_by_row(tmp_path: Path) -> None:
    read = load_calibration(calibration(tmp_path), 320, 240)
    assert read.camera_matrix.data[2] == 160.0
    assert read.projection_matrix.data[6] == 120.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image_width: 320": "image_width: 640"}, "made at 640x240, the camera gives 320x240"),
        ({"plumb_bob": "fisheye"}, "expected one of: plumb_bob"),
        ({"cols: 5": "cols: 4"}, "1x4 numbers expected, got 5"),
        ({"camera_matrix:": "camera_matrx:"}, "did you mean 'camera_matrix'"),
    ],
)
def test_a_wrong_calibration_is_refused(
    tmp_path: Path, changes: dict[str, str], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        load_calibration(calibration(tmp_path, **changes), 320, 240)


def test_a_missing_calibration_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        load_calibration(tmp_path / "nowhere.yaml", 320, 240)


def test_an_unknown_key_of_a_camera_is_named(tmp_path: Path) -> None:
    path = tmp_path / "camera.yaml"
    path.write_text(
        "type: robot_rl_hardware.cameras.fake:FakeCameraConfig\nwidht: 64\nheight: 48\n"
    )
    with pytest.raises(ConfigError, match="did you mean 'width'"):
        load(path, FakeCameraConfig)
