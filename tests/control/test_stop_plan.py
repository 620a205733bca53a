"""The way to rest, worked out by hand and held against its own sum."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robot_rl.control.motion.stop_plan import Part, plan_stop

ONE = [Part(0, 1, step=10.0, change=2.0, jerk=1.0)]
QUICK = [Part(0, 1, step=10.0, change=2.0, jerk=4.0)]


def commands(plan):
    return [plan.at(k)[0] for k in range(plan.periods + 1)]


def test_arm_at_rest_stays_at_rest():
    plan = plan_stop([0.0], [0.0], ONE)
    assert (plan.periods, plan.at(0), plan.at(7)) == (0, [0.0], [0.0])
    assert plan.reach[0] == 1.0


def test_with_jerk_to_spare_it_brakes_at_once_by_the_greatest_change():
    plan = plan_stop([5.0], [2.0], QUICK)
    assert commands(plan) == pytest.approx([5.0, 3.0, 1.0, 0.0])
    assert plan.reach[0] * 5.0 + plan.reach[1] * 2.0 == pytest.approx(9.0)


def test_with_little_jerk_the_change_fades_first_and_braking_is_ramped():
    # c = 2 fades over two periods: +1, +0; the peak is 6. Then -1, -2, -2, -1.
    plan = plan_stop([5.0], [2.0], ONE)
    assert commands(plan) == pytest.approx([5.0, 6.0, 6.0, 5.0, 3.0, 1.0, 0.0])
    assert plan.reach[0] * 5.0 + plan.reach[1] * 2.0 == pytest.approx(26.0)


def test_period_in_which_nothing_changes_is_left_out_where_jerk_allows():
    # c = 0.4 fades at once; -0.5 after it is a change of change of 0.9.
    plan = plan_stop([0.5], [0.4], ONE)
    assert commands(plan) == pytest.approx([0.5, 0.0])


def test_slower_part_sets_the_pace_of_all():
    parts = [Part(0, 1, 9.0, 1.0, 2.0), Part(1, 2, 9.0, 1.0, 2.0)]
    plan = plan_stop([4.0, 1.0], [0.0, 0.0], parts)
    assert [plan.at(k) for k in range(5)] == [[4, 1], [3, 0.75], [2, 0.5], [1, 0.25], [0, 0]]


vectors = st.tuples(*[st.floats(-1.0, 1.0)] * 3)
limits = st.tuples(st.floats(0.01, 10.0), st.floats(0.01, 10.0), st.floats(0.01, 3.0))


@settings(deadline=None, max_examples=300)
@given(step=vectors, change=vectors, move=limits, turn=limits)
def test_every_plan_keeps_acceleration_and_jerk_and_reaches_as_far_as_it_says(
    step, change, move, turn
):
    parts = [Part(0, 2, *move), Part(2, 3, *turn)]
    scale = np.array([move[1] / 2**0.5] * 2 + [turn[1]])
    change = (np.array(change) * scale).tolist()
    plan = plan_stop(step, change, parts)
    rows = np.array([plan.at(k) for k in range(plan.periods + 2)])
    assert not rows[-2:].any()
    changes = np.diff(rows, axis=0)
    jerks = np.diff(np.vstack([change, changes]), axis=0)
    for part in parts:
        span = slice(part.start, part.end)
        assert np.linalg.norm(changes[:, span], axis=1).max() <= part.change * (1 + 1e-6)
        assert np.linalg.norm(jerks[:, span], axis=1).max() <= part.jerk * (1 + 1e-6)
        fastest = max(part.norm(step), part.norm(plan.peak))
        assert np.linalg.norm(rows[:, span], axis=1).max() <= fastest * (1 + 1e-9) + 1e-12
    of_step, of_change = plan.reach
    np.testing.assert_allclose(
        rows.sum(axis=0), of_step * np.array(step) + of_change * np.array(change), atol=1e-7
    )
