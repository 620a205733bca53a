from __future__ import annotations

import errno
import os
import struct
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from robot_rl.core.clock import ManualClock
from robot_rl.core.errors import ConfigError, DependencyError, HardwareError
from robot_rl.core.protocol import OperatorEvent
from robot_rl.core.types import Observation
from robot_rl_hardware.operators.gamepad import Gamepad, GamepadConfig
from robot_rl_hardware.operators.gamepad_pygame import PygamePad
from robot_rl_hardware.operators.hand import HandOperator

NOTHING = Observation(stamp_ns=0, vectors={})
ALL = ("x", "y", "z", "rx", "ry", "rz", "gripper")
FIELDS: dict[str, Any] = {
    "path": "/dev/input/event7",
    "action": ALL,
    "axes": {"sign": [-1, -1, -1, 1, 1, -1], "dead_band": 0.0},
    "buttons": {"BTN_TR": "dead_man", "BTN_SOUTH": "success", "BTN_MODE": "stop"},
    "retry_s": 0.001,
}
STICKS = {"x": "ABS_Y", "y": "ABS_X", "z": "ABS_RY"}


def event(kind: int, code: int, value: int) -> bytes:
    """As the kernel sends it on a 64-bit machine."""
    return struct.pack("<qqHHi", 1_700_000_000, 123_456, kind, code, value)


SYN = event(0, 0, 0)
DROPPED = event(0, 3, 0)
TR, SOUTH, MODE = 0x137, 0x130, 0x13C
X, Y, RY = 0, 1, 4


class Evdev:
    """Stands in for the module: a gamepad whose event file is a pipe, read by evdev itself."""

    def __init__(self) -> None:
        evdev = pytest.importorskip("evdev")
        self.ecodes = evdev.ecodes
        self.absolute = {X: 128, Y: 128, RY: 0}
        self.ranges = {X: (0, 255), Y: (0, 255), RY: (-32768, 32767)}
        self.keys: list[int] = []
        self.open_error: OSError | None = None
        self.grabbed = False
        self.fd = -1
        self._writer = -1
        self._events = evdev.eventio.EventIO
        self._changed = threading.Condition()
        self._opened = self._read = self._reads = 0

    def send(self, *events: bytes) -> None:
        """Returns once the device's thread has taken all of it in."""
        self._write(b"".join(events))

    def unplug(self) -> None:
        """Returns once it is opened again."""
        opened = self._opened
        writer, self._writer = self._writer, -1
        os.close(writer)
        self.until(lambda: self._opened > opened)

    def until(self, true: Any) -> None:
        with self._changed:
            assert self._changed.wait_for(true, 20)

    def _write(self, data: bytes) -> None:
        self._read, count = 0, len(data) // 24
        os.write(self._writer, data)
        # The second poll after it proves that what came before was dealt with.
        self.until(lambda: self._read >= count)
        polls = self._reads
        os.write(self._writer, event(4, 4, 0))
        self.until(lambda: self._reads > polls)

    # What evdev.InputDevice does.

    def InputDevice(self, path: str) -> Evdev:
        if self.open_error:
            raise self.open_error
        assert path == FIELDS["path"]
        self.fd, self._writer = os.pipe()
        with self._changed:
            self._opened += 1
            self._changed.notify_all()
        return self

    def fileno(self) -> int:
        return self.fd

    def grab(self) -> None:
        self.grabbed = True

    def read(self) -> Iterator[Any]:
        events = list(self._events.read(self))  # type: ignore[arg-type]
        if not events:
            raise OSError(errno.ENODEV, "No such device")
        with self._changed:
            self._read += len(events)
            self._reads += 1
            self._changed.notify_all()
        return iter(events)

    def capabilities(self) -> Any:
        infos = [
            (code, SimpleNamespace(min=low, max=high)) for code, (low, high) in self.ranges.items()
        ]
        return {self.ecodes.EV_ABS: infos}

    def absinfo(self, code: int) -> Any:
        return SimpleNamespace(value=self.absolute[code])

    def active_keys(self) -> list[int]:
        return list(self.keys)

    def close(self) -> None:
        os.close(self.fd)
        if self._writer >= 0:
            os.close(self._writer)


