from __future__ import annotations

import pytest

from robot_rl.session.history import History, Trial
from robot_rl.session.rates import MOST_POINTS, rates_of
from robot_rl.session.view import EpisodeRow


def trials(words: str) -> list[Trial]:
    """One letter an episode: `s` and `f` alone, `S` and `F` with help."""
    return [
        Trial(episode_id=f"e{i}", success=w in "sS", assisted=w.isupper(), steps=10)
        for i, w in enumerate(words)
    ]


def row(episode_id: str, outcome: str = "unknown", **fields: object) -> EpisodeRow:
    return EpisodeRow(
        **({"assisted": False, "steps": 10, "seconds": 1.0} | fields),
        episode_id=episode_id,
        outcome=outcome,
    )


def test_without_episodes_there_is_no_point():
    assert rates_of([]) == ()


def test_each_point_counts_the_episodes_up_to_it():
    points = rates_of(trials("sfSF"))
    assert [p.episode for p in points] == [1, 2, 3, 4]
    assert [p.autonomous[0] for p in points] == [1.0, 0.5, pytest.approx(1 / 3), 0.25]
    assert [p.assisted[0] for p in points] == [0.0, 0.0, pytest.approx(1 / 3), 0.25]
    assert [p.intervention[0] for p in points] == [0.0, 0.0, pytest.approx(1 / 3), 0.5]


def test_only_the_last_twenty_count():
    points = rates_of(trials("f" * 20 + "s" * 10))
    assert points[-1].autonomous[0] == 0.5
    assert rates_of(trials("f" * 20 + "s" * 20))[-1].autonomous[0] == 1.0


def test_a_rate_has_wilsons_interval():
    # 10 of 20, z = 1.95996: 0.5 -/+ z sqrt(5 + z^2/4) / (20 + z^2).
    assert rates_of(trials("sf" * 10))[-1].autonomous == pytest.approx(
        (0.5, 0.299298, 0.700702), abs=1e-5
    )
    rate, low, high = rates_of(trials("s"))[-1].autonomous
    assert (rate, high) == (1.0, 1.0)
    assert low == pytest.approx(0.206549, abs=1e-5)


def test_a_long_session_keeps_its_newest_points_and_their_numbers():
    points = rates_of(trials("s" * (MOST_POINTS + 7)))
    assert len(points) == MOST_POINTS
    assert (points[0].episode, points[-1].episode) == (8, MOST_POINTS + 7)


def test_a_history_follows_labels_and_discards_and_keeps_what_only_it_knows():
    history = History()
    for trial in trials("ff"):
        history.add(trial)
    history.add(Trial(episode_id="e2", success=False, assisted=True, steps=10, rescue_steps=4))
    history.reconcile([row("e2", "success", assisted=True), row("e1", discarded=True)])
    assert [t.episode_id for t in history.trials] == ["e0", "e2"]
    assert history.trials[1].success
    assert history.trials[1].rescue_steps == 4
    history.reconcile([row("e1")])
    assert [t.episode_id for t in history.trials] == ["e0", "e1", "e2"]


def test_a_history_learns_of_the_episodes_from_before_the_session_in_their_order():
    history = History()
    history.reconcile([row("new", "success"), row("old", "failure")])
    assert [(t.episode_id, t.success) for t in history.trials] == [("old", False), ("new", True)]
