"""Numbers by hand: 10 + 20 + 30 steps, of which a person drove 3 of the second episode."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from robot_rl.app.data.stats import Element, element_row, note
from robot_rl.core.types import Outcome


def lines(said):
    return [" ".join(line.split()) for line in said.out.splitlines()]


def test_success_is_told_apart_by_help_with_wilson_intervals(data, store):
    found = lines(data("stats", store))
    # Wilson 95 %: 1 of 2 is 0.095 to 0.905, 1 of 1 is 0.207 to 1.
    assert "success without help: 1 of 2, 50 % (95 % interval 9-91 %)" in found
    assert "success with help: 1 of 1, 100 % (95 % interval 21-100 %)" in found


def test_steps_hours_interventions_and_gate_are_counted(data, store):
    found = lines(data("stats", store))
    # 60 steps of 0.1 s are 6 s; 3 of 60 steps are 5 %.
    assert found[0] == "3 episodes, 60 steps, 0.00 h"
    assert "interventions: 2, 5.0 % of the steps were a person's" in found
    assert "gate: velocity 3" in found


def test_a_judgement_counts_instead_of_the_recorded_outcome(data, store):
    data("relabel", store, "online-2", "--label", "success", "--by", "ann")
    found = lines(data("stats", store))
    assert any(line.startswith("success without help: 2 of 2, 100 %") for line in found)
    assert "1 outcome as judged by a person afterwards" in found


def test_unknown_outcomes_are_in_no_rate(data, make_store, make_episode):
    store = make_store(make_episode(images=False, outcome=Outcome.UNKNOWN), images=False)
    found = lines(data("stats", store))
    assert "success without help: no such episodes" in found
    assert any(line.startswith("1 episode without an outcome") for line in found)


def test_every_element_of_every_vector_and_action_has_its_range(data, store):
    rows = {line.split()[0]: line.split() for line in lines(data("stats", store)) if "/" in line}
    assert set(rows) >= {"state/j0", "wrench/tz", "action/x", "action/y"}
    # j0 counts 0..10, 0..20, 0..30: the sum is 55 + 210 + 465 = 730 over 63 instants.
    j0 = rows["state/j0"]
    assert (j0[1], j0[2], j0[4], j0[6]) == ("rad", "0", "11.59", "30")


def test_a_constant_column_is_pointed_out(data, store):
    said = data("stats", store)
    assert any(line.startswith("state/j1 ") and line.endswith(" constant") for line in lines(said))
    # j1, the six wrench elements.
    assert "7 elements with a note" in said.out


def element(values, unit="N"):
    return Element(name="x", unit=unit, values=np.asarray(values, np.float64))


@pytest.mark.parametrize(
    ("values", "unit", "expected"),
    [
        ([0.0, 1.0], "N", ""),
        ([2.0, 2.0], "N", "constant"),
        ([1.0], "N", ""),
        ([1.0, np.nan, np.inf, 1.0], "N", "2 not finite, constant"),
        ([np.nan], "N", "1 not finite"),
        ([0.0, -1.01], "normalised", "beyond [-1, 1]"),
        ([0.0, -1.0], "normalised", ""),
    ],
)
def test_what_looks_wrong_is_named(values, unit, expected):
    assert note(element(values, unit)) == expected


def test_ranges_are_over_what_is_finite():
    row = element_row(element([0.0, 1.0, 2.0, 3.0, 4.0, np.nan]))
    # 1 % of 0..4 is 0.04, 99 % is 3.96; the variance is (4 + 1 + 0 + 1 + 4) / 5 = 2.
    assert row == ["x", "N", "0", "0.04", "2", "3.96", "4", "1.414", "1 not finite"]
    assert element_row(element([np.nan]))[2:] == [""] * 6 + ["1 not finite"]


def test_values_that_are_not_finite_are_found_in_a_store(data, make_store, make_episode):
    episode = make_episode(images=False)
    state = episode.vectors["observation.state"].copy()
    state[4, 0] = np.nan
    broken = dataclasses.replace(episode, vectors={**episode.vectors, "observation.state": state})
    store = make_store(broken, images=False)
    assert any(line.endswith("1 not finite") for line in lines(data("stats", store)))


def test_an_empty_store_has_no_statistics(data, make_store):
    said = data("stats", make_store())
    assert said.status == 0
    assert "no episodes" in said.out
