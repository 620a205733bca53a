from __future__ import annotations

import numpy as np
import pytest

from robot_rl.core.errors import ConfigError
from robot_rl.core.spec import JOINT_POSITION, TCP_POSE
from robot_rl.sensing.spike import SpikeGuard

MS = 1_000_000


def judge(*values: float, rates=(2.0,), step_ms: int = 10) -> list[tuple[float, int]]:
    """The values believed and how many had been held, for samples of one joint 10 ms apart."""
    guard = SpikeGuard(JOINT_POSITION, 1, rates, period_s=0.01)
    judged = [
        guard.judge(np.array([v], np.float32), (k + 1) * step_ms * MS)
        for k, v in enumerate(values)
    ]
    return [(round(float(j.vector[0]), 4), j.held) for j in judged]


def test_samples_within_the_rate_are_believed():
    # 2 rad/s are 0.02 rad in 10 ms.
    assert judge(0.0, 0.019, 0.0, -0.019) == [(0.0, 0), (0.019, 0), (0.0, 0), (-0.019, 0)]


def test_single_wrong_sample_is_replaced_by_the_last_good_one():
    assert judge(0.0, 0.01, 0.8, 0.03) == [(0.0, 0), (0.01, 0), (0.01, 1), (0.03, 0)]


def test_good_sample_after_a_spike_may_be_two_periods_away():
    # 0.039 rad in 20 ms are possible; in 10 ms they would not be.
    assert judge(0.0, 0.8, 0.039)[-1] == (0.039, 0)


def test_jump_that_stays_is_believed_from_its_third_sample_on():
    assert judge(0.0, 0.8, 0.805, 0.81, 0.82) == [
        (0.0, 0),
        (0.0, 1),
        (0.0, 2),
        (0.81, 0),
        (0.82, 0),
    ]


def test_wrong_samples_that_do_not_agree_are_never_believed():
    values = [0.0] + [0.9, -0.9] * 5
    assert [held for _, held in judge(*values)] == list(range(11))


def test_held_sample_tells_the_stamp_of_the_good_one():
    guard = SpikeGuard(JOINT_POSITION, 1, (2.0,), period_s=0.01)
    guard.judge(np.zeros(1, np.float32), 10 * MS)
    assert guard.judge(np.ones(1, np.float32), 20 * MS).good_ns == 10 * MS


def test_stamps_closer_than_a_period_count_as_a_period():
    assert judge(0.0, 0.015, step_ms=1)[-1] == (0.015, 0)


def test_sample_that_is_not_finite_is_left_to_the_gate():
    values = judge(0.0, np.nan, 0.01)
    assert np.isnan(values[1][0])
    assert values[2] == (0.01, 0)


def test_pose_is_compared_by_way_and_angle_whatever_the_sign_of_its_quaternion():
    guard = SpikeGuard(TCP_POSE, 7, (1.0, 2.0), period_s=0.01)
    pose = np.array([0.5, 0, 0, 0, 0, 0, 1], np.float32)
    flipped = np.array([0.509, 0, 0, 0, 0, 0, -1], np.float32)
    away = np.array([0.53, 0, 0, 0, 0, 0, -1], np.float32)
    turned = np.array([0.509, 0, 0, 0, 0, 0.05, 0.99875], np.float32)
    held = [
        guard.judge(p, (k + 1) * 10 * MS).held for k, p in enumerate((pose, flipped, away, pose))
    ]
    assert held == [0, 0, 1, 0]
    assert guard.judge(turned, 50 * MS).held == 1


@pytest.mark.parametrize(
    ("key", "size", "rates", "message"),
    [
        (JOINT_POSITION, 7, (1.0, 2.0), "has 2 elements, expected 7 or 1"),
        (TCP_POSE, 7, (1.0,), r"has 1 elements, expected 2: of the way \[m/s\]"),
    ],
)
def test_number_of_rates_that_does_not_fit_is_refused(key, size, rates, message):
    with pytest.raises(ConfigError, match=message):
        SpikeGuard(key, size, rates, period_s=0.01)
