"""Policy bridge, reward and episode manager."""

from launch import LaunchDescription

from robot_rl_bringup.launching import description


def generate_launch_description() -> LaunchDescription:
    """Return what the plan of group `policy` says."""
    return description("policy")
