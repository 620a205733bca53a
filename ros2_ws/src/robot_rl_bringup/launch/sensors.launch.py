"""Cameras, force/torque sensor and tactile fingers."""

from launch import LaunchDescription

from robot_rl_bringup.launching import description


def generate_launch_description() -> LaunchDescription:
    """Return what the plan of group `sensors` says."""
    return description("sensors")
