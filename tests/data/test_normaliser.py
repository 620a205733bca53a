from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from robot_rl.core.errors import ContractError
from robot_rl.data.normaliser import Normaliser


def f32(*rows):
    return np.array(rows, np.float32)


def test_extremes_map_to_plus_and_minus_one():
    normaliser = Normaliser.fit_min_max(f32([0, -4], [10, 0], [5, -1]))

    assert normaliser.offset.tolist() == [5, -2]
    assert normaliser.scale.tolist() == [5, 2]
    assert normaliser.normalise(f32([0, 0], [10, -4])).tolist() == [[-1, 1], [1, -1]]


def test_margin_widens_the_range():
    normaliser = Normaliser.fit_min_max(f32([0], [10]), margin=0.25)

    assert normaliser.normalise(f32([10])).tolist() == [[pytest.approx(0.8)]]


def test_a_column_that_does_not_vary_gets_scale_one_and_its_value_as_offset():
    normaliser = Normaliser.fit_min_max(f32([3, 1], [3 + 4e-7, 2]))

    assert normaliser.scale[0] == 1
    assert normaliser.offset[0] == pytest.approx(3, abs=1e-6)
    assert normaliser.normalise(f32([3.5, 1]))[0, 0] == pytest.approx(0.5, abs=1e-6)


@given(arrays(np.float32, (5, 3), elements=st.floats(-1e4, 1e4, width=32)))
def test_fitted_data_lie_within_one_and_come_back(packed):
    normaliser = Normaliser.fit_min_max(packed)

    normalised = normaliser.normalise(packed)

    # float32 offsets round: 1e4 has a spacing of 1e-3, which a range of 1e-6 would amplify.
    wide = np.ptp(packed, axis=0) > 0.01 * (1 + np.abs(packed).max(axis=0))
    assert np.abs(normalised[:, wide]).max(initial=0) <= 1.001
    np.testing.assert_allclose(normaliser.denormalise(normalised), packed, atol=2e-3, rtol=1e-5)


def test_state_survives_json_bit_by_bit():
    normaliser = Normaliser.fit_min_max(f32([0.1, 1e-3], [0.7, 1 / 3]))

    again = Normaliser.from_state(json.loads(json.dumps(normaliser.state)))

    assert again.offset.tobytes() == normaliser.offset.tobytes()
    assert again.scale.tobytes() == normaliser.scale.tobytes()
    assert again.fingerprint == normaliser.fingerprint


def test_fingerprint_tells_the_smallest_difference():
    one = Normaliser(offset=f32(1, 2), scale=f32(1, 1))
    other = Normaliser(offset=f32(1, np.nextafter(np.float32(2), np.float32(3))), scale=f32(1, 1))

    assert len(one.fingerprint) == 16
    assert one.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    ("packed", "margin"),
    [(f32([np.nan], [1]), 0.0), (np.zeros((0, 2), np.float32), 0.0), (f32([1], [2]), -0.1)],
)
def test_unusable_data_are_refused(packed, margin):
    with pytest.raises(ContractError):
        Normaliser.fit_min_max(packed, margin)


def test_a_scale_of_zero_is_refused():
    with pytest.raises(ContractError):
        Normaliser(offset=f32(1, 2), scale=f32(1, 0))
