"""`robot-rl COMMAND VERB ...`: finds the verb, parses its words, and reports errors.

A verb is a frozen dataclass whose fields are its arguments and whose `run` does the work; it is
loaded by import path, with nothing but what it needs itself.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import tyro

from robot_rl.app.terminal import INTERRUPTED, Terminal
from robot_rl.core.errors import RobotRlError, did_you_mean


class Verb(Protocol):
    """A verb with its arguments parsed."""

    def run(self, terminal: Terminal) -> int:
        """Do it and return the exit status."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class VerbCommand:
    """A command of `robot-rl` that has verbs.

    Args:
        name: what follows `robot-rl`.
        verbs: of each, its import path and a line of help.
        help: with `{verbs}` where their lines belong.
    """

    name: str
    verbs: Mapping[str, tuple[str, str]]
    help: str

    def __call__(self, words: Sequence[str], terminal: Terminal | None = None) -> int:
        """Run the verb `words[0]` with the rest as its arguments.

        Returns:
            The exit status: 0, 1 on an error, 130 if interrupted.
        """
        terminal = terminal or Terminal.standard()
        if not words or words[0] in ("-h", "--help", "help"):
            terminal.say(self.help_text())
            return 0
        name, prog = words[0], f"robot-rl {self.name}"
        if name not in self.verbs:
            terminal.error(f"{prog}: unknown verb {name!r}{did_you_mean(name, self.verbs)}")
            return 1
        logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
        verb = self._parse(name, words[1:])
        try:
            return verb.run(terminal)
        except KeyboardInterrupt:
            terminal.error("interrupted", style="yellow")
            return INTERRUPTED
        except (RobotRlError, OSError) as error:
            terminal.error(f"{prog} {name}: {type(error).__name__}: {error}")
            return 1

    def help_text(self) -> str:
        """Return what `--help` says."""
        width = max(map(len, self.verbs)) + 1
        lines = [f"  {name:<{width}} {line}" for name, (_, line) in self.verbs.items()]
        return self.help.format(verbs="\n".join(lines))

    def _parse(self, name: str, words: Sequence[str]) -> Verb:
        module, class_name = self.verbs[name][0].split(":")
        verb = getattr(importlib.import_module(module), class_name)
        return cast(
            Verb,
            tyro.cli(
                verb,
                args=words,
                prog=f"robot-rl {self.name} {name}",
                # The whole of it: tyro leaves the examples out.
                description=inspect.getdoc(verb),
                config=(
                    tyro.conf.FlagCreatePairsOff,
                    tyro.conf.PositionalMetavarFromFieldName,
                    tyro.conf.DisallowNone,
                ),
            ),
        )
