from __future__ import annotations

from pathlib import Path

import pytest

from robot_rl.config.load import load
from robot_rl.config.model import Config
from robot_rl.core.clock import MonotonicClock
from robot_rl.sensing.intake import Intake
from robot_rl_hardware.cameras.calibration import load_calibration
from robot_rl_hardware.sampler import SensorConfig
from robot_rl_hardware.tactile.camera_finger import CameraFingerConfig

FOLDER = Path("configs/devices")
CALIBRATIONS = sorted(FOLDER.glob("*_calibration.yaml"))
DEVICES = sorted(set(FOLDER.glob("*.yaml")) - set(CALIBRATIONS))


@pytest.mark.parametrize("path", DEVICES, ids=lambda p: p.stem)
def test_every_device_builds_without_being_touched(path: Path) -> None:
    if path.stem == "realsense":
        pytest.importorskip("pyrealsense2")
    config = load(path, Config)
    if isinstance(config, SensorConfig | CameraFingerConfig):
        device = config.build(Intake("any", MonotonicClock(), 0.1))
        assert device.latest() is None
    else:
        assert config.build() is not None  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", CALIBRATIONS, ids=lambda p: p.stem)
def test_every_calibration_fits_its_camera(path: Path) -> None:
    camera = load(path.with_name(path.name.replace("_calibration", "")), SensorConfig)
    load_calibration(path, camera.width, camera.height)  # type: ignore[attr-defined]
