"""A policy drives and nobody corrects: sensors, robot, policy; `record:=true` records too."""

from launch import LaunchDescription

from robot_rl_bringup.launching import description


def generate_launch_description() -> LaunchDescription:
    """Return what the plan of group `eval` says."""
    return description("eval")
