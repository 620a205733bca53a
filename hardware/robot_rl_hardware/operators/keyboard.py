"""The keyboard of a terminal, also over ssh. Needs no package and no permission.

Its sign of life is that the terminal can be asked. A terminal whose connection hangs repeats no
key, so that motion ends all the same.
"""

from __future__ import annotations

import os
import select
import termios
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from robot_rl.config.model import Config
from robot_rl.core.clock import Clock
from robot_rl.core.errors import HardwareError
from robot_rl.core.protocol import Clocked
from robot_rl_hardware.operators.axes import AxesConfig, Element
from robot_rl_hardware.operators.clock import machine_clock
from robot_rl_hardware.operators.hand import HandConfig, HandOperator
from robot_rl_hardware.operators.listener import REST, WAIT_S, Held
from robot_rl_hardware.operators.terminal_keys import COMMANDS, Decoder, Keys

_MOST_BYTES = 1024


class KeyboardConfig(Config):
    """Arrows move forward, back, left and right, PageUp and PageDown up and down, [ and ] turn.

    g gripper, Space take over and hold, Enter give back, s success, f failure, x record again,
    p pause, Escape stop. A key that is held drives, and takes over.

    Args:
        action: elements of the task's action, in its order; `gripper` last if it has one.
        speed: normalised, while a key is held.
        frame: `base`, or `tool`: along the axes of the tool.
        tap_s: a key that comes once moves for so long.
        repeat_s: one that is repeated moves for so long after each time; longer than the
            terminal's time between two repetitions, and no longer than the arm may go on once
            the key is let go.
        again_s: longer than the terminal waits before it repeats a key.
        open_above_m, retry_s: as of other devices.
        terminal: that is read.
    """

    action: tuple[Element | Literal["gripper"], ...] = Field(min_length=1)
    speed: float = Field(default=0.5, gt=0, le=1)
    frame: Literal["base", "tool"] = "base"
    tap_s: float = Field(default=0.12, gt=0, le=0.5)
    repeat_s: float = Field(default=0.12, gt=0, le=0.5)
    again_s: float = Field(default=0.7, gt=0, le=2)
    open_above_m: float | None = Field(default=None, gt=0)
    retry_s: float = Field(default=0.5, gt=0)
    terminal: str = "/dev/tty"

    def build(self, at: Clocked | None = None) -> HandOperator:
        """Return the person at the terminal, which is not yet touched.

        Args:
            at: the bench that the person sits at; without it this machine's clock counts.

        Raises:
            ConfigError: if the bench's clock is not the machine's.
        """
        return self.person(machine_clock(at))

    def person(self, clock: Clock) -> HandOperator:
        """Return the person at the terminal, by this clock."""
        s = self.speed
        hand = HandConfig(
            action=self.action,
            axes=AxesConfig(dead_band=0.0, scale=(s, s, s, s, s, s), frame=self.frame),
            buttons=COMMANDS,
            dead_man="motion",
            open_above_m=self.open_above_m,
            retry_s=self.retry_s,
        )
        keys = Keys(self.tap_s, self.repeat_s, self.again_s)
        return HandOperator(hand, Keyboard(self.terminal, keys, clock), clock)


class Keyboard:
    """Implements `Reader`. Line editing and echo are off while it is open; Ctrl-C works.

    Args:
        terminal: its path.
        keys: for how long one counts as held.
        clock: monotonic.
    """

    name = "keyboard"
    repeats = False

    def __init__(self, terminal: str, keys: Keys, clock: Clock) -> None:
        self._terminal, self._keys, self._clock = terminal, keys, clock
        self._decoder = Decoder()
        self._held = REST
        self._fd: int | None = None
        self._before: list[Any] = []

    def open(self) -> None:
        """Ask the terminal for each key as it comes.

        Raises:
            HardwareError: if there is no terminal.
        """
        try:
            self._fd = os.open(self._terminal, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            self._before = termios.tcgetattr(self._fd)
            raw = termios.tcgetattr(self._fd)
            raw[3] &= ~(termios.ICANON | termios.ECHO)
            termios.tcsetattr(self._fd, termios.TCSANOW, raw)
            # What was typed before was meant for somebody else.
            termios.tcflush(self._fd, termios.TCIFLUSH)
        except (OSError, termios.error) as error:
            raise HardwareError(
                f"{self._terminal} is no terminal whose keys can be read ({error}): start from a "
                "terminal, over ssh with `ssh -t`"
            ) from error
        self._decoder = Decoder()

    def read(self) -> Sequence[Held]:
        """Wait for the next keys, or for the end of those that are held."""
        assert self._fd is not None
        keys = self._decoder.take(self._bytes(self._fd))
        now_ns = self._clock.now_ns()
        news: list[Held] = []
        for key in keys:
            self._keys.press(key, now_ns)
            news.append(self._keys.held(now_ns))
        held = self._keys.held(now_ns)
        changed, self._held = held != self._held, held
        return news or ([held] if changed else [])

    def close(self) -> None:
        """Leave the terminal as it was."""
        fd, self._fd = self._fd, None
        if fd is None:
            return
        try:
            if self._before:
                termios.tcsetattr(fd, termios.TCSANOW, self._before)
        except termios.error:
            # It is gone: there is nothing to leave in order.
            pass
        finally:
            os.close(fd)

    def _bytes(self, fd: int) -> bytes:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        if not poll.poll(WAIT_S * 1e3):
            return b""
        try:
            data = os.read(fd, _MOST_BYTES)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise HardwareError(f"the terminal is gone: {error.strerror}") from error
        if not data:
            raise HardwareError("the terminal is gone: it was closed")
        return data
