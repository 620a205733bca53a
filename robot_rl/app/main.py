"""The `robot-rl` entry point: hands the words to the command that they name.

Each command is loaded by its import path when it is asked for, so that looking at data does not
wait for torch. What the commands do is in `cli` and `data/`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence

from robot_rl.app.terminal import Terminal
from robot_rl.core.errors import did_you_mean

RUN = "robot_rl.app.cli:main"
"""Takes the verb as its first word; every phase of a run is one."""

COMMANDS = {
    "run": (RUN, "all phases of a run, from demonstrations to the report"),
    "collect": (RUN, "record demonstrations"),
    "imitate": (RUN, "train the base policy on them"),
    "improve": (RUN, "improve it on the robot"),
    "evaluate": (RUN, "compare base and improved policy from matched starts"),
    "session": (
        "robot_rl.app.session:main",
        "improve it while a person corrects it, at a page",
    ),
    "data": ("robot_rl.app.data.command:main", "look at, repair, label and exchange episodes"),
    "serve": ("robot_rl.app.serve:main", "serve base policies over a websocket"),
    "gate": ("robot_rl.runtime.gate.process:main", "guard a cell's arm in a process of its own"),
    "ros": ("robot_rl.app.ros.command:main", "a cell's graph of ROS 2 nodes"),
    "driver": ("robot_rl.runtime.gate.driver.process:main", "hold a robot for the gate"),
}
"""What follows `robot-rl`: import path, and a line of help."""

HELP = """\
From a handful of demonstrations to a policy that does not fail.

usage: robot-rl COMMAND ...

{commands}

`robot-rl COMMAND --help` says more. For example:
  robot-rl run configs/runs/peg_insert.yaml
  robot-rl data ls runs/peg_insert-20261121-101500-seed0"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0, 1 on an error, 130 if interrupted."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help", "help"):
        Terminal.standard().say(help_text())
        return 0
    if words[0] in COMMANDS and COMMANDS[words[0]][0] != RUN:
        return _load(COMMANDS[words[0]][0])(words[1:])
    # Options may stand before the verb: then it is for the run's own parser to find it.
    if words[0] not in COMMANDS and not words[0].startswith("-"):
        unknown = f"unknown command {words[0]!r}{did_you_mean(words[0], COMMANDS)}"
        Terminal.standard().error(f"robot-rl: {unknown}")
        return 1
    return _load(RUN)(words)


def help_text() -> str:
    """Return what `robot-rl --help` says."""
    lines = [f"  {name:<9} {line}" for name, (_, line) in COMMANDS.items()]
    return HELP.format(commands="\n".join(lines))


def _load(path: str) -> Callable[[Sequence[str]], int]:
    module, name = path.split(":")
    return getattr(importlib.import_module(module), name)


if __name__ == "__main__":
    raise SystemExit(main())
