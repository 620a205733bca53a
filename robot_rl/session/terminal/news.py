"""What is to be seen and heard once: the session's notices, and what became of a wish."""

from __future__ import annotations

from collections import deque
from typing import Literal

from robot_rl.session.terminal.clock_text import clock_text
from robot_rl.session.view import View

Level = Literal["good", "info", "bad"]
BELLS = frozenset({"stop", "error", "hold"})
"""Sounds of notices that ring the terminal's bell; it has no other."""

_MOST = 20
_MARKS: dict[Level, str] = {"good": "ok", "info": "--", "bad": "!!"}


class News:
    """The newest messages. What was told before this terminal came is shown without a bell."""

    def __init__(self) -> None:
        self._messages: deque[tuple[float, Level, str]] = deque(maxlen=_MOST)
        self._heard: int | None = None
        self._run = ""

    def take(self, view: View, now_s: float) -> int:
        """Take what is new in a view; return how many of it ring the bell."""
        newest = view.notices[-1].number if view.notices else 0
        is_old = self._heard is None or self._run != view.run or newest < self._heard
        heard = 0 if self._heard is None or is_old else self._heard
        bells = 0
        for notice in view.notices:
            if notice.number > heard:
                self.say(notice.level, notice.words, now_s)
                bells += notice.sound in BELLS and not is_old
        self._heard, self._run = newest, view.run
        return bells

    def say(self, level: Level, words: str, now_s: float) -> None:
        """Add a message of this terminal's own."""
        self._messages.append((now_s, level, words))

    def lines(self, most: int, now_s: float) -> list[tuple[Level, str]]:
        """Return the newest messages, each with its age, the newest last."""
        newest = list(self._messages)[-most:] if most > 0 else []
        return [
            (level, f"{_MARKS[level]} {clock_text(now_s - then_s):>5}  {words}")
            for then_s, level, words in newest
        ]
