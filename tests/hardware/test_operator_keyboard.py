from __future__ import annotations

import os
import pty
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from robot_rl.core.clock import ManualClock
from robot_rl.core.errors import HardwareError
from robot_rl.core.protocol import OperatorEvent, OperatorInput
from robot_rl.core.types import Observation
from robot_rl_hardware.operators.keyboard import KeyboardConfig
from robot_rl_hardware.operators.terminal_keys import Decoder, Keys

NOTHING = Observation(stamp_ns=0, vectors={})
LOADED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""The machine may be busy with something else."""
ALL = ("x", "y", "z", "rx", "ry", "rz", "gripper")
S = 1_000_000_000


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"\x1b[A\x1b[B\x1b[C\x1b[D", ["Up", "Down", "Right", "Left"]),
        (b"\x1bOA\x1bOD", ["Up", "Left"]),
        (b"\x1b[5~\x1b[6~", ["PageUp", "PageDown"]),
        (b"[]gG", ["[", "]", "g", "g"]),
        (b" \r\nsfxp", ["Space", "Enter", "Enter", "s", "f", "x", "p"]),
        # With a modifier, a function key, not ASCII: nothing.
        (b"\x1b[1;5A\x1bOP\x1b[15~\xc3\xa4s", ["s"]),
        # Escape, then keys; also as Alt sends it.
        (b"\x1b\x1b[A", ["Escape", "Up"]),
        (b"\x1bs", ["Escape", "s"]),
    ],
)
def test_bytes_become_keys(data: bytes, keys: list[str]) -> None:
    assert Decoder().take(data) == keys
    decoder, single = Decoder(), []
    for byte in data:
        single += decoder.take(bytes([byte]))
    assert single == keys


@pytest.mark.parametrize("data", [b"\x1b", b"\x1b[", b"\x1b[5"])
def test_an_escape_that_nothing_follows_is_the_key(data: bytes) -> None:
    decoder = Decoder()
    assert decoder.take(data) == []
    assert decoder.take(b"") == ["Escape"]
    assert decoder.take(b"\x1b[A") == ["Up"]


@LOADED
@given(st.lists(st.binary(max_size=40)))
def test_whatever_comes_the_decoder_ends(pieces: list[bytes]) -> None:
    decoder = Decoder()
    for piece in pieces:
        decoder.take(piece)
    decoder.take(b"")
    assert decoder.take(b"s") == ["s"]


def test_a_key_counts_as_held_while_it_is_repeated() -> None:
    keys = Keys(tap_s=0.1, repeat_s=0.2, again_s=0.7)
    keys.press("Up", 0)
    assert keys.held(S // 10 - 1).axes[0] == 1
    assert keys.held(S // 10).axes[0] == 0
    keys.press("Up", S // 2)
    assert keys.held(S // 2 + S // 5 - 1).axes[0] == 1
    assert keys.held(S // 2 + S // 5).axes[0] == 0


def test_keys_add_up_and_opposite_ones_cancel() -> None:
    keys = Keys(0.1, 0.1, 0.7)
    for key in ("Left", "PageDown", "]", "Up", "Down"):
        keys.press(key, 0)
    assert keys.held(1).axes == (0, 1, -1, 0, 0, -1)


class Terminal:
    """A pty: the test types at one end, the operator reads the other."""

    def __init__(self) -> None:
        self.master, self.slave = pty.openpty()
        self.path = os.ttyname(self.slave)

    def type(self, data: bytes) -> None:
        os.write(self.master, data)

    def hang_up(self) -> None:
        os.close(self.slave)
        os.close(self.master)
        self.master = -1


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    if terminal.master >= 0:
        terminal.hang_up()


def person(terminal: Terminal, clock: ManualClock, **changes: Any) -> Any:
    fields: dict[str, Any] = {"action": ALL, "terminal": terminal.path, "retry_s": 1000.0}
    return KeyboardConfig(**(fields | changes)).person(clock)


def wait(operator: Any, true: Callable[[OperatorInput], bool]) -> OperatorInput:
    end_s = time.monotonic() + 20
    while not true(said := operator.poll(NOTHING)):
        assert time.monotonic() < end_s
        time.sleep(0.002)
    return said


def test_a_held_arrow_drives_until_it_is_let_go(terminal: Terminal) -> None:
    clock = ManualClock(S)
    with person(terminal, clock) as operator:
        terminal.type(b"\x1b[A")
        said = wait(operator, lambda said: said.active)
        assert said.action.tolist() == [0.5, 0, 0, 0, 0, 0, 1]
        clock.advance_s(0.2)
        said = wait(operator, lambda said: not said.active)
        assert not said.action.any()
        assert said.heard_ns == clock.now_ns()


def test_commands_are_told_once_while_the_key_is_repeated(terminal: Terminal) -> None:
    clock = ManualClock(S)
    with person(terminal, clock) as operator:
        terminal.type(b"sss")
        said = wait(operator, lambda said: bool(said.events))
        assert said.events == (OperatorEvent.SUCCESS,)
        clock.advance_s(0.6)
        terminal.type(b"sp")
        said = wait(operator, lambda said: bool(said.events))
        assert said.events == (OperatorEvent.PAUSE,)


def test_all_commands_have_their_key(terminal: Terminal) -> None:
    with person(terminal, ManualClock(S)) as operator:
        terminal.type(b"f")
        wait(operator, lambda said: said.events == (OperatorEvent.FAILURE,))
        terminal.type(b"x")
        wait(operator, lambda said: said.events == (OperatorEvent.RE_RECORD,))
        terminal.type(b" ")
        wait(operator, lambda said: said.hold)
        terminal.type(b"\r")
        wait(operator, lambda said: said.give_back)
        terminal.type(b"\x1b")
        wait(operator, lambda said: said.events == (OperatorEvent.STOP,))
        terminal.type(b"g")
        assert wait(operator, lambda said: said.active).action[-1] == -1


def test_the_terminal_is_left_as_it_was(terminal: Terminal) -> None:
    before = termios.tcgetattr(terminal.slave)
    with person(terminal, ManualClock()):
        flags = termios.tcgetattr(terminal.slave)[3]
        assert not flags & (termios.ECHO | termios.ICANON)
        # Ctrl-C still works.
        assert flags & termios.ISIG
    assert termios.tcgetattr(terminal.slave) == before


def test_what_was_typed_before_counts_for_nothing(terminal: Terminal) -> None:
    terminal.type(b"\x1b[A\n")
    with person(terminal, ManualClock(S)) as operator:
        terminal.type(b"s")
        said = wait(operator, lambda said: bool(said.events))
        assert not said.active
        assert not said.give_back


def test_a_terminal_that_was_closed_is_told(terminal: Terminal) -> None:
    with person(terminal, ManualClock()) as operator:
        terminal.hang_up()
        with pytest.raises(HardwareError, match="the terminal is gone"):
            wait(operator, lambda said: False)
        assert not operator.poll(NOTHING).active


@pytest.mark.parametrize("path", ["no-such-terminal", "a-file"])
def test_what_is_no_terminal_says_what_to_do(tmp_path: Path, path: str) -> None:
    (tmp_path / "a-file").touch()
    config = KeyboardConfig(action=ALL, terminal=str(tmp_path / path))
    with pytest.raises(HardwareError, match="start from a terminal, over ssh"), config.build():
        pass
