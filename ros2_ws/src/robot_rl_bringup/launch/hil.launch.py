"""A correction session: a policy drives, a person takes over at any instant, all is recorded.

Starts sensors, robot, gate, policy bridge, reward, episode manager, a person's device and the
recorder: what is recorded is a store of episodes that `robot-rl` trains on afterwards, and
`policy/load` lets the improved policy drive from the next plan on. With `train` a run takes the
place of policy and recorder and learns meanwhile; with `person` they sit at its page.
"""

from launch import LaunchDescription

from robot_rl_bringup.launching import description


def generate_launch_description() -> LaunchDescription:
    """Return what the plan of group `hil` says."""
    return description("hil")
