from __future__ import annotations

import math

import numpy as np
import pytest

from robot_rl.core.spec import JOINT_POSITION, JOINT_VELOCITY, TCP_POSE, TCP_TWIST
from robot_rl.sensing.motion import Motion, MotionScale, pose_distance

SCALE = MotionScale(distance_m=0.01, angle_rad=0.1, time_s=0.5)
HALF = math.sqrt(0.5)


def vector(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def pose(x: float = 0.0, turn_rad: float = 0.0) -> np.ndarray:
    """Away in x, turned about z."""
    return vector(x, 0, 0, 0, 0, math.sin(turn_rad / 2), math.cos(turn_rad / 2))


def moved(key: str, then: np.ndarray, now: np.ndarray, *, without: str = "") -> bool:
    motion = Motion(SCALE)
    motion.update({key: then}, 0)
    mark = motion.mark()
    motion.update({key: now}, 10)
    return motion.since(mark, without=without)


def test_distance_of_poses_by_hand():
    quarter = vector(3, 4, 0, 0, 0, HALF, HALF)
    distance_m, angle_rad = pose_distance(pose(), quarter)
    assert distance_m == pytest.approx(5.0)
    assert angle_rad == pytest.approx(math.pi / 2)
    # q and -q are one rotation.
    assert pose_distance(quarter, vector(3, 4, 0, 0, 0, -HALF, -HALF)) == pytest.approx((0, 0))
    assert pose_distance(pose(), pose(turn_rad=1e-4))[1] == pytest.approx(1e-4, rel=1e-3)


@pytest.mark.parametrize(
    ("key", "then", "little", "much"),
    [
        (TCP_POSE, pose(), pose(0.009, 0.09), pose(0.0101)),
        (TCP_POSE, pose(), pose(0.009, 0.09), pose(turn_rad=0.101)),
        (JOINT_POSITION, vector(0, 1), vector(0.09, 0.91), vector(0, 0.89)),
    ],
)
def test_places_that_differ_by_the_scale_are_motion(key, then, little, much):
    assert not moved(key, then, little)
    assert moved(key, then, much)
    assert not moved(key, then, much, without=key)


@pytest.mark.parametrize(
    ("key", "slow", "fast"),
    [
        # 10 mm or 0.1 rad in half a second are 20 mm/s or 0.2 rad/s.
        (TCP_TWIST, vector(0.019, 0, 0, 0, 0.19, 0), vector(0.021, 0, 0, 0, 0, 0)),
        (TCP_TWIST, vector(0.019, 0, 0, 0, 0.19, 0), vector(0, 0, 0, 0, 0.21, 0)),
        (JOINT_VELOCITY, vector(0.19, -0.19), vector(0, -0.21)),
    ],
)
def test_velocity_is_motion_once_it_was_high_for_long_enough(key, slow, fast):
    for velocity, expected in ((slow, [False] * 3), (fast, [False, False, True])):
        motion = Motion(SCALE)
        motion.update({key: velocity}, 10**15)
        mark = motion.mark()
        found = []
        for k in (1, 2, 3):
            motion.update({key: velocity}, 10**15 + k * 200_000_000)
            found.append(motion.since(mark, without=""))
        assert found == expected


def test_motion_before_the_mark_does_not_count():
    motion = Motion(SCALE)
    motion.update({TCP_POSE: pose()}, 0)
    motion.update({TCP_POSE: pose(1.0)}, 10)
    assert not motion.since(motion.mark(), without="")
