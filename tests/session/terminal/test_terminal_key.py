"""Which key asks for what, and whether it counts as held."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from terminal_rig import full

import robot_rl.session.page
from robot_rl.core.errors import ConfigError
from robot_rl.session.client.address import Address
from robot_rl.session.mode import LEGAL, Mode, Verb
from robot_rl.session.terminal.drive import Drive
from robot_rl.session.terminal.held import AGAIN_S, FIRST_S, REPEAT_S, HeldKey
from robot_rl.session.terminal.key import MOVES, PAGE_ASKS, key_of, legal_keys, verb_of

_PAGE_KEYS = Path(robot_rl.session.page.__file__).parent / "static" / "keys.js"
_NAMES = {"arrowup": "up", "arrowdown": "down", "arrowleft": "left", "arrowright": "right"}


def _table(name: str) -> str:
    found = re.search(rf"{name} = {{(.*?)\n}};", _PAGE_KEYS.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def _named(key: str) -> str:
    return {" ": "space"}.get(key, _NAMES.get(key.lower(), key.lower()))


def test_the_keys_are_those_of_the_page():
    rows = re.findall(r'^  "?(.+?)"?: \{ (\w+): (-?\d) \},', _table("MOVES"), re.MULTILINE)
    moves = {_named(key): (element, float(sign)) for key, element, sign in rows}
    assert moves == dict(MOVES)
    rows = re.findall(r'^  "?(.+?)"?: \[(.*?)\],', _table("ASKS"), re.MULTILINE)
    asks = {_named(key): tuple(Verb(v) for v in re.findall(r"\w+", verbs)) for key, verbs in rows}
    assert asks == dict(PAGE_ASKS)


@pytest.mark.parametrize("mode", Mode)
def test_each_legal_verb_has_one_key_of_its_own(mode):
    keys = legal_keys(tuple(sorted(LEGAL[mode])))
    assert len(keys) == len(LEGAL[mode]) == len({key for key, _ in keys})
    assert keys[0] == ("Esc", "STOP")


def test_a_key_asks_for_the_first_verb_that_is_legal():
    assert verb_of("p", [Verb.RESUME, Verb.PAUSE]) == Verb.PAUSE
    assert verb_of("p", [Verb.RESUME]) == Verb.RESUME
    assert verb_of("p", [Verb.STOP]) is None


def test_letters_count_large_and_small_but_a_stop_is_cleared_by_a_large_one():
    assert key_of("upper_s", "S") == "s"
    assert key_of("upper_c", "C") == "C"
    assert key_of("c", "c") == "c"
    assert key_of("left_square_bracket", "[") == "["
    assert key_of("space", " ") == "space"
    assert key_of("enter", "\r") == "enter"


def test_a_press_counts_until_its_first_repeat_and_then_briefly():
    key = HeldKey()
    key.press("up", 10.0)
    assert key.is_held(10.0 + FIRST_S - 0.01)
    assert not key.is_held(10.0 + FIRST_S)
    key.press("up", 10.5)
    key.press("up", 10.53)
    assert key.is_held(10.53 + REPEAT_S - 0.01)
    assert not key.is_held(10.53 + REPEAT_S)


def test_what_was_let_go_of_must_be_pressed_anew():
    key = HeldKey()
    key.press("up", 1.0)
    key.release()
    key.press("up", 1.5)
    key.press("up", 1.53)
    assert not key.is_held(1.54)
    key.press("up", 1.53 + AGAIN_S)
    assert key.is_held(1.54 + AGAIN_S)


def test_another_key_takes_the_place_of_the_first():
    now_s = 0.0
    drive = Drive(lambda: now_s)
    drive.update(full(), is_live=True)
    drive.press("up", now_s)
    assert drive.motion() == (True, (0.5, 0.0, 0.0, 1.0))
    drive.press("right", now_s)
    assert drive.motion() == (True, (0.0, -0.5, 0.0, 1.0))
    now_s = FIRST_S
    assert drive.motion() == (False, (0.0, 0.0, 0.0, 0.0))


def test_nothing_moves_without_a_view_or_where_taking_over_is_not_legal():
    drive = Drive(lambda: 0.0)
    drive.press("up", 0.0)
    assert drive.motion() == (False, ())
    drive.update(full(), is_live=False)
    drive.press("up", 0.0)
    assert not drive.is_active
    # Held all the while: it begins to move nothing by itself.
    drive.update(full(), is_live=True)
    drive.press("up", 0.03)
    assert not drive.is_active
    drive.update(full(Mode.REVIEW), is_live=True)
    drive.press("down", 0.06)
    assert not drive.is_active


def test_a_tap_on_the_gripper_is_told_for_a_while():
    now_s = 0.0
    drive = Drive(lambda: now_s)
    drive.update(full(), is_live=True)
    drive.toggle_gripper()
    assert drive.motion() == (True, (0.0, 0.0, 0.0, -1.0))
    now_s = 0.5
    assert not drive.is_active


def test_an_address_is_read_with_its_token_and_shows_none():
    address = Address.parse("http://127.0.0.1:8400/#token=a%2Bb\n")
    assert (address.place, address.token) == ("127.0.0.1:8400", "a+b")
    assert address.websocket == "ws://127.0.0.1:8400/ws"
    assert "a+b" not in repr(address)
    assert Address.parse("https://[::1]/#token=x").websocket == "wss://[::1]:443/ws"


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:8400", "http://127.0.0.1:8400/", "http://x:y/#token=secret", "ws://h"]
)
def test_an_address_that_is_none_is_refused_without_quoting_it(url):
    with pytest.raises(ConfigError, match="expected what the session printed") as refused:
        Address.parse(url)
    assert "secret" not in str(refused.value)
