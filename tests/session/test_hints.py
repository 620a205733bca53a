from __future__ import annotations

from robot_rl.session.hints import MOST, hints_of
from robot_rl.session.history import Trial

PERIOD_S = 0.1


def trial(
    *,
    success: bool = True,
    steps: int = 100,
    rescue: int | None = None,
    first: int | None = None,
) -> Trial:
    return Trial(
        episode_id="e",
        success=success,
        assisted=rescue is not None,
        steps=steps,
        rescue_steps=rescue,
        first_human_step=first,
    )


ALONE = trial()
LOST = trial(success=False)
HELPED = trial(rescue=10, first=20)


def hints(*trials: Trial) -> tuple[str, ...]:
    return hints_of(trials, PERIOD_S)


def test_nothing_is_said_at_first_nor_of_good_corrections():
    assert hints() == ()
    assert hints(ALONE, HELPED) == ()


def test_two_failures_in_a_row_that_nobody_stepped_in_on_ask_for_more():
    assert hints(ALONE, LOST) == ()
    assert hints(LOST, trial(success=False, rescue=10, first=20)) == ()
    assert "without help" in hints(LOST, LOST)[0]


def test_stepping_in_in_the_last_fifth_is_late():
    assert hints(trial(rescue=5, first=79)) == ()
    assert "very end" in hints(trial(rescue=5, first=80))[0]


def test_a_rescue_of_more_than_two_fifths_of_the_episode_is_long():
    assert hints(trial(rescue=40, first=20)) == ()
    assert "at a stretch" in hints(trial(rescue=41, first=20))[0]


def test_a_rescue_of_more_than_ten_seconds_is_long_in_whatever_episode():
    assert hints(trial(steps=1000, rescue=100, first=20)) == ()
    assert "for 10 s" in hints(trial(steps=1000, rescue=101, first=20))[0]


def test_who_helps_as_often_as_before_while_the_policy_does_better_may_help_less():
    before = [HELPED] * 5 + [LOST, ALONE] + [LOST, ALONE, LOST]
    assert hints(*before, *([HELPED] * 5 + [ALONE] * 5))[-1].startswith("The policy does better")
    assert hints(*before, *([HELPED] * 4 + [ALONE] * 6)) == ()
    assert hints(*before, *([HELPED] * 5 + [LOST, ALONE] * 2 + [ALONE])) != ()
    assert hints(*before, *([HELPED] * 8 + [LOST, ALONE])) == ()


def test_there_are_never_more_than_three():
    late = trial(success=False, rescue=60, first=80)
    before = [HELPED] * 5 + [LOST] * 5
    found = hints(*before, *([ALONE] * 3 + [HELPED] * 6 + [late]))
    assert len(found) == MOST
    assert all(hint.endswith(".") for hint in found)
