"""The arm, or a simulated one in its place, its interface and the command gate."""

from launch import LaunchDescription

from robot_rl_bringup.launching import description


def generate_launch_description() -> LaunchDescription:
    """Return what the plan of group `robot` says."""
    return description("robot")
