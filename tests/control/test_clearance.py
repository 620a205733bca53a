from __future__ import annotations

import math

import pytest

from robot_rl.control.clearance import braking_speed


@pytest.mark.parametrize(
    ("distance", "speed"),
    [
        (-0.1, 0.0),
        (0.0, 0.0),
        (0.005, 0.05),  # one step: 0.05 * 0.1
        (0.01, 0.1),  # one step at a full drop of speed: 0.1 * 0.1
        (0.03, 0.2),  # two steps: 0.2 * 0.1 + 0.1 * 0.1
        (0.06, 0.3),  # three steps: 0.03 + 0.02 + 0.01
        (0.045, 0.25),  # three steps: 0.025 + 0.015 + 0.005
    ],
)
def test_speed_is_what_whole_periods_of_braking_bring_to_rest(distance, speed):
    assert braking_speed(distance, deceleration=1.0, period_s=0.1) == pytest.approx(speed)


def test_speed_never_exceeds_the_continuous_law():
    for distance in (1e-6, 1e-3, 0.1, 2.0):
        assert braking_speed(distance, 3.0, 0.05) <= math.sqrt(2 * 3.0 * distance)


def test_short_periods_approach_the_continuous_law():
    assert braking_speed(0.5, 4.0, 1e-5) == pytest.approx(2.0, rel=1e-4)


def test_next_to_no_distance_leaves_next_to_no_speed():
    # d / T: within one period the little that is left may be gone.
    assert braking_speed(1e-40, 2.0, 0.1) == pytest.approx(1e-39)
