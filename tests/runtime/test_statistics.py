import math

import numpy as np
import pytest

from robot_rl.core.errors import ContractError
from robot_rl.runtime.statistics import (
    median_and_spread,
    paired_difference_bound,
    rolling_mean,
    wilson_interval,
)

# z(0.975) = 1.959964, z(0.95) = 1.644854


def test_wilson_interval_of_eight_in_ten_matches_the_hand_calculation():
    # centre = (8 + 1.920729) / 13.841459 = 0.716740
    # half = 1.959964 * sqrt(8 * 2 / 10 + 0.960365) / 13.841459 = 0.226577
    low, high = wilson_interval(8, 10)
    assert low == pytest.approx(0.490163, abs=2e-5)
    assert high == pytest.approx(0.943317, abs=2e-5)


def test_wilson_interval_of_no_failures_ends_at_one_and_starts_at_n_over_n_plus_z2():
    low, high = wilson_interval(20, 20)
    assert low == pytest.approx(20 / 23.841459, abs=1e-6)
    assert high == 1.0
    assert wilson_interval(0, 20) == pytest.approx((0.0, 3.841459 / 23.841459), abs=1e-6)


def test_wilson_interval_is_wider_with_more_confidence():
    low_95, high_95 = wilson_interval(7, 10)
    low_99, high_99 = wilson_interval(7, 10, confidence=0.99)
    assert low_99 < low_95 < high_95 < high_99


def test_wilson_interval_without_trials_says_nothing():
    assert wilson_interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("successes", "trials"), [(3, 2), (-1, 2)])
def test_wilson_interval_refuses_impossible_counts(successes: int, trials: int):
    with pytest.raises(ContractError, match="successes of"):
        wilson_interval(successes, trials)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0])
def test_a_confidence_outside_zero_and_one_is_refused(confidence: float):
    with pytest.raises(ContractError, match="confidence"):
        wilson_interval(1, 2, confidence)
    with pytest.raises(ContractError, match="confidence"):
        paired_difference_bound([True], [True], confidence)


def test_paired_bound_matches_the_hand_calculation():
    # n = 20, improved alone succeeds 6 times, base alone never:
    # won = 7/22, lost = 1/22, difference = 0.272727
    # variance = (8/22 - 0.272727^2) / 22 = 0.0131480, root = 0.114665
    base = np.asarray([True] * 14 + [False] * 6)
    improved = np.ones(20, bool)
    bound = paired_difference_bound(base, improved, 0.95)
    assert bound == pytest.approx(0.272727 - 1.644854 * 0.114665, abs=1e-5)


def test_three_wins_of_twenty_are_not_yet_proof_but_four_are():
    improved = np.ones(20, bool)
    assert paired_difference_bound(np.arange(20) >= 3, improved) < 0
    assert paired_difference_bound(np.arange(20) >= 4, improved) > 0


def test_paired_bound_of_equal_results_is_below_zero():
    assert paired_difference_bound([True] * 50, [True] * 50) < 0


def test_paired_bound_stays_within_the_possible_and_knows_nothing_without_episodes():
    assert paired_difference_bound([True], [False], 0.999999) == -1.0
    assert paired_difference_bound([], []) == -1.0


def test_paired_bound_refuses_unmatched_starts():
    with pytest.raises(ContractError, match="same start"):
        paired_difference_bound([True, False], [True])


def test_a_policy_no_better_than_the_base_exceeds_zero_rarely():
    generator = np.random.default_rng(0)
    draws = generator.random((2000, 2, 20)) < 0.7
    exceeded = [paired_difference_bound(base, same) > 0 for base, same in draws]
    assert np.mean(exceeded) < 0.065


def test_rolling_mean_starts_with_what_there_is():
    np.testing.assert_allclose(rolling_mean([1, 2, 3, 4, 8], 3), [1, 1.5, 2, 3, 5])
    assert len(rolling_mean([], 3)) == 0


def test_rolling_mean_refuses_an_empty_window():
    with pytest.raises(ContractError, match="window 0"):
        rolling_mean([1.0], 0)


def test_median_and_spread_are_the_10th_50th_and_90th_percentile_without_nan():
    assert median_and_spread([math.nan, *range(11)]) == (5.0, 1.0, 9.0)


def test_median_of_nothing_is_nan():
    assert all(math.isnan(value) for value in median_and_spread([math.nan]))
