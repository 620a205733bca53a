"""Variables that every process of a graph is started with: how DDS finds and carries."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from robot_rl.app.ros.argument import Arguments
from robot_rl.core.errors import ConfigError, DependencyError

PROFILE = Path("config/dds/fastdds_shm.xml")
"""Of robot_rl_bringup: shared memory of 16 MB, so that no image is lost."""


def environment(arguments: Arguments) -> Mapping[str, str]:
    """Return the variables.

    Raises:
        ConfigError: if the named profile does not exist.
        DependencyError: if the profile that comes with robot_rl is not to be found.
    """
    given = {"ROS_AUTOMATIC_DISCOVERY_RANGE": arguments.discovery.upper()}
    if arguments.dds_profile == "none":
        return given
    profile = str(_profile(arguments.dds_profile))
    # The second is the name that Fast DDS before 2.12 knows; both are read.
    return given | {
        "FASTDDS_DEFAULT_PROFILES_FILE": profile,
        "FASTRTPS_DEFAULT_PROFILES_FILE": profile,
    }


def _profile(name: str) -> Path:
    if name == "shm":
        for folder in _shares():
            if (folder / PROFILE).is_file():
                return (folder / PROFILE).resolve()
        raise DependencyError(
            f"the DDS profile {PROFILE} of robot_rl_bringup is not to be found: install or source "
            "ros2_ws (see ros2_ws/README.md), or say dds_profile=none"
        )
    if not Path(name).is_file():
        raise ConfigError(f"dds_profile: got {name!r}, expected shm, none or an XML file's path")
    return Path(name).resolve()


def _shares() -> Iterator[Path]:
    """Where robot_rl_bringup's data files may lie: in its source, or where it is installed."""
    # Named, not imported: the library does not depend on the nodes.
    spec = importlib.util.find_spec("robot_rl_bringup")
    if spec is not None and spec.origin is not None:
        yield Path(spec.origin).parents[1]
    prefixes = [*filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(":")), sys.prefix]
    for prefix in prefixes:
        yield Path(prefix) / "share" / "robot_rl_bringup"
