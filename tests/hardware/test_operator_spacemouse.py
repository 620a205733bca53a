from __future__ import annotations

import os
import queue
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from robot_rl.core.clock import ManualClock
from robot_rl.core.errors import DependencyError, HardwareError
from robot_rl.core.protocol import OperatorEvent
from robot_rl.core.types import Observation
from robot_rl_hardware.operators.hand import HandOperator
from robot_rl_hardware.operators.spacemouse import SpaceMouse, SpaceMouseConfig
from robot_rl_hardware.operators.spacemouse_report import Reports

NOTHING = Observation(stamp_ns=0, vectors={})
ALL = ("x", "y", "z", "rx", "ry", "rz")

# As a SpaceMouse Compact sends them while it is pushed down and turned.
ROTATION = bytes.fromhex("02200000001700")
TRANSLATION = bytes.fromhex("0112000000f800")
REST = (bytes(7).replace(b"\0", b"\1", 1), bytes(7).replace(b"\0", b"\2", 1))


def entry(serial: str = "", path: bytes = b"/dev/hidraw7", **changes: Any) -> dict[str, Any]:
    fields = {"path": path, "serial_number": serial, "usage_page": 1, "usage": 8}
    return fields | {"maker": 0x256F} | changes


class Hid:
    """Stands in for the module of hidapi: what is plugged in, and what it sends."""

    def __init__(self, *plugged: dict[str, Any]) -> None:
        self.plugged = list(plugged)
        self.opened: list[bytes] = []
        self.open_error: OSError | None = None
        self._reports: queue.Queue[bytes | Exception] = queue.Queue()
        self._sent = self._given = self._heard = 0
        self._changed = threading.Condition()

    def send(self, *reports: bytes | Exception) -> None:
        """Returns once all of it was heard; after a failure, once it is opened again."""
        for report in reports:
            self._reports.put(report)
        self._sent += len(reports)
        self.until(lambda: self._heard >= self._sent)

    def until(self, true: Any) -> None:
        with self._changed:
            assert self._changed.wait_for(true, 20)

    def enumerate(self, maker: int, product: int) -> list[dict[str, Any]]:
        assert product == 0
        return [one for one in self.plugged if one["maker"] == maker]

    def device(self) -> Hid:
        return self

    def open_path(self, path: bytes) -> None:
        if self.open_error:
            raise self.open_error
        with self._changed:
            self.opened.append(path)
            self._heard = self._given
            self._changed.notify_all()

    def read(self, most: int, timeout_ms: int) -> list[int]:
        assert most >= 13
        assert 0 < timeout_ms <= 20
        with self._changed:
            self._heard = self._given
            self._changed.notify_all()
        try:
            report = self._reports.get(timeout=0.002)
        except queue.Empty:
            return []
        self._given += 1
        if isinstance(report, Exception):
            raise report
        return list(report)

    def close(self) -> None:
        pass


def held_by(*reports: bytes) -> Any:
    joined = Reports()
    for report in reports:
        joined.take(report)
    return joined.held


def test_two_short_reports_are_one_motion() -> None:
    # Pushed to the right by 0x12 and down by 0xf8; turned by 0x20 about x and by 0x17 about z.
    axes = held_by(ROTATION, TRANSLATION).axes
    expected = [0, -0x12, -0xF8, 0, -0x20, -0x17]
    assert [350 * axis for axis in axes] == pytest.approx(expected)


def test_one_long_report_is_a_whole_motion() -> None:
    # Right 1, back -2, down 3; about these axes 350, -350, -1.
    report = bytes.fromhex("010100feff03005e01a2feffff")
    axes = held_by(report).axes
    assert [350 * axis for axis in axes] == pytest.approx([2, -1, -3, 350, -350, 1])


def test_forward_left_up_and_the_turns_about_them_count_up() -> None:
    forward_left_up = bytes.fromhex("01a2fea2fea2fe")
    turned = bytes.fromhex("02a2fea2fea2fe")
    assert held_by(forward_left_up, turned).axes == (1.0,) * 6


def test_motion_and_buttons_do_not_disturb_each_other() -> None:
    held = held_by(bytes.fromhex("0301"), TRANSLATION, ROTATION)
    assert held.down == {"button0"}
    held = held_by(TRANSLATION, bytes.fromhex("03020000"))
    assert held.down == {"button1"}
    assert held.axes[2] == pytest.approx(-0xF8 / 350)
    assert held_by(bytes.fromhex("0300500000")).down == {"button12", "button14"}
    assert held_by(bytes.fromhex("0303"), bytes.fromhex("0300")).down == frozenset()


