from __future__ import annotations

import time

import cv2
import numpy as np
import pytest

from robot_rl.core.clock import MonotonicClock
from robot_rl.core.errors import ContractError
from robot_rl.sensing.intake import Intake
from robot_rl_hardware.tactile.camera_finger import CameraFingerConfig
from robot_rl_hardware.tactile.fake import FakeSkinConfig, dots
from robot_rl_hardware.tactile.skin import Skin


def skin(**settings: float) -> Skin:
    return Skin(cv2, frames=int(settings.get("frames", 3)), still=settings.get("still", 0.02))


def test_a_skin_feels_nothing_before_it_was_seen_at_rest() -> None:
    s = skin()
    picture = dots(128, 96)
    assert s.feel(picture) is None
    assert s.difference(picture) is None


def test_a_push_is_felt_in_pixels() -> None:
    s = skin()
    at_rest = dots(128, 96)
    for _ in range(3):
        s.see(at_rest)
    s.rest()
    assert s.feel(at_rest) == pytest.approx([0, 0, 0], abs=0.05)
    pushed = np.roll(at_rest, (-2, 3), axis=(0, 1))
    felt = s.feel(pushed)
    assert felt is not None
    assert felt.dtype == np.float32
    assert felt[:2] == pytest.approx([3, -2], abs=0.3)
    changed = np.abs(pushed.astype(float) - at_rest).mean() / 255
    assert felt[2] == pytest.approx(changed, abs=1e-5)


def test_no_change_is_grey() -> None:
    s = skin(frames=1)
    picture = dots(64, 48)
    s.see(picture)
    s.rest()
    difference = s.difference(picture)
    assert difference is not None
    assert np.all(difference == 128)


def test_a_skin_that_moves_is_not_at_rest() -> None:
    s = skin()
    for shift in (0, 4, 8):
        s.see(np.roll(dots(128, 96), shift, axis=1))
    with pytest.raises(ContractError, match="let nothing touch it"):
        s.rest()
    assert s.at_rest is None


def test_too_few_pictures_are_not_enough() -> None:
    s = skin()
    s.see(dots(64, 48))
    with pytest.raises(ContractError, match="1 pictures, expected 3"):
        s.rest()


def test_a_finger_feels_through_any_camera() -> None:
    config = CameraFingerConfig(
        camera=FakeSkinConfig(width=256, height=192, fps=60, pushed_after=30, push_px=(8, 0)),
        width=128,
        height=96,
        frames=5,
    )
    with config.build(Intake("left", MonotonicClock(), 0.1)) as finger:
        seen = finger.wait_until_ready(20)
        assert seen.images["observation.images.left"].shape == (96, 128, 3)
        assert not seen.vectors
        end = time.monotonic() + 20
        felt: list[float] = []
        while not (felt and felt[0] > 3) and time.monotonic() < end:
            time.sleep(0.01)
            if not finger.rested:
                try:
                    finger.rest()
                except ContractError:
                    continue
            seen = finger.latest() or seen
            felt = seen.vectors.get("observation.tactile.left", np.zeros(0)).tolist()
    # 8 pixels of 256 are 4 of 128.
    assert felt[:2] == pytest.approx([4, 0], abs=0.3)
    assert seen.images["observation.images.left_difference"].shape == (96, 128, 3)
