from __future__ import annotations

import numpy as np
import pytest

from robot_rl.app.data.figures import gate_events, main_charts, more_charts, peaks_kept, runs
from robot_rl.app.report.chart import Band, Line
from robot_rl.core.types import GateReason
from robot_rl.data.labelling import progress_to_success, rlif_reward


def test_runs_are_half_open_and_reach_both_ends():
    mask = np.array([1, 1, 0, 1, 0, 0, 1], bool)
    assert runs(mask) == [(0, 2), (3, 4), (6, 7)]
    assert runs(np.zeros(3, bool)) == []


def test_thinning_keeps_the_one_step_in_which_the_force_was_high():
    column = np.zeros(10_000)
    column[4_321] = 80.0
    column[7_777] = -5.0
    kept = peaks_kept(column, 300)
    assert len(kept) <= 300
    assert {0, 4_321, 7_777, 9_999} <= set(kept.tolist())
    assert np.all(np.diff(kept) > 0)


def test_thinning_keeps_peaks_beside_what_is_missing():
    column = np.full(1_000, np.nan)
    column[500] = 3.0
    assert 500 in peaks_kept(column, 20)


def test_short_columns_are_not_thinned():
    assert peaks_kept(np.arange(5.0), 300).tolist() == [0, 1, 2, 3, 4]


def test_every_chart_ends_with_the_episode_so_that_one_cursor_fits_all(make_episode, make_spec):
    episode = make_episode(steps=10)
    for chart in main_charts(episode, make_spec(), []) + more_charts(episode, make_spec()):
        ends = [np.max(mark.x) for mark in chart.marks if isinstance(mark, Line)]
        assert ends == pytest.approx([1.0] * len(ends)), chart.title


def test_force_is_the_magnitude_of_the_first_three_elements(make_episode, make_spec):
    force = main_charts(make_episode(), make_spec(), [])[0]
    assert force.title == "Contact force"
    assert force.y_label == "N"
    (line,) = force.marks
    assert np.asarray(line.y) == pytest.approx(np.full(11, 5.0))


def test_interventions_and_gate_are_bands_in_time(make_episode, make_spec):
    episode = make_episode(human=(3, 4), gated=(1, 8, 9))
    episode.gate_reason[1] = GateReason.STALE_COMMAND
    reward = main_charts(episode, make_spec(), [])[1]
    found = [(m.label, m.role, list(m.x)) for m in reward.marks if isinstance(m, Band)]
    assert [(label, role) for label, role, _ in found] == [
        ("a person drives", "help"),
        ("the gate bends", "neutral"),
        ("the gate refuses", "base"),
    ]
    assert [x for _, _, x in found] == [
        pytest.approx([0.3, 0.5]),
        pytest.approx([0.8, 1.0]),
        pytest.approx([0.1, 0.2]),
    ]


def test_labels_of_steps_and_of_observations_are_drawn_beside_the_reward(make_episode, make_spec):
    episode = make_episode(human=(5,))
    labels = [rlif_reward(episode), progress_to_success(episode)]
    reward = main_charts(episode, make_spec(), labels)[1]
    lines = [mark.label for mark in reward.marks if isinstance(mark, Line)]
    assert lines == ["recorded reward", "rlif", "progress"]


def test_actions_of_nobody_are_left_out(make_episode, make_spec):
    episode = make_episode(base_action=np.zeros((11, 2), np.float32))
    chart = main_charts(episode, make_spec(), [])[2]
    assert chart.title == "Action x"
    assert [label for _, _, label in chart.legend] == ["proposed", "executed"]


def test_what_is_not_finite_leaves_a_gap_and_the_chart_is_drawn(make_episode, make_spec):
    episode = make_episode()
    episode.vectors["observation.wrench"][3:5] = np.nan
    episode.action[:] = np.inf
    for chart in main_charts(episode, make_spec(), []):
        assert "nan" not in chart.svg
        assert "inf" not in chart.svg


def test_gate_events_are_listed_in_time(make_episode):
    episode = make_episode(gated=(2, 3, 7))
    episode.gate_reason[7] = GateReason.FORCE
    assert gate_events(episode, 0.1) == [("0.20 s", "velocity", 2), ("0.70 s", "force", 1)]
