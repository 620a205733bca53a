"""What is told once, seen and heard: notices, and every change of the mode with its reason."""

from __future__ import annotations

import itertools
import logging
from collections import deque
from dataclasses import dataclass
from typing import Literal

from robot_rl.core.clock import NS_PER_S, Clock
from robot_rl.session.mode import Mode
from robot_rl.session.view import Notice

_LOG = logging.getLogger(__name__)
_KEPT_CHANGES = 200
_KEPT_NOTICES = 20

Sound = Literal["", "take_over", "give_back", "saved", "hold", "stop", "error"]
_LEVELS: dict[str, int] = {"good": logging.INFO, "info": logging.INFO, "bad": logging.WARNING}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeChange:
    """The session went from one mode to another, by the clock of the control loop."""

    stamp_ns: int
    before: Mode
    after: Mode
    why: str


class Teller:
    """Keeps the newest notices and changes of mode. `tell` may be called from any thread.

    Args:
        clock: the control loop's own.
        person: name of who drives in HUMAN.
    """

    def __init__(self, clock: Clock, person: str) -> None:
        self._clock = clock
        self._person = person
        self._numbers = itertools.count(1)
        self._notices: deque[Notice] = deque(maxlen=_KEPT_NOTICES)
        self._changes: deque[ModeChange] = deque(maxlen=_KEPT_CHANGES)
        self._since_ns = clock.now_ns()
        self.mode = Mode.PREFLIGHT

    @property
    def notices(self) -> tuple[Notice, ...]:
        """The newest, oldest first."""
        return tuple(self._notices.copy())

    @property
    def changes(self) -> tuple[ModeChange, ...]:
        """The newest changes of the mode, oldest first."""
        return tuple(self._changes)

    @property
    def mode_s(self) -> float:
        """For how long the mode has been what it is."""
        return (self._clock.now_ns() - self._since_ns) / NS_PER_S

    def tell(
        self, level: Literal["good", "info", "bad"], words: str, sound: Sound = "", say: str = ""
    ) -> None:
        """Tell something once."""
        _LOG.log(_LEVELS[level], "%s", words)
        number = next(self._numbers)
        self._notices.append(Notice(number=number, level=level, words=words, sound=sound, say=say))

    def now_in(self, mode: Mode, why: str) -> bool:
        """Note the mode of now; return whether it is another than before."""
        before, now_ns = self.mode, self._clock.now_ns()
        if mode == before:
            return False
        self.mode, self._since_ns = mode, now_ns
        self._changes.append(ModeChange(stamp_ns=now_ns, before=before, after=mode, why=why))
        _LOG.info("%s -> %s: %s", before.name, mode.name, why or "-")
        if mode == Mode.STOP:
            self.tell("bad", f"Stopped: {why}", "stop", "Stop")
        elif mode == Mode.HOLD:
            self.tell("info", f"The arm is held: {why}", "hold", "Hold")
        elif mode == Mode.HUMAN:
            self.tell("info", f"{self._person} drives", "take_over", "You drive")
        elif mode == Mode.AUTO and before in (Mode.HUMAN, Mode.HOLD):
            self.tell("info", "The policy drives", "give_back", "The policy drives")
        return True
