"""The recorder."""

from launch import LaunchDescription

from robot_rl_bringup.launching import description


def generate_launch_description() -> LaunchDescription:
    """Return what the plan of group `record` says."""
    return description("record")
