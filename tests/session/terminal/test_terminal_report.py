"""What stands in the lines, and what rings."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from terminal_rig import full

from robot_rl.session.client.line import Status
from robot_rl.session.mode import Mode
from robot_rl.session.terminal.banner import banner
from robot_rl.session.terminal.confirmation import ConfirmKeys
from robot_rl.session.terminal.news import News
from robot_rl.session.terminal.report import Row, report
from robot_rl.session.view import CheckView, Notice, View

LIVE = Status(is_live=True, silent_s=0.0, words="")


def _report(shown: View, most: int, keys: ConfirmKeys | None = None) -> list[Row]:
    keys = keys or ConfirmKeys()
    keys.update(shown.checks)
    return report(shown, most, keys)


def _words(shown: View, most: int = 15) -> str:
    return "\n".join(words for _, words in _report(shown, most))


def test_force_gate_learner_data_and_rates_are_said_in_numbers():
    said = _words(full())
    assert "episode   e1: step 3 of 100, 0.3 s" in said
    assert "5.0 of 40 N [##..................]  torque 0.50 of 3.0 N m" in said
    assert "gate      force" in said
    assert "learning: 1204 updates, 21.5/s, weights 41 3.2 s old" in said
    assert "23 of 50 episodes (2 discarded), success 12 alone, 6 helped, room for 900" in said
    assert "last 20   success alone 60% (39-78), with help 30% (15-52), helped 35% (18-57)" in said


def test_before_the_start_what_is_left_to_do_comes_first():
    rows = [words for _, words in _report(full(Mode.PREFLIGHT), 12)]
    assert rows[1] == "checks    1 of 4 are good"
    assert rows[2:6] == [
        "BAD  force zero: 4.2 N at rest",
        "      Tare the sensor.",
        "ask  [1] emergency stop tried: press it once",
        "ask  [2] dead-man tried: let go once",
    ]
    assert "BAD" not in _words(full(Mode.AUTO))


def _asked(*names: str, done: Sequence[str] = ()) -> View:
    checks = [
        CheckView(name=name, state="good" if name in done else "ask", words="try it")
        for name in names
    ]
    return full(Mode.PREFLIGHT, checks=tuple(checks))


def _numbers(shown: View, keys: ConfirmKeys) -> dict[str, str]:
    """The key in brackets of each confirmation that is asked for, as it is shown."""
    words = [words for _, words in _report(shown, 30, keys)]
    found = [re.match(r"ask  \[(.)\] (\w+): ", line) for line in words]
    return {match[2]: match[1] for match in found if match}


def test_a_confirmation_keeps_its_number_when_others_are_given():
    keys = ConfirmKeys()
    names = ("stop", "deadman", "cable")
    assert _numbers(_asked(*names), keys) == {"stop": "1", "deadman": "2", "cable": "3"}
    assert _numbers(_asked(*names, done=["stop"]), keys) == {"deadman": "2", "cable": "3"}
    assert _numbers(_asked(*names, done=["stop", "cable"]), keys) == {"deadman": "2"}
    # The checks run anew: what was given stays given, and so do the numbers.
    assert _numbers(full(Mode.PREFLIGHT, checks=()), keys) == {}
    assert _numbers(_asked(*names, done=["stop"]), keys) == {"deadman": "2", "cable": "3"}


def test_another_run_numbers_from_one():
    keys = ConfirmKeys()
    _numbers(_asked("stop", "deadman"), keys)
    assert _numbers(_asked("tool", "light"), keys) == {"tool": "1", "light": "2"}


@given(st.data())
def test_every_confirmation_can_be_given_by_a_number_that_never_changes(data):
    names = [f"n{i}" for i in range(data.draw(st.integers(1, 25)))]
    keys, done, had = ConfirmKeys(), [], {}
    while len(done) < len(names):
        now = _numbers(_asked(*names, done=done), keys)
        assert len(set(now.values())) == len(now) > 0
        assert all(had.setdefault(name, key) == key for name, key in now.items())
        done.append(data.draw(st.sampled_from(sorted(now))))


@pytest.mark.parametrize("mode", Mode)
def test_no_mode_says_more_than_there_is_room_for(mode):
    assert len(_report(full(mode), 5)) <= 5
    assert _report(full(mode), 0) == []


def test_the_banner_says_who_drives_and_who_has_the_arm():
    shown = full(Mode.HUMAN, driver="Anna", holder="terminal-1", mode_s=75.0)
    mine = banner(shown, LIVE, "terminal-1")
    assert mine.head == "H U M A N   You drive"
    assert mine.age == "1:15"
    assert mine.holder == "driver: Anna | this terminal holds the arm"
    other = banner(shown, LIVE, "terminal-2")
    assert "Anna drives" in other.head
    assert other.holder.endswith("terminal-1 holds the arm")


def test_a_lost_line_hides_what_the_session_was_in():
    lost = banner(full(), Status(is_live=False, silent_s=3.0, words="trying again"), "")
    assert lost.mode == "lost"
    assert "A U T O" not in lost.head
    assert lost.why == "nothing heard from the session for 3 s; the keys do nothing. trying again"


def _notices(*sounds: str):
    return tuple(
        msgspec.convert(
            {"number": i, "level": "bad", "words": f"word {i}", "sound": sound}, Notice
        )
        for i, sound in enumerate(sounds, start=1)
    )


def test_stop_error_and_hold_ring_once_and_old_ones_never():
    news = News()
    assert news.take(full(notices=_notices("stop")), 1.0) == 0
    assert news.take(full(notices=_notices("stop", "hold", "saved", "error")), 2.0) == 2
    assert news.take(full(notices=_notices("stop", "hold", "saved", "error")), 3.0) == 0
    assert news.lines(2, 5.0) == [("bad", "!!  0:03  word 3"), ("bad", "!!  0:03  word 4")]


def test_another_run_begins_without_a_bell():
    news = News()
    news.take(full(notices=_notices("", "", "")), 1.0)
    assert news.take(full(run="other", notices=_notices("stop")), 2.0) == 0
    assert news.lines(1, 2.0) == [("bad", "!!  0:00  word 1")]
