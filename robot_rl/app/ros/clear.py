"""`robot-rl ros clear`: shows why the gate has stopped, asks, and clears it in a person's name."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from robot_rl.app.terminal import Terminal
from robot_rl.core.errors import ConfigError, DependencyError

_CLIENT = "robot_rl_nodes.gate.caller"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clear:
    """Clear the gate's stop, in the name of a person who has looked at the arm.

    Shows the cause and asks. Where nobody can be asked, --cause names the cause that was read.

    Examples:
      robot-rl ros clear fr3 --by anna
      robot-rl ros clear fr3 --by anna --cause "the gate has started"
    """

    namespace: Annotated[str, tyro.conf.Positional]
    """Of the graph, e.g. fr3."""

    by: str
    """Name of the person."""

    cause: str = ""
    """The cause that the person has read; then nothing is asked."""

    timeout_s: float = 10.0
    """How long to wait for the gate."""

    discovery: str = "localhost"
    """localhost, or subnet where the gate is on another machine."""

    def run(self, terminal: Terminal) -> int:
        """Show, ask, clear."""
        with _client()(self.namespace, self.timeout_s, self.discovery) as gate:
            safety = gate.safety()
            terminal.say(f"{safety.state}: {safety.cause}")
            if not safety.latched:
                terminal.say("nothing to clear")
                return 0
            if not self.cause and not sys.stdin.isatty():
                raise ConfigError(
                    "nobody is at the terminal to be asked; who has read the cause names it: "
                    f"--cause {safety.cause!r}"
                )
            if not self.cause and not terminal.confirm(
                "Have you looked at the arm, and may it move again?"
            ):
                terminal.say("not cleared")
                return 1
            terminal.say(gate.clear(self.by, self.cause or safety.cause))
        return 0


def _client() -> Any:
    """Loaded by name: the library knows no ROS."""
    for module, remedy in (
        ("rclpy", "install the extra `robot_rl[ros]`, or source a ROS 2 installation"),
        ("robot_rl_msgs", "build it with `make ros`"),
        ("robot_rl_nodes", "install robot_rl from its repository, or source ros2_ws"),
    ):
        if importlib.util.find_spec(module) is None:
            raise DependencyError(f"no Python package {module}: {remedy}")
    return importlib.import_module(_CLIENT).GateCaller