def person(evdev: Evdev, clock: ManualClock, **changes: Any) -> HandOperator:
    c = GamepadConfig(**(FIELDS | {"sticks": STICKS} | changes))
    reader = Gamepad(c.path, c.sticks, tuple(c.buttons), alone=c.alone, evdev=evdev)
    return HandOperator(c, reader, clock)


def test_sticks_are_normalised_by_the_ranges_that_the_device_tells() -> None:
    evdev, clock = Evdev(), ManualClock(7)
    with person(evdev, clock) as operator:
        evdev.send(
            event(3, Y, 0), event(3, X, 255), event(3, RY, 16384), SYN, event(1, TR, 1), SYN
        )
        said = operator.poll(NOTHING)
        assert said.active
        assert said.heard_ns == 7
        assert said.action.tolist() == pytest.approx([1, -1, -0.5, 0, 0, 0, 1], abs=1e-4)
        evdev.send(event(1, TR, 0), SYN)
        assert not operator.poll(NOTHING).active


def test_what_is_not_yet_a_whole_report_is_waited_for() -> None:
    evdev = Evdev()
    with person(evdev, ManualClock()) as operator:
        evdev.send(event(1, SOUTH, 1))
        assert operator.poll(NOTHING).events == ()
        evdev.send(SYN)
        assert operator.poll(NOTHING).events == (OperatorEvent.SUCCESS,)


def test_short_presses_between_two_polls_are_all_told() -> None:
    evdev = Evdev()
    press = (event(1, SOUTH, 1), SYN, event(1, SOUTH, 0), SYN)
    with person(evdev, ManualClock()) as operator:
        # The kernel's repetition of a key is no press.
        evdev.send(*press, *press, event(1, MODE, 1), SYN, event(1, MODE, 2), SYN)
        success, stop = OperatorEvent.SUCCESS, OperatorEvent.STOP
        assert operator.poll(NOTHING).events == (success, success, stop)


def test_after_lost_events_the_device_is_asked_anew() -> None:
    evdev = Evdev()
    with person(evdev, ManualClock()) as operator:
        evdev.send(event(1, TR, 1), event(3, Y, 0), SYN)
        assert operator.poll(NOTHING).active
        # The release of the dead-man is among what was lost.
        evdev.send(DROPPED, event(3, Y, 3), SYN)
        assert not operator.poll(NOTHING).active


def test_what_is_held_when_it_is_opened_counts() -> None:
    evdev = Evdev()
    evdev.keys, evdev.absolute[Y] = [TR], 255
    with person(evdev, ManualClock()) as operator:
        evdev.send(SYN)
        said = operator.poll(NOTHING)
        assert said.active
        assert said.action[0] == -1


def test_one_that_was_unplugged_is_opened_again() -> None:
    evdev = Evdev()
    with person(evdev, ManualClock()) as operator:
        evdev.send(event(1, TR, 1), SYN)
        evdev.unplug()
        with pytest.raises(HardwareError, match=r"event7 is gone \(No such device\)"):
            operator.poll(NOTHING)
        evdev.send(SYN)
        assert not operator.poll(NOTHING).active


def test_a_pedal_is_a_gamepad_without_sticks_that_nobody_else_hears() -> None:
    evdev = Evdev()
    pedal = {"sticks": {}, "buttons": {"KEY_B": "dead_man"}, "alone": True, "action": ("x",)}
    with person(evdev, ManualClock(), **pedal) as operator:
        evdev.send(event(1, 48, 1), SYN)
        said = operator.poll(NOTHING)
        assert said.active
        assert said.action.tolist() == [0]
    assert evdev.grabbed


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sticks": {"x": "ABS_YY"}}, "no ABS_... named 'ABS_YY'; did you mean 'ABS_Y'"),
        ({"sticks": {"x": "BTN_TR"}}, "no ABS_... named 'BTN_TR'"),
        ({"sticks": {"x": "ABS_RX"}}, "event7 has no ABS_RX; `evtest"),
        ({"buttons": {"BTN_SOUHT": "dead_man"}}, "BTN_.* or KEY_.*; did you mean 'BTN_SOUTH'"),
    ],
)
def test_a_name_that_is_not_there_is_told(changes: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words), person(Evdev(), ManualClock(), **changes):
        pass


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PermissionError(13, "Permission denied"), "may not be read: install the udev rules"),
        (FileNotFoundError(2, "No such file"), r"no gamepad at .* is it plugged in\? `ls /dev"),
    ],
)
def test_what_cannot_be_opened_says_what_to_do(error: OSError, words: str) -> None:
    evdev = Evdev()
    evdev.open_error = error
    with pytest.raises(HardwareError, match=words), person(evdev, ManualClock()):
        pass


