"""`robot-rl data VERB ...`: finds the verb, parses its words, and reports errors.

A verb is a frozen dataclass whose fields are its arguments and whose `run` does the work; it is
loaded by import path, with nothing but what it needs itself.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import sys
from collections.abc import Sequence
from typing import Protocol, cast

import tyro

from robot_rl.app.terminal import Terminal
from robot_rl.core.errors import RobotRlError, did_you_mean

INTERRUPTED = 130

VERBS = {
    "ls": ("robot_rl.app.data.listing:Ls", "list the episodes of a store"),
    "show": ("robot_rl.app.data.show:Show", "make a page of one episode: curves, video, limits"),
    "stats": ("robot_rl.app.data.stats:Stats", "ranges, success, interventions, gate"),
    "doctor": ("robot_rl.app.data.doctor:Doctor", "find what is wrong, and repair it"),
    "labels": ("robot_rl.app.data.relabel:Labels", "list what was said of an episode afterwards"),
    "relabel": ("robot_rl.app.data.relabel:Relabel", "judge episodes, or compute another reward"),
    "delete": ("robot_rl.app.data.upkeep:Delete", "put episodes away; undo brings them back"),
    "undo": ("robot_rl.app.data.upkeep:Undo", "take back the last delete or label"),
    "purge": ("robot_rl.app.data.upkeep:Purge", "remove deleted episodes for good"),
    "export": ("robot_rl.app.data.exporting:Export", "write a LeRobot data set or MCAP files"),
    "import": (
        "robot_rl.app.data.importing:Import",
        "make a store from LeRobot, robomimic, MCAP or rosbag2",
    ),
}
"""What follows `robot-rl data`: import path, and a line of help."""

HELP = """\
Look at, repair, label and exchange stored episodes.

usage: robot-rl data VERB ...

{verbs}

A STORE is a folder of episodes, such as runs/NAME/demos or runs/NAME/online.
`robot-rl data VERB --help` says more. For example:
  robot-rl data ls runs/NAME
  robot-rl data show runs/NAME/online EPISODE
  robot-rl data export runs/NAME/demos plug_in --format lerobot"""


class Verb(Protocol):
    """A verb with its arguments parsed."""

    def run(self, terminal: Terminal) -> int:
        """Do it and return the exit status."""
        ...


def main(words: Sequence[str], terminal: Terminal | None = None) -> int:
    """Run the verb `words[0]` with the rest as its arguments.

    Returns:
        The exit status: 0, 1 on an error, 130 if interrupted.
    """
    terminal = terminal or Terminal.standard()
    if not words or words[0] in ("-h", "--help", "help"):
        terminal.say(help_text())
        return 0
    if words[0] not in VERBS:
        terminal.error(f"robot-rl data: unknown verb {words[0]!r}{did_you_mean(words[0], VERBS)}")
        return 1
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    verb = _parse(words[0], words[1:])
    try:
        return verb.run(terminal)
    except KeyboardInterrupt:
        terminal.error("interrupted", style="yellow")
        return INTERRUPTED
    except (RobotRlError, OSError) as error:
        terminal.error(f"robot-rl data {words[0]}: {type(error).__name__}: {error}")
        return 1


def help_text() -> str:
    """Return what `robot-rl data --help` says."""
    lines = [f"  {name:<8} {line}" for name, (_, line) in VERBS.items()]
    return HELP.format(verbs="\n".join(lines))


def _parse(name: str, words: Sequence[str]) -> Verb:
    module, class_name = VERBS[name][0].split(":")
    verb = getattr(importlib.import_module(module), class_name)
    return cast(
        Verb,
        tyro.cli(
            verb,
            args=words,
            prog=f"robot-rl data {name}",
            # The whole of it: tyro leaves the examples out.
            description=inspect.getdoc(verb),
            config=(
                tyro.conf.FlagCreatePairsOff,
                tyro.conf.PositionalMetavarFromFieldName,
                tyro.conf.DisallowNone,
            ),
        ),
    )
