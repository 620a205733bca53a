"""`robot-rl ros VERB ...`: finds the verb, parses its words, and reports errors.

A verb is a frozen dataclass whose fields are its arguments and whose `run` does the work; it is
loaded by import path.
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
    "up": ("robot_rl.app.ros.up:Up", "start a cell's graph of nodes, and end it in order"),
    "plan": ("robot_rl.app.ros.show:Show", "print what would be started, with which parameters"),
    "clear": ("robot_rl.app.ros.clear:Clear", "clear the gate's stop, in a person's name"),
}
"""What follows `robot-rl ros`: import path, and a line of help."""

HELP = """\
A cell's graph of ROS 2 nodes, with and without `ros2 launch`.

usage: robot-rl ros VERB ...

{verbs}

`robot-rl ros VERB --help` says more. For example:
  robot-rl ros plan configs/ros/sim_fr3.yaml --group eval
  robot-rl ros up configs/ros/sim_fr3.yaml
  robot-rl ros clear fr3 --by anna"""


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
        terminal.error(f"robot-rl ros: unknown verb {words[0]!r}{did_you_mean(words[0], VERBS)}")
        return 1
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    verb = _parse(words[0], words[1:])
    try:
        return verb.run(terminal)
    except KeyboardInterrupt:
        terminal.error("interrupted", style="yellow")
        return INTERRUPTED
    except (RobotRlError, OSError) as error:
        terminal.error(f"robot-rl ros {words[0]}: {type(error).__name__}: {error}")
        return 1


def help_text() -> str:
    """Return what `robot-rl ros --help` says."""
    lines = [f"  {name:<6} {line}" for name, (_, line) in VERBS.items()]
    return HELP.format(verbs="\n".join(lines))


def _parse(name: str, words: Sequence[str]) -> Verb:
    module, class_name = VERBS[name][0].split(":")
    verb = getattr(importlib.import_module(module), class_name)
    return cast(
        Verb,
        tyro.cli(
            verb,
            args=words,
            prog=f"robot-rl ros {name}",
            # The whole of it: tyro leaves the examples out.
            description=inspect.getdoc(verb),
            config=(
                tyro.conf.FlagCreatePairsOff,
                tyro.conf.PositionalMetavarFromFieldName,
                tyro.conf.DisallowNone,
            ),
        ),
    )
