from __future__ import annotations

import numpy as np
import pytest

from robot_rl.core.spec import TCP_POSE
from robot_rl.sensing.freshness import Blankness, Repetition
from robot_rl.sensing.motion import Motion, MotionScale

MS = 1_000_000
SCALE = MotionScale(distance_m=0.01, angle_rad=0.1, time_s=0.5)


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (48, 64, 3), np.uint8)


def place(x: float) -> dict[str, np.ndarray]:
    return {TCP_POSE: np.array([x, 0, 0, 0, 0, 0, 1], np.float32)}


def test_equal_pictures_with_new_stamps_stand_still():
    repetition = Repetition("camera", None)
    seconds = [repetition.seconds(picture(), n * 100 * MS) for n in range(4)]
    assert seconds == pytest.approx([0.0, 0.1, 0.2, 0.3])


def test_picture_that_differs_in_one_pixel_anywhere_has_changed():
    repetition = Repetition("camera", None)
    for stamp, (row, column) in enumerate([(0, 0), (13, 29), (47, 63)]):
        changed = picture()
        changed[row, column, 1] ^= 1
        repetition.seconds(picture(), 2 * stamp)
        assert repetition.seconds(changed, 2 * stamp + 1) == 0.0


def test_one_array_delivered_again_stands_still():
    repetition = Repetition("camera", None)
    same = picture()
    repetition.seconds(same, 0)
    assert repetition.seconds(same, 100 * MS) == pytest.approx(0.1)


def test_vectors_are_compared_bit_by_bit():
    repetition = Repetition("wrench", None)
    values = [np.array([np.nan, 0.0], np.float32), np.array([np.nan, 0.0], np.float32)]
    values.append(np.array([np.nan, -0.0], np.float32))
    seconds = [repetition.seconds(v, n * 100 * MS) for n, v in enumerate(values)]
    assert seconds == pytest.approx([0.0, 0.1, 0.0])


def test_still_picture_of_an_arm_at_rest_is_no_fault_until_the_arm_has_moved():
    motion = Motion(SCALE)
    repetition = Repetition("camera", motion)
    motion.update(place(0.0), 0)
    assert [repetition.seconds(picture(), n * 1000 * MS) for n in range(5)] == [0.0] * 5
    motion.update(place(0.02), 5000 * MS)
    assert repetition.seconds(picture(), 5000 * MS) == pytest.approx(5.0)
    # A new picture: from here on the arm has not moved.
    assert repetition.seconds(picture(1), 5100 * MS) == 0.0
    assert repetition.seconds(picture(1), 9000 * MS) == 0.0


def test_vector_is_no_witness_of_its_own_motion():
    motion = Motion(SCALE)
    repetition = Repetition(TCP_POSE, motion)
    motion.update(place(0.0), 0)
    repetition.seconds(place(0.0)[TCP_POSE], 0)
    motion.update(place(1.0), 1000 * MS)
    assert repetition.seconds(place(0.0)[TCP_POSE], 1000 * MS) == 0.0


@pytest.mark.parametrize(
    ("level", "spread", "what"),
    [
        (0, 0, "black"),
        (2, 2, "black"),
        (255, 0, "white"),
        (252, 2, "white"),
        (128, 0, ""),
        (9, 2, ""),
        (246, 2, ""),
        # Dark, but with something to be seen.
        (4, 30, ""),
    ],
)
def test_black_and_white_pictures_are_blank_grey_and_patterned_ones_are_not(level, spread, what):
    noise = np.random.default_rng(0).normal(level, spread, (96, 128, 3))
    if spread == 30:
        noise = np.where(np.arange(96)[:, None, None] < 8, 60.0, 0.0) + np.zeros((96, 128, 3))
    image = np.clip(noise, 0, 255).astype(np.uint8)
    blankness = Blankness()
    assert blankness.seconds(image, 0) == (0.0, what)
    assert blankness.seconds(image, 300 * MS)[0] == (pytest.approx(0.3) if what else 0.0)


def test_black_that_turns_white_counts_anew():
    blankness = Blankness()
    black, white = np.zeros((16, 16, 3), np.uint8), np.full((16, 16, 3), 255, np.uint8)
    blankness.seconds(black, 0)
    assert blankness.seconds(white, 300 * MS) == (0.0, "white")
