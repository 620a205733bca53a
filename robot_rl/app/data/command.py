"""`robot-rl data VERB ...`: its verbs and its help."""

from __future__ import annotations

from robot_rl.app.verb_command import VerbCommand

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

main = VerbCommand(name="data", verbs=VERBS, help=HELP)
"""Runs a verb."""
