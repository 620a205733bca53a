from __future__ import annotations

import pytest

from robot_rl.core import errors


def test_nearest_word_is_offered():
    assert errors.did_you_mean("lernrate", ["learn_rate", "seed"]) == (
        "; did you mean 'learn_rate'?"
    )


def test_valid_words_are_listed_where_none_is_near():
    assert errors.did_you_mean("zzz", ["seed", "horizon"]) == "; valid: horizon, seed"
    assert errors.did_you_mean("zzz", []) == ""


@pytest.mark.parametrize(
    "kind", [v for v in vars(errors).values() if isinstance(v, type) and v is not errors.Iterable]
)
def test_every_error_is_caught_by_the_root(kind):
    assert issubclass(kind, errors.RobotRlError)