def test_without_a_device_the_real_driver_says_so() -> None:
    pytest.importorskip("evdev")
    config = GamepadConfig(**(FIELDS | {"path": "/dev/input/no-such-event"}))
    with pytest.raises(HardwareError, match="is it plugged in"), config.build():
        pass


@pytest.mark.parametrize("backend", ["evdev", "pygame"])
def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    monkeypatch.setitem(sys.modules, backend, None)
    with (
        pytest.raises(DependencyError, match=rf"needs {backend}.*pip install"),
        GamepadConfig(**(FIELDS | {"backend": backend})).build(),
    ):
        pass


class Pygame:
    """Stands in for the module: one gamepad of two axes and three buttons."""

    JOYDEVICEREMOVED, JOYAXISMOTION, JOYBUTTONDOWN, JOYBUTTONUP = 1, 2, 3, 4

    def __init__(self) -> None:
        self.display = SimpleNamespace(init=lambda: None, quit=lambda: None)
        self.joystick = SimpleNamespace(
            init=lambda: None, quit=lambda: None, get_count=lambda: 1, Joystick=lambda _: self
        )
        self.event = SimpleNamespace(get=self._get)
        self._queue: list[Any] = []

    def send(self, kind: int, pad: int = 5, **fields: Any) -> None:
        self._queue.append(SimpleNamespace(type=kind, instance_id=pad, **fields))

    def _get(self) -> list[Any]:
        queue, self._queue = self._queue, []
        return queue

    def get_name(self) -> str:
        return "Fine Pad"

    def get_instance_id(self) -> int:
        return 5

    def get_numaxes(self) -> int:
        return 2

    def get_numbuttons(self) -> int:
        return 3

    def get_axis(self, index: int) -> float:
        return 0.25 * index

    def get_button(self, index: int) -> bool:
        return index == 2


def test_pygame_says_the_same_by_its_own_names() -> None:
    pygame = Pygame()
    pad = PygamePad("Fine", {"x": "axis1", "rz": "axis0"}, pygame)
    pad.open()
    pygame.send(pygame.JOYAXISMOTION, axis=0, value=-1.0)
    pygame.send(pygame.JOYBUTTONDOWN, pad=6, button=1)
    pygame.send(pygame.JOYBUTTONDOWN, button=0)
    pygame.send(pygame.JOYBUTTONUP, button=2)
    news = pad.read()
    assert [held.down for held in news] == [{"button2"}, {"button0", "button2"}, {"button0"}]
    assert news[-1].axes == (0.25, 0, 0, 0, 0, -1.0)
    assert list(pad.read()) == []
    pygame.send(pygame.JOYDEVICEREMOVED)
    with pytest.raises(HardwareError, match="is gone"):
        pad.read()
    pad.close()


def test_pygame_says_what_is_not_there() -> None:
    with pytest.raises(HardwareError, match=r"no gamepad with 'Other'.*there are: 'Fine Pad'"):
        PygamePad("Other", {}, Pygame()).open()
    with pytest.raises(ConfigError, match="has no 'axis2'; valid: axis0, axis1"):
        PygamePad("", {"x": "axis2"}, Pygame()).open()


def test_without_a_device_the_real_pygame_says_so() -> None:
    pytest.importorskip("pygame")
    config = GamepadConfig(**(FIELDS | {"path": "no such pad", "backend": "pygame"}))
    with pytest.raises(HardwareError, match="no gamepad with 'no such pad'"), config.build():
        pass
