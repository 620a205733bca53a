"""Gamepads, and foot pedals and other things with buttons, by the kernel's evdev.

They report changes alone: of a stick that is held still nothing is heard. The sign of life is the
kernel's: an event file that can still be asked is there, one that was unplugged cannot. A wireless
gamepad may be out of reach for seconds before its driver says so: let the dead-man of one that can
hurt be on a cable.
"""

from __future__ import annotations

import difflib
import select
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from robot_rl.core.errors import ConfigError, HardwareError
from robot_rl.core.protocol import Clocked
from robot_rl_hardware.operators.axes import ELEMENTS, Element
from robot_rl_hardware.operators.clock import machine_clock
from robot_rl_hardware.operators.gamepad_pygame import PygamePad
from robot_rl_hardware.operators.hand import HandConfig, HandOperator
from robot_rl_hardware.operators.listener import WAIT_S, Held
from robot_rl_hardware.package import needed

_RULE = (
    "install the udev rules of hardware/README.md (or join the group `input`), then plug it in "
    "again"
)


class GamepadConfig(HandConfig):
    """A gamepad, or a pedal that has no sticks. Sticks count to the right and down.

    Args:
        path: of the event file, best of those in /dev/input/by-id, which stay the same; for
            `pygame` a part of the gamepad's name.
        sticks: the stick's axis for each element of motion: `ABS_Y`, or `axis1` for `pygame`.
        backend: `pygame` where there is no evdev; its buttons are `button0`, ....
        alone: nobody else hears the device, such as a desktop that takes a pedal for a keyboard.
    """

    path: str
    sticks: Mapping[Element, str] = Field(default_factory=lambda: dict[Element, str]())
    backend: Literal["evdev", "pygame"] = "evdev"
    alone: bool = False

    def build(self, at: Clocked | None = None) -> HandOperator:
        """Return the person who holds it, the device not yet open.

        Args:
            at: the bench that it is held at; without it this machine's clock counts.

        Raises:
            ConfigError: if the bench's clock is not the machine's.
        """
        if self.backend == "pygame":
            reader = PygamePad(self.path, self.sticks)
        else:
            reader = Gamepad(self.path, self.sticks, tuple(self.buttons), alone=self.alone)
        return HandOperator(self, reader, machine_clock(at))


class Gamepad:
    """Implements `Reader`.

    Args:
        path: of the event file.
        sticks: evdev's name of the axis for each element.
        buttons: evdev's names of the buttons that mean something.
        alone: nobody else hears the device.
        evdev: stands in for the module of that name.
    """

    name = "gamepad"
    repeats = False

    def __init__(
        self,
        path: str,
        sticks: Mapping[Element, str],
        buttons: Sequence[str],
        *,
        alone: bool = False,
        evdev: Any = None,
    ) -> None:
        self._path, self._alone, self._evdev = path, alone, evdev
        self._stick_names, self._button_names = sticks, buttons
        self._device: Any = None
        self._sticks: dict[Element, int] = {}
        self._buttons: dict[int, str] = {}
        self._ranges: dict[int, tuple[int, int]] = {}
        self._first: tuple[Held, ...] = ()
        self._values: dict[int, int] = {}
        self._down: set[int] = set()
        self._missed = False

    def open(self) -> None:
        """Open the event file and ask how everything stands.

        Raises:
            DependencyError: naming the package that is missing.
            ConfigError: naming the axis or button that evdev or the device does not know.
            HardwareError: if it is not there, or may not be read.
        """
        self._evdev = self._evdev or needed("evdev", "evdev")
        self._sticks = {e: self._code(name, "ABS_") for e, name in self._stick_names.items()}
        self._buttons = {self._code(name, "BTN_", "KEY_"): name for name in self._button_names}
        try:
            self._device = self._evdev.InputDevice(self._path)
            if self._alone:
                self._device.grab()
        except PermissionError as error:
            raise HardwareError(f"{self._path} may not be read: {_RULE}") from error
        except OSError as error:
            raise HardwareError(
                f"no gamepad at {self._path} ({error.strerror}): is it plugged in? "
                "`ls /dev/input/by-id` lists what is"
            ) from error
        self._check_sticks()
        self._missed = False
        self._ask()
        self._first = (self._held(),)

    def read(self) -> Sequence[Held]:
        """Wait for the next events; those that belong together count as one report."""
        news, self._first = self._first, ()
        if news:
            return news
        try:
            poll = select.poll()
            poll.register(self._device.fd, select.POLLIN)
            if not poll.poll(WAIT_S * 1e3):
                return ()
            return [held for event in self._device.read() if (held := self._take(event))]
        except OSError as error:
            raise HardwareError(
                f"the gamepad at {self._path} is gone ({error.strerror}): is it still plugged in?"
            ) from error

    def close(self) -> None:
        """Let go of it."""
        if self._device is not None:
            self._device.close()
            self._device = None

    def _take(self, event: Any) -> Held | None:
        codes = self._evdev.ecodes
        if event.type == codes.EV_SYN:
            return self._end_of_report(event.code)
        if self._missed:
            return None
        if event.type == codes.EV_ABS:
            self._values[event.code] = event.value
        elif event.type == codes.EV_KEY and event.value == 1:
            self._down.add(event.code)
        elif event.type == codes.EV_KEY and event.value == 0:
            self._down.discard(event.code)
        return None

    def _end_of_report(self, code: int) -> Held | None:
        codes = self._evdev.ecodes
        if code == codes.SYN_DROPPED:
            # Events were lost; what follows up to the report's end is part of nothing.
            self._missed = True
            return None
        if code != codes.SYN_REPORT:
            return None
        if self._missed:
            self._missed = False
            self._ask()
        return self._held()

    def _ask(self) -> None:
        """Take over how everything stands now."""
        self._values = {c: self._device.absinfo(c).value for c in self._sticks.values()}
        self._down = set(self._device.active_keys())

    def _held(self) -> Held:
        pushed: dict[str, float] = {e: self._pushed(code) for e, code in self._sticks.items()}
        axes = tuple(pushed.get(element, 0.0) for element in ELEMENTS)
        down = frozenset(name for code, name in self._buttons.items() if code in self._down)
        return Held(axes, down)

    def _pushed(self, code: int) -> float:
        low, high = self._ranges[code]
        return (2.0 * self._values[code] - low - high) / (high - low)

    def _check_sticks(self) -> None:
        infos = dict(self._device.capabilities().get(self._evdev.ecodes.EV_ABS, ()))
        self._ranges = {}
        for name, code in zip(self._stick_names.values(), self._sticks.values(), strict=True):
            if code not in infos or infos[code].max <= infos[code].min:
                raise ConfigError(
                    f"sticks: the gamepad at {self._path} has no {name}; "
                    f"`evtest {self._path}` lists what it has"
                )
            self._ranges[code] = (infos[code].min, infos[code].max)

    def _code(self, name: str, *prefixes: str) -> int:
        valid: dict[str, int] = {
            known: code
            for known, code in self._evdev.ecodes.ecodes.items()
            if known.startswith(prefixes)
        }
        if name not in valid:
            close = difflib.get_close_matches(name, valid, n=1)
            meant = f"; did you mean {close[0]!r}?" if close else ""
            raise ConfigError(f"evdev knows no {' or '.join(prefixes)}... named {name!r}{meant}")
        return valid[name]
