"""`robot-rl ros VERB ...`: its verbs and its help."""

from __future__ import annotations

from robot_rl.app.verb_command import VerbCommand

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

main = VerbCommand(name="ros", verbs=VERBS, help=HELP)
"""Runs a verb."""
