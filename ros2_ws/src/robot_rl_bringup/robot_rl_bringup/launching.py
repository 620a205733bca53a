"""Turns a plan into the actions of `launch`: what runs, and how, is decided by the plan alone."""
# `launch` comes with a ROS 2 installation, which the type checker's environment is not.
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    LogInfo,
    OpaqueFunction,
    SetEnvironmentVariable,
    Shutdown,
)
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from robot_rl.app.ros.argument import HELP, Arguments, load_graph
from robot_rl.app.ros.child import command
from robot_rl.app.ros.parameter_file import write_parameters
from robot_rl.app.ros.plan import plan
from robot_rl.app.ros.process import Process, Stage

MANAGER_ENDS_S = 30.0
"""So long a node waits for its manager to end it in order: all are told to end at once."""
SIGTERM_S, SIGKILL_S = "40", "5"
"""After which a node that does not end is told so again, and killed."""
MANAGER_SIGTERM_S = "60"
"""The same for a lifecycle manager, which brings the others to rest first."""


def description(group: str) -> LaunchDescription:
    """Return the launch description of a group of the plan."""
    defaults = Arguments().text()
    declared = [
        DeclareLaunchArgument(name, default_value=defaults[name], description=words)
        for name, words in HELP.items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=actions, args=[group])])


def actions(context: LaunchContext, group: str) -> list[Any]:
    """Return the actions of a group, for the arguments that the context has.

    Raises:
        ConfigError: for arguments or a graph's YAML that are wrong.
    """
    given = {name: LaunchConfiguration(name).perform(context) for name in HELP}
    arguments = Arguments.of_text(given)
    made = plan(load_graph(arguments), group, arguments)
    folder = Path(tempfile.mkdtemp(prefix=f"{made.name}-{group}-"))
    files = write_parameters(made, folder)
    return [
        LogInfo(msg=f"{made.name}: parameters in {folder}"),
        *(SetEnvironmentVariable(name, value) for name, value in made.environment.items()),
        *(
            ExecuteProcess(
                cmd=command(process, files[process.name], made.log_level),
                name=process.name,
                output="screen",
            )
            if process.words
            else _node(process, files[process.name], made.log_level, managed=arguments.autostart)
            for process in made.processes
        ),
    ]


def _node(process: Process, parameters: Path, log_level: str, *, managed: bool) -> Node:
    waits = {"manager_ends_within_s": MANAGER_ENDS_S} if managed and process.managed else {}
    lives: dict[str, Any] = {}
    if process.critical:
        lives["on_exit"] = [Shutdown(reason=f"{process.name} has ended")]
    if process.respawn_delay_s is not None:
        lives |= {"respawn": True, "respawn_delay": process.respawn_delay_s}
    return Node(
        package=process.package,
        executable=process.executable,
        name=process.name,
        namespace=process.namespace,
        parameters=[str(parameters), waits],
        remappings=list(process.remaps.items()),
        arguments=["--ros-args", "--log-level", log_level],
        additional_env=dict(process.environment),
        output="screen",
        prefix=f"nice -n {process.nice}" if process.nice else None,
        sigterm_timeout=MANAGER_SIGTERM_S if process.stage == Stage.MANAGER else SIGTERM_S,
        sigkill_timeout=SIGKILL_S,
        **lives,
    )
