"""The four parts of the screen: banner, report, news and keys. Colours only repeat the words."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from robot_rl.session.client.line import Status
from robot_rl.session.terminal.banner import banner
from robot_rl.session.terminal.confirmation import ConfirmKeys
from robot_rl.session.terminal.key import HELP, STOP_KEY, legal_keys
from robot_rl.session.terminal.news import News
from robot_rl.session.terminal.report import report
from robot_rl.session.view import View

_NEWS = 3
_WHY = 2
_INDENT = 10
_STYLES = {"good": "$text-success", "bad": "bold $text-error", "soft": "dim"}


class Face(Vertical):
    """All that is shown but questions; fits 80 columns and 24 lines."""

    DEFAULT_CSS: ClassVar[str] = """
    Face Static { padding: 0 1; }
    #banner { height: 4; text-style: bold; }
    #report { height: 1fr; }
    #news { height: 3; }
    #keys { height: auto; max-height: 4; text-style: bold; }
    .preflight, .paused { background: #4d5863; color: #ffffff; }
    .ready { background: #00694f; color: #ffffff; }
    .resetting { background: #56b4e9; color: #06131c; }
    .auto { background: #0067a3; color: #ffffff; }
    .human { background: #e69f00; color: #1b1200; }
    .hold { background: #b8c2cc; color: #10161b; }
    .stop { background: #b3122a; color: #ffffff; }
    .review { background: #8a4a73; color: #ffffff; }
    .learning { background: #5b4b8a; color: #ffffff; }
    .lost { background: #000000; color: #ffd166; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._shown: dict[str, Content] = {}
        names = ("banner", "report", "news", "keys")
        self._parts = {name: Static(id=name, markup=False) for name in names}

    def compose(self) -> ComposeResult:
        """Make the parts, from top to bottom."""
        yield from self._parts.values()

    def show(
        self,
        view: View | None,
        status: Status,
        client: str,
        news: News,
        now_s: float,
        confirm_keys: ConfirmKeys,
    ) -> None:
        """Show how all stands; `client` is this terminal's own name."""
        # Before it is all there, and while it is taken down.
        if not all(part.is_mounted and part.is_attached for part in self._parts.values()):
            return
        width = max(8, self.size.width - 2)
        self._show_banner(view, status, client, width)
        room = self._parts["report"].size.height
        rows = report(view, room, confirm_keys) if view else []
        self._put("report", _broken(rows, width, room))
        told = news.lines(_NEWS, now_s)
        self._put("news", [(level, _cut(words, width)) for level, words in told])
        keys = legal_keys(view.legal) if view and status.is_live else [(STOP_KEY, "STOP")]
        # What belongs together is not broken at the edge.
        said = [f"{key} {words}".replace(" ", "\N{NO-BREAK SPACE}") for key, words in keys]
        lines = textwrap.wrap("  ".join([*said, f"{HELP}\N{NO-BREAK SPACE}keys"]), width)
        self._put("keys", [("", line) for line in lines])

    def _show_banner(self, view: View | None, status: Status, client: str, width: int) -> None:
        top = banner(view, status, client)
        head = f"{_cut(top.head, width - len(top.age) - 1):<{width - len(top.age)}}{top.age}"
        why = [*textwrap.wrap(top.why, width, max_lines=_WHY, placeholder=" ..."), *[""] * _WHY]
        self._parts["banner"].set_classes(top.mode)
        lines = [head, *why[:_WHY], _cut(top.holder, width)]
        self._put("banner", [("", line) for line in lines])

    def _put(self, name: str, lines: Sequence[tuple[str, str]]) -> None:
        pieces = [(f"{words}\n", _STYLES.get(weight, "")) for weight, words in lines]
        content = Content.assemble(*pieces).rstrip()
        # What is the same is not sent again: the line may be slow.
        if self._shown.get(name) != content:
            self._shown[name] = content
            self._parts[name].update(content)


def _broken(rows: Sequence[tuple[str, str]], width: int, room: int) -> list[tuple[str, str]]:
    """Break long lines where there is room for all of them, else cut them."""
    lines: list[tuple[str, str]] = []
    for weight, words in rows:
        broken = textwrap.wrap(words, width, subsequent_indent=" " * _INDENT)
        lines += [(weight, line) for line in broken]
    if len(lines) <= room:
        return lines
    return [(weight, _cut(words, width)) for weight, words in rows]


def _cut(words: str, width: int) -> str:
    return words if len(words) <= width else f"{words[: max(0, width - 3)]}..."
