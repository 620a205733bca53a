"""What the verbs say and ask, and how numbers read. What they say is theirs."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.prompt import Confirm
from rich.table import Table
from rich.text import Text

from robot_rl.core.errors import ConfigError

INTERRUPTED = 130
"""Exit status of a command that somebody interrupted."""
PIPE_WIDTH = 240
"""Where no terminal says how wide it is, nothing is cut: another program may read it."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table; `right` for numbers."""

    name: str
    right: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """Where results go (`out`), and where errors, progress and questions go (`err`)."""

    out: Console
    err: Console

    @classmethod
    def standard(cls) -> Self:
        """Return the process's own output and error streams."""
        width = None if sys.stdout.isatty() else PIPE_WIDTH
        return cls(out=Console(width=width), err=Console(stderr=True))

    def say(self, text: str, style: str = "") -> None:
        """Print words as they are: brackets are no markup, a path is not broken at the edge."""
        self.out.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    def error(self, text: str, style: str = "red") -> None:
        """Print what went wrong."""
        self.err.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    def table(
        self, columns: Sequence[Column], rows: Sequence[Sequence[str]], title: str = ""
    ) -> None:
        """Print a table; a cell that is too wide goes on in the next line."""
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        for column in columns:
            justify = "right" if column.right else "left"
            table.add_column(column.name, justify=justify, overflow="fold", no_wrap=False)
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        if title:
            self.say(title, style="bold")
        self.out.print(table)

    @contextlib.contextmanager
    def progress(self, what: str) -> Iterator[Callable[[int, int], None]]:
        """Show a bar while something long runs; yields `advance(done, total)`."""
        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self.err,
            transient=True,
            disable=not self.err.is_terminal,
        )
        with bar:
            task = bar.add_task(what, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)

    def confirm(self, question: str) -> bool:
        """Ask a person; no is the default.

        Raises:
            ConfigError: if there is no person at a terminal.
        """
        if not sys.stdin.isatty():
            raise ConfigError(f"{question!r}: nobody is at the terminal to answer; say --yes")
        return Confirm.ask(Text(question), console=self.err, default=False)


def size_text(size: float) -> str:
    """Return bytes as 12 B, 3.4 kB, 5.6 MB or 7.8 GB (powers of ten, as disks are sold)."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5 or unit == "GB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "B" or size >= 99.95 else f"{size:.1f} {unit}"


def count_text(number: int, one: str, many: str = "") -> str:
    """Return `1 episode` or `3 episodes`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def number_text(value: float) -> str:
    """Return four significant digits, without a minus before a zero."""
    return f"{value:.4g}" if value else "0"
