"""The whole graph around a simulated robot; `record:=true` records too."""

from launch import LaunchDescription

from robot_rl_bringup.launching import description


def generate_launch_description() -> LaunchDescription:
    """Return what the plan of group `sim` says."""
    return description("sim")
