"""Gamepads where there is no evdev, by SDL (pygame-ce)."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from robot_rl.core.errors import ConfigError, HardwareError
from robot_rl_hardware.operators.axes import ELEMENTS, Element
from robot_rl_hardware.operators.listener import WAIT_S, Held
from robot_rl_hardware.package import needed

_PAUSE_S = 0.005


class PygamePad:
    """Implements `Reader`. One per process: SDL has one queue of events.

    Args:
        wanted: part of the gamepad's name; empty for the first.
        sticks: `axis0`, ... for each element.
        pygame: stands in for the module of that name.
    """

    name = "gamepad"
    repeats = False

    def __init__(self, wanted: str, sticks: Mapping[Element, str], pygame: Any = None) -> None:
        self._wanted, self._names, self._pygame = wanted, sticks, pygame
        self._pad: Any = None
        self._axes: dict[str, float] = {}
        self._down: frozenset[str] = frozenset()

    def open(self) -> None:
        """Find it by its name.

        Raises:
            DependencyError: naming the package that is missing.
            ConfigError: if the gamepad has no such axis.
            HardwareError: if it is not there.
        """
        # Events come to whoever has a window, if it were not for these.
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
        os.environ.setdefault("SDL_JOYSTICK_ALLOW_BACKGROUND_EVENTS", "1")
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        pygame = self._pygame = self._pygame or needed("pygame", "pygame-ce")
        pygame.display.init()
        pygame.joystick.init()
        pads = [pygame.joystick.Joystick(i) for i in range(pygame.joystick.get_count())]
        fitting = [pad for pad in pads if self._wanted in pad.get_name()]
        if not fitting:
            there = ", ".join(repr(pad.get_name()) for pad in pads) or "none"
            raise HardwareError(
                f"no gamepad with {self._wanted!r} in its name is plugged in; there are: {there}"
            )
        self._pad = fitting[0]
        valid = [f"axis{i}" for i in range(self._pad.get_numaxes())]
        for element, name in self._names.items():
            if name not in valid:
                raise ConfigError(
                    f"sticks: {element}: {self._pad.get_name()!r} has no {name!r}; valid: "
                    f"{', '.join(valid)}"
                )
        self._axes = {f"axis{i}": self._pad.get_axis(i) for i in range(len(valid))}
        held = range(self._pad.get_numbuttons())
        self._down = frozenset(f"button{i}" for i in held if self._pad.get_button(i))

    def read(self) -> Sequence[Held]:
        """Wait for the next events."""
        deadline_s = time.monotonic() + WAIT_S
        while True:
            news = [held for event in self._pygame.event.get() if (held := self._take(event))]
            if news or time.monotonic() >= deadline_s:
                return news
            time.sleep(_PAUSE_S)

    def close(self) -> None:
        """Let go of it."""
        if self._pygame is not None:
            self._pygame.joystick.quit()
            self._pygame.display.quit()
        self._pad = None

    def _take(self, event: Any) -> Held | None:
        pygame = self._pygame
        if getattr(event, "instance_id", None) != self._pad.get_instance_id():
            return None
        if event.type == pygame.JOYDEVICEREMOVED:
            raise HardwareError("the gamepad is gone: is it still plugged in?")
        if event.type == pygame.JOYAXISMOTION:
            self._axes[f"axis{event.axis}"] = event.value
        elif event.type == pygame.JOYBUTTONDOWN:
            self._down |= {f"button{event.button}"}
        elif event.type == pygame.JOYBUTTONUP:
            self._down -= {f"button{event.button}"}
        else:
            return None
        axes = tuple(self._axes[self._names[e]] if e in self._names else 0.0 for e in ELEMENTS)
        return Held(axes, self._down)
