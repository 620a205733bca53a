from __future__ import annotations

import math
import time
from pathlib import Path

import pytest

pytest.importorskip("simplejpeg", reason="needs the session extra")
pytest.importorskip("websockets", reason="needs the session extra")
import page
import page_attack
import page_browser
from page_browser import Seen
from page_figures import (
    Ticks,
    apart,
    key_claims,
    key_rows,
    presses,
    stream_claims,
    tab_claims,
    tab_rows,
    tick_claims,
    work_ms,
)
from page_helper import Helper
from page_peer import BITS, BLOCK, mark
from page_stream import HEIGHT, WIDTH, scenes

from robot_rl.core.errors import ContractError
from robot_rl.session.page.message import decode

MS = 1_000_000


def ticks(*lengths_ms: float, missed: int = 0) -> Ticks:
    """A block of ticks after each of which the loop slept until 5 ms before the next."""
    at, checked = 0.0, [0]
    for length in lengths_ms:
        at += length
        checked.append(round(at * MS))
    made = Ticks()
    told = {"woke_ns": checked[:-1], "slept_ns": [c - 5 * MS for c in checked[1:]]}
    made.add({"checked_ns": checked, "missed": missed, **told})
    return made


def test_tick_is_from_one_command_to_the_next_within_a_block() -> None:
    made = ticks(100.0, 103.0)
    made.add({"checked_ns": [0, 98 * MS], "woke_ns": [], "slept_ns": [], "missed": 1})
    assert made.ticks_ms == [100.0, 103.0, 98.0]
    assert made.work_ms == [95.0, 98.0]
    assert made.missed == 1
    row, work = made.rows("alone", 0.5)
    assert (row["median"], row["max"], row["missed"]) == (100.0, 103.0, 1)
    assert work["median"] == 96.5


def test_work_that_has_not_ended_yet_does_not_count() -> None:
    assert work_ms([10 * MS, 40 * MS], [5 * MS, 30 * MS]) == [20.0]


def test_page_may_cost_less_than_two_percent_and_attackers_no_tick() -> None:
    alone, seen, attacked = ticks(*[100.0] * 9), ticks(*[101.9] * 9), ticks(*[104.0] * 9, missed=1)
    page_claim, attack_claim, missed_claim = tick_claims(alone, seen, attacked)
    assert page_claim.value == pytest.approx(1.9)
    assert page_claim.holds
    assert attack_claim.value == pytest.approx(2.0608, abs=1e-4)
    assert not attack_claim.holds
    assert not missed_claim.holds
    assert not tick_claims(Ticks(), seen, seen)[0].holds


def test_key_is_followed_to_the_gate_through_all_its_stamps() -> None:
    seen = Seen(keys=[1000.0, 2000.0, 3000.0], words=[1002.0, 1052.0, 2004.0, 3001.0])
    told = {
        # The second key's word is heard twice; the third one's comes to the desk and no further.
        "motions_ms": [(1003.0, 1004.0), (2006.0, 2009.0), (2056.0, 2057.0), (3002.0, 3003.0)],
        "human_ms": [1054.0, 1154.0, 2019.0],
    }
    found, lost = presses(seen, told)
    assert [(p.page, p.server, p.desk, p.tick) for p in found] == [(2, 1, 1, 50), (4, 2, 3, 10)]
    assert lost == 1
    rows = {row["name"]: row for row in key_rows(found, lost)}
    assert rows["key to gate"]["median"] == 36.5
    assert rows["key to gate"]["lost"] == 1
    assert rows["key to gate: wait for the tick"]["share"] == pytest.approx(60 / 73)
    assert [claim.holds for claim in key_claims(found, lost)] == [True, False]


def test_keys_that_nobody_pressed_hold_no_claim() -> None:
    found, lost = presses(Seen(), {"motions_ms": [], "human_ms": []})
    assert math.isnan(key_rows(found, lost)[0]["median"])
    assert not key_claims(found, lost)[0].holds


def test_tabs_are_compared_at_the_same_instants() -> None:
    first = [[1, 0.0], [2, 100.0], [3, 200.0], [4, 300.0]]
    second = [[1, 20.0], [3, 210.0], [4, 310.0]]
    # From 20 ms to 300 ms: both show 1, then 2 and 1, then 3 and 1, and last both 3.
    assert apart([first, second], every_ms=60.0) == [0, 0, 1, 2, 0]
    assert apart([first, []]) == []
    both = [Seen(views=first, painted=[[0, 0, 1, 2, 30]] * 6), Seen(views=second)]
    (claim,) = tab_claims(both)
    assert not claim.holds
    rows = {row["name"]: row for row in tab_rows(both, 0.3)}
    assert rows["2 tabs: frames a second"]["each"] == [20.0, 0.0]
    assert rows["2 tabs: capture to paint"]["median"] == 30


def test_pictures_are_claimed_beside_their_targets_and_the_peer() -> None:
    claims = stream_claims([19.0, 18.0], [40.0, 50.0, 60.0], [40.0])
    assert [claim.holds for claim in claims] == [False, True, False]
    assert not stream_claims([30.0], [10.0], [])[2].holds


def test_number_of_a_picture_is_read_back_where_it_was_written() -> None:
    picture = scenes()[0]
    assert picture.shape == (HEIGHT, WIDTH, 3)
    mark(picture, 0b1010_0000_0000_0101)
    row = picture[BLOCK // 2, BLOCK // 2 : BITS * BLOCK : BLOCK, 0]
    assert sum(1 << bit for bit, value in enumerate(row) if value > 127) == 0b1010_0000_0000_0101


@pytest.mark.parametrize("junk", [j for j in page_attack.MALFORMED if isinstance(j, str)])
def test_malformed_messages_are_malformed(junk: str) -> None:
    with pytest.raises(ContractError):
        decode(junk)


def test_helper_answers_tells_of_errors_and_of_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "adder.py").write_text(
        "import os, page_helper\n"
        "def main():\n"
        "    does = {'add': lambda a, b: a + b, 'fail': lambda: [][0]}\n"
        "    page_helper.answer_lines({**does, 'end': lambda: os._exit(3)})\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    began_s = time.monotonic()
    with Helper("adder", tmp_path) as helper:
        assert helper.ask("add", 2, 3) == 5
        with pytest.raises(RuntimeError, match="adder: fail: IndexError"):
            helper.ask("fail")
        with pytest.raises(RuntimeError, match="adder: end: has ended"):
            helper.ask("end")
    assert time.monotonic() - began_s < 10


def test_absent_browser_is_told_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(page_browser, "PACKAGES", ())
    monkeypatch.setattr(page_browser.shutil, "which", lambda name: None)
    assert page.main(page.Options(quick=True)) == 1
    assert "DependencyError: no program chromium" in capsys.readouterr().err


def test_absent_package_is_told_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(page_browser, "PACKAGES", ("no_such_package",))
    assert page.main(page.Options(quick=True)) == 1
    assert "no Python package no_such_package" in capsys.readouterr().err


@pytest.mark.sim
@pytest.mark.render
def test_the_loop_that_is_measured_turns_with_a_page_and_without(tmp_path: Path) -> None:
    with Helper("page_loop", tmp_path) as loop:
        loop.ask("begin")
        time.sleep(1.0)
        without = loop.ask("told")
        url = loop.ask("open page")
        assert url.startswith("http://127.0.0.1")
        loop.ask("begin")
        time.sleep(1.0)
        with_page = loop.ask("told")
        loop.ask("close page")
    for told in (without, with_page):
        assert len(told["checked_ns"]) >= 5
        assert told["stands"].startswith("hold")
