from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot_rl.core.errors import ContractError
from robot_rl.data.exchange.topics.alignment import hold, split_at_flag, split_at_gaps, ticks


def test_ticks_do_not_drift_at_a_rate_that_divides_no_second():
    at = ticks(100, 100 + 1_000_000_000, 3.0)
    assert at.tolist() == [100, 333_333_433, 666_666_767, 1_000_000_100]


def test_a_stamp_gone_wild_does_not_take_all_memory():
    with pytest.raises(ContractError, match="clock: log"):
        ticks(0, 2**62, 100.0)


def test_the_newest_sample_that_is_not_newer_than_the_tick_counts():
    stamps = np.array([0, 40, 80, 120])
    assert hold("x", stamps, np.array([0, 39, 40, 100, 200]), 80).tolist() == [0, 0, 1, 2, 3]


def test_a_sample_older_than_allowed_is_named_with_its_instant_and_age():
    with pytest.raises(ContractError, match=r"joints: at 100 ns .* 0\.000 s old.* 1 of 2 inst"):
        hold("joints", np.array([10, 40]), np.array([50, 100]), 59)
    assert hold("joints", np.array([10, 40]), np.array([50, 100]), 60).tolist() == [1, 1]


def test_an_instant_before_the_first_sample_is_an_error():
    with pytest.raises(ContractError, match="yet to come"):
        hold("joints", np.array([10]), np.array([9]), 100)


@given(
    stamps=st.lists(st.integers(0, 10**6), min_size=1, max_size=30).map(sorted),
    at=st.lists(st.integers(0, 10**6), min_size=1, max_size=30),
)
def test_no_sample_from_the_future_is_ever_used(stamps, at):
    at = [a for a in at if a >= stamps[0]]
    index = hold("x", np.array(stamps), np.array(at, np.int64), 10**9)
    expected = [max(i for i, s in enumerate(stamps) if s <= a) for a in at]
    assert index.tolist() == expected


def test_recording_is_cut_only_where_all_streams_are_silent():
    arm, camera = np.array([0, 10, 20, 90, 100]), np.array([5, 40, 95])
    assert split_at_gaps([arm, camera], 30) == [(0, 40), (90, 100)]


def test_flag_gives_the_spans_in_which_it_is_up():
    stamps = np.array([1, 2, 3, 5, 8, 9])
    up = np.array([False, True, True, False, False, True])
    assert split_at_flag(stamps, up, 20) == [(2, 5), (9, 20)]
    assert split_at_flag(stamps[:1], up[:1], 20) == []
