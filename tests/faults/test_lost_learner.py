"""The learner is killed or falls silent at any moment: the arm does not jump, nothing is lost."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from lone_actor import Act, Ledger, build, seconds
from patient_bench import PERIOD_S

from robot_rl.core.types import Source

Repeats = Callable[[int, int], int]
Report = Callable[..., None]

pytestmark = pytest.mark.timeout(300)
"""Each learner is a process that has to start first."""
TOLERANCE = 1e-3
SLACK_S = 2.0
"""What a loaded machine may add to any time."""


@pytest.fixture(autouse=True)
def _a_short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long a process that does not react is asked before it is killed."""
    monkeypatch.setattr("robot_rl.runtime.child_process._GRACE_S", 0.2)


def check_nothing_is_lost(act: Act) -> int:
    """Every step that was sent is in the store, and comes to the next learner once."""
    episodes = act.episodes()
    assert [len(e) for e in episodes] == [act.horizon] * len(episodes)
    assert len(act.bench.sent) == act.horizon * len(episodes)
    sent = [values for _, values in act.bench.sent]
    stored = [action * np.float32(0.04) for e in episodes for action in e.action]
    np.testing.assert_allclose(stored, sent, atol=1e-6)
    ledger = Ledger()
    worker = build(act.arguments, ledger)
    expected = [(e.episode_id, step) for e in episodes for step in range(act.horizon)]
    assert ledger.ids == expected
    assert worker.env_steps == len(sent)
    return len(sent)


def test_a_killed_learner_ends_the_run_with_the_episode_and_another_goes_on(
    folder: Path, repeats: Repeats, report: Report, caplog: pytest.LogCaptureFixture
) -> None:
    rng = np.random.default_rng(21)
    kills = repeats(2, 50)
    steps, worst, longest_s, resumed_s = 0, 0.0, 0.0, 0.0
    for number in range(kills):
        act = Act(folder / str(number), horizon=25)
        error, hit_ns = act.run(signal.SIGKILL, after_s=rng.uniform(0.0, 2.0))
        assert "has ended" in str(error)
        assert "resume the run" in str(error)
        assert "killed by SIGKILL" in str(error)
        # It acts on to the end of the episode that ran, and begins no other.
        acted_s = seconds(act.bench.sent[-1][0], hit_ns) if act.bench.sent else 0.0
        longest_s = max(longest_s, acted_s)
        assert acted_s < act.horizon * PERIOD_S + SLACK_S
        assert all((e.source == Source.POLICY).all() for e in act.episodes())
        steps += check_nothing_is_lost(act)
        worst = max(worst, act.excess())
        if number == 0:
            resumed_s = act.resume(updates=5, at_most_s=60.0)
            check_nothing_is_lost(act)
    assert "until the episode ends, then nobody drives" in caplog.text
    assert worst <= 1 + TOLERANCE
    report(
        "SIGKILL of the learner",
        count=kills,
        steps_lost=0,
        steps_applied_once=steps,
        acted_on_for_s_at_most=f"{longest_s:.2f}",
        learning_again_after_s=f"{resumed_s:.1f}",
        worst_of_acceleration_and_jerk=f"{worst:.4f} of its limit",
    )


def test_once_its_time_is_up_the_policy_drives_no_more_and_the_arm_comes_to_rest(
    folder: Path, repeats: Repeats, report: Report
) -> None:
    rng = np.random.default_rng(22)
    kills, finish_s = repeats(1, 20), 0.3
    worst, latest_s = 0.0, 0.0
    for number in range(kills):
        act = Act(folder / str(number), horizon=150, finish_s=finish_s)
        _, hit_ns = act.run(signal.SIGKILL, after_s=rng.uniform(0.2, 1.0))
        (episode,) = act.episodes()
        held = episode.source == Source.HOLD
        first = int(held.argmax())
        assert held[first:].all()
        assert not held[:first].any()
        until_s = seconds(act.bench.sent[first][0], hit_ns)
        latest_s = max(latest_s, until_s)
        assert finish_s <= until_s < finish_s + SLACK_S
        # From 2 rad/s at 20 rad/s^2: 5 periods, and as many for the jerk.
        assert not episode.action[first + 15 :].any()
        # What the policy would have done is told all the same.
        assert np.abs(episode.proposed_action[first:, 1]).min() == pytest.approx(0.9)
        check_nothing_is_lost(act)
        worst = max(worst, act.excess())
    assert worst <= 1 + TOLERANCE
    report(
        f"SIGKILL of the learner, {finish_s} s to go on",
        count=kills,
        held_after_s_at_most=f"{latest_s:.2f}",
        worst_of_acceleration_and_jerk=f"{worst:.4f} of its limit",
    )


def test_a_learner_that_falls_silent_is_found_in_time(
    folder: Path, repeats: Repeats, report: Report
) -> None:
    rng = np.random.default_rng(23)
    stops, silence_s = repeats(1, 25), 3.0
    latest_s, worst = 0.0, 0.0
    for number in range(stops):
        act = Act(folder / str(number), horizon=40, finish_s=0.0, silence_s=silence_s)
        error, hit_ns = act.run(signal.SIGSTOP, after_s=rng.uniform(0.0, 2.0))
        assert f"has said nothing for {silence_s:g} s" in str(error)
        assert "resume the run" in str(error)
        sources = np.concatenate([e.source for e in act.episodes()])
        held = np.flatnonzero(sources == Source.HOLD)
        # It may be found between two episodes: then nobody drives at all any more.
        last = held[0] if len(held) else len(sources) - 1
        found_s = seconds(act.bench.sent[last][0], hit_ns)
        latest_s = max(latest_s, found_s)
        assert found_s < silence_s + SLACK_S
        assert set(sources[last + 1 :].tolist()) <= {Source.HOLD}
        check_nothing_is_lost(act)
        worst = max(worst, act.excess())
    assert worst <= 1 + TOLERANCE
    report(
        "SIGSTOP of the learner",
        count=stops,
        limit_s=silence_s,
        found_after_s_at_most=f"{latest_s:.2f}",
        worst_of_acceleration_and_jerk=f"{worst:.4f} of its limit",
    )
