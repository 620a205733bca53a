import io
import logging
import math

import pytest
from rich.console import Console

from robot_rl.app.progress import RunProgress, RunStatus, duration
from robot_rl.core.clock import ManualClock
from robot_rl.runtime.events import (
    EpisodeEnded,
    Evaluated,
    GateEvent,
    LearnerMetrics,
    PhaseEnded,
    PhaseProgress,
    PhaseStarted,
)

STARTED = PhaseStarted(phase="improve", total=100, unit="episodes")
EVALUATED = Evaluated(
    env_steps_total=900,
    base_success=0.7,
    improved_success=0.95,
    episodes=40,
    lower_bound=0.118,
    deployed="improved",
    deployed_version=3,
)


def episode(*, success: bool = True, human_steps: int = 0, total: int = 0) -> EpisodeEnded:
    return EpisodeEnded(
        phase="improve",
        episode_id="e",
        seed=0,
        success=success,
        assisted=human_steps > 0,
        steps=50,
        human_steps=human_steps,
        env_steps_total=total,
        max_force_n=1.0,
        mean_force_n=1.0,
        gate_refused=0,
        gate_holds=0,
        wall_s=1.0,
    )


def on_terminal(clock: ManualClock) -> tuple[RunProgress, io.StringIO]:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100, color_system=None)
    return RunProgress(console, clock), out


def off_terminal(clock: ManualClock) -> RunProgress:
    return RunProgress(Console(file=io.StringIO(), force_terminal=False), clock)


def test_success_counts_only_unassisted_episodes_of_the_last_twenty():
    status = RunStatus(ManualClock())
    for _ in range(30):
        status.apply(episode(success=False))
    for _ in range(5):
        status.apply(episode(human_steps=10))
    for _ in range(10):
        status.apply(episode())
    assert status.success == pytest.approx(10 / 20)
    assert status.intervention_rate == pytest.approx(5 * 10 / (20 * 50))


def test_time_left_follows_the_pace_so_far():
    clock = ManualClock()
    status = RunStatus(clock)
    status.apply(STARTED)
    assert math.isnan(status.left_s)
    clock.advance_s(30.0)
    status.apply(PhaseProgress(phase="improve", done=25))
    assert status.left_s == pytest.approx(90.0)


def test_a_new_phase_starts_its_figures_anew_but_keeps_the_deployed_policy():
    status = RunStatus(ManualClock())
    status.apply(episode(total=700))
    status.apply(EVALUATED)
    status.apply(PhaseStarted(phase="evaluate", total=50, unit="episodes"))
    assert math.isnan(status.success)
    assert status.figures() == [
        ("env steps", "700"),
        ("deployed", "improved v3 (gain over base at least +12 points)"),
    ]


def test_the_live_display_shows_every_figure():
    clock = ManualClock()
    progress, out = on_terminal(clock)
    with progress:
        progress(STARTED)
        clock.advance_s(30.0)
        progress(episode(human_steps=5, total=12345))
        progress(PhaseProgress(phase="improve", done=25))
        progress(LearnerMetrics(env_steps_total=1, updates_total=9, updates_per_s=87.4, values={}))
        progress(EVALUATED)
        progress(GateEvent(reason="FORCE"))
        progress(PhaseEnded(phase="improve"))
    shown = out.getvalue()
    for text in (
        "improve",
        "25/100 episodes",
        "0 % of last 1, unassisted",
        "10 % of steps",
        "12,345",
        "87/s",
        "improved v3",
        "gate events",
        "1 min 30 s",
        "ended after 30 s",
    ):
        assert text in shown


def test_without_a_terminal_it_logs_every_ten_seconds_and_at_phase_ends(
    caplog: pytest.LogCaptureFixture,
):
    caplog.set_level(logging.INFO)
    clock = ManualClock()
    with off_terminal(clock) as progress:
        progress(STARTED)
        for done in range(1, 26):
            clock.advance_s(1.0)
            progress(PhaseProgress(phase="improve", done=done))
        progress(PhaseEnded(phase="improve"))
    assert [record.message for record in caplog.records] == [
        "improve: 10/100 episodes  left 1 min 30 s",
        "improve: 20/100 episodes  left 1 min 20 s",
        "improve: ended after 25 s",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(41.6, "42 s"), (185, "3 min 05 s"), (7620, "2 h 07 min"), (59.9, "1 min 00 s")],
)
def test_durations_read_as_a_person_says_them(seconds: float, text: str):
    assert duration(seconds) == text