@pytest.mark.parametrize("report", ["", "01", "010203", "1764", "03", "0102030405060708"])
def test_other_reports_say_nothing_of_the_hand(report: str) -> None:
    reports = Reports()
    reports.take(TRANSLATION)
    before = reports.held
    assert not reports.take(bytes.fromhex(report))
    assert reports.held == before


def person(hid: Hid, clock: ManualClock, **changes: Any) -> HandOperator:
    fields: dict[str, Any] = {
        "action": ALL,
        "dead_man": "motion",
        "buttons": {"button0": "success", "button1": "give_back"},
        "retry_s": 0.001,
    }
    config = SpaceMouseConfig(**(fields | changes))
    return HandOperator(config, SpaceMouse(config.serial, hid), clock)


def test_touching_it_drives_and_letting_go_rests() -> None:
    hid, clock = Hid(entry("A")), ManualClock(1_000_000_000)
    with person(hid, clock) as operator:
        said = operator.poll(NOTHING)
        assert not said.active
        hid.send(TRANSLATION, ROTATION)
        said = operator.poll(NOTHING)
        assert said.active
        assert said.heard_ns == clock.now_ns()
        assert said.action.tolist() == pytest.approx(
            [0, 0, -(0xF8 / 350 - 0.1) / 0.9, 0, 0, 0], abs=1e-6
        )
        hid.send(*REST)
        assert not operator.poll(NOTHING).active
        hid.send(bytes.fromhex("0301"), bytes.fromhex("0300"), bytes.fromhex("0302"))
        said = operator.poll(NOTHING)
        assert said.events == (OperatorEvent.SUCCESS,)
        assert said.give_back


def test_one_that_is_pushed_and_out_of_reach_is_not_heard() -> None:
    hid, clock = Hid(entry("A")), ManualClock(1_000_000_000)
    with person(hid, clock) as operator:
        hid.send(TRANSLATION)
        clock.advance_s(0.2)
        # Of the battery: nothing of the hand.
        hid.send(bytes.fromhex("1764"))
        assert operator.poll(NOTHING).heard_ns == 1_000_000_000


def test_one_that_was_pulled_out_is_found_again_by_its_serial() -> None:
    hid, clock = Hid(entry("A")), ManualClock()
    with person(hid, clock) as operator:
        hid.plugged = [entry("B", b"/dev/hidraw1"), entry("A", b"/dev/hidraw9")]
        hid.send(TRANSLATION, OSError("read error"))
        with pytest.raises(HardwareError, match=r"gone \(read error\): is it still plugged in"):
            operator.poll(NOTHING)
        assert hid.opened == [b"/dev/hidraw7", b"/dev/hidraw9"]
        hid.send(*REST)
        assert not operator.poll(NOTHING).active


def refusal(hid: Hid, serial: str = "") -> str:
    with pytest.raises(HardwareError) as caught:
        SpaceMouse(serial, hid).open()
    return str(caught.value)


def test_what_cannot_be_opened_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert refusal(Hid()) == "no SpaceMouse is plugged in"
    keyboard = entry("K", usage=6)
    assert refusal(Hid(keyboard)) == "no SpaceMouse is plugged in"
    two = Hid(entry("B", b"1"), entry("A", b"2", maker=0x046D))
    assert "2 SpaceMice are plugged in, serials: A, B; expected one, or its serial" in refusal(two)
    assert refusal(two, "C") == "no SpaceMouse with serial 'C' is plugged in; there are: A, B"
    path = tmp_path / "hidraw7"
    path.touch()
    hid = Hid(entry("A", os.fsencode(path)))
    hid.open_error = OSError("open failed")
    assert "does not open: open failed" in refusal(hid)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "may not be read: install the udev rules of hardware/README.md" in refusal(hid)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hidraw", None)
    with pytest.raises(DependencyError, match=r"needs hidapi.*pip install"):
        SpaceMouse().open()


def test_without_a_device_the_real_driver_says_so() -> None:
    pytest.importorskip("hidraw")
    reader = SpaceMouse("no such serial")
    with pytest.raises(HardwareError, match="no SpaceMouse with serial"):
        reader.open()
    reader.close()
