"""From a cell's YAML to the processes that are to run: a pure function, the one truth about it.

| group | starts |
|---|---|
| sensors | cameras, force/torque sensor, tactile fingers |
| robot | the simulated arm where there is one, robot interface, command gate |
| policy | policy bridge, reward, episode manager |
| teleop | a person's device |
| record | recorder |
| hil | all of these: a policy drives, a person corrects. `train` names a run that acts in place \
of policy and recorder; with `person` they sit at its page, without a device of the graph |
| eval | a policy drives, nobody corrects: all but teleop; records only if asked |
| collect | a person drives: all of these |
| sim | as hil, and the robot must be a simulated one; records only if asked |

The last four also tell of themselves through a diagnostics node. Each group has a lifecycle
manager, unless `autostart` is false. Not here: the nodes' parameters (`node_table`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from robot_rl.app.ros import node_table
from robot_rl.app.ros.argument import Arguments
from robot_rl.app.ros.environment import environment
from robot_rl.app.ros.graph_config import GraphConfig
from robot_rl.app.ros.process import Plan, Process
from robot_rl.core.errors import ConfigError, did_you_mean

Maker = Callable[[GraphConfig], Iterable[Process]]

PARTS: dict[str, tuple[Maker, ...]] = {
    "sensors": (node_table.cameras, node_table.force_torque, node_table.tactile),
    "robot": (node_table.sim_robot, node_table.robot_interface, node_table.command_gate),
    "policy": (node_table.policy_bridge, node_table.reward, node_table.episode_manager),
    "teleop": (node_table.operator,),
    "record": (node_table.recorder,),
}
"""The parts of a graph."""
TOPS = {
    "hil": ("sensors", "robot", "policy", "teleop"),
    "eval": ("sensors", "robot", "policy"),
    "collect": ("sensors", "robot", "policy", "teleop"),
    "sim": ("sensors", "robot", "policy", "teleop"),
}
"""Whole graphs, by their parts."""
RECORDING = ("hil", "collect")
"""Those that record unless told otherwise."""
NEEDS = {
    "policy": ("policy",),
    "teleop": ("operator",),
    "record": ("recorder",),
    "hil": ("operator",),
    "eval": ("policy",),
    "collect": ("operator",),
}
"""What a graph must have for a group."""
REMEDIES = {
    "policy": "no policy to drive the arm; name its server, e.g. policy.uri=ws://127.0.0.1:8000",
    "operator": "no device for a person; name its YAML, e.g. "
    "operator.device=configs/devices/fake_operator.yaml",
    "recorder": "nowhere to record to; name a folder, e.g. recorder.folder=runs/ros/fr3",
}
"""What to do where it is missing."""
GROUPS = (*PARTS, *TOPS)
"""All that can be asked for."""


def plan(config: GraphConfig, group: str, arguments: Arguments) -> Plan:
    """Return what is to run.

    Args:
        config: of the cell's graph.
        group: one of `GROUPS`.
        arguments: of the start.

    Raises:
        ConfigError: if the group is unknown, or needs what the graph does not have.
        DependencyError: if the DDS profile that comes with robot_rl is not to be found.
    """
    if arguments.train and group != "hil":
        raise ConfigError(f"train: got it for group {group!r}; a run acts in group 'hil' alone")
    parts = _parts(group, arguments)
    _check(config, group, parts)
    if group == "collect":
        # A person drives, whatever policy there may be.
        config = config.model_copy(update={"policy": None})
    makers = [maker for part in parts for maker in PARTS[part]]
    made = [process for maker in makers for process in maker(config)]
    if not made:
        raise ConfigError(f"{config.name}: the graph has nothing of group {group!r}")
    if group in TOPS:
        made.append(node_table.diagnostics(made))
    if arguments.train:
        made.append(node_table.run(arguments))
    made.sort(key=lambda process: process.stage)
    if arguments.autostart:
        made.append(node_table.lifecycle_manager(_manager(group), made))
    return Plan(
        name=config.name,
        group=group,
        processes=tuple(_finished(each, config, arguments, parts) for each in made),
        environment=environment(arguments),
        log_level=arguments.log_level,
    )


def _manager(group: str) -> str:
    """Parts that are started one by one have a manager each."""
    return node_table.MANAGER if group in TOPS else f"{group}_manager"


def _parts(group: str, arguments: Arguments) -> list[str]:
    if group not in GROUPS:
        raise ConfigError(f"unknown group {group!r}{did_you_mean(group, GROUPS)}")
    if group in PARTS:
        return [group]
    if arguments.train:
        return ["sensors", "robot", *([] if arguments.person else ["teleop"])]
    asked = arguments.record == "true"
    records = asked or (arguments.record == "auto" and group in RECORDING)
    return [*TOPS[group], *(["record"] if records else [])]


def _check(config: GraphConfig, group: str, parts: list[str]) -> None:
    if group == "sim" and config.robot.kind != "sim":
        raise ConfigError(
            f"{config.name}: group 'sim' needs a simulated robot; got kind {config.robot.kind!r}"
        )
    policy = ["policy"] if group == "hil" and "policy" in parts else []
    needs = [n for n in NEEDS.get(group, ()) if n != "operator" or "teleop" in parts]
    for need in (*needs, *policy, *(["recorder"] if "record" in parts else [])):
        if getattr(config, need) is None:
            raise ConfigError(f"{config.name}: {REMEDIES[need]}")
    # Parameters of a node that no group would start are a slip of the pen.
    makers = [maker for part in PARTS.values() for maker in part]
    names = {process.name for maker in makers for process in maker(config)}
    names |= {"diagnostics", *(_manager(each) for each in GROUPS)}
    for name in config.parameters:
        if name not in names:
            raise ConfigError(
                f"{config.name}: parameters of an unknown node {name!r}{did_you_mean(name, names)}"
            )


def _finished(
    process: Process, config: GraphConfig, arguments: Arguments, parts: list[str]
) -> Process:
    given = dict(process.parameters)
    if process.name == "episode_manager":
        # An episode is over once the recorder, which may be started apart, has saved it.
        given["recorded"] = "record" in parts or arguments.record == "true"
    given |= config.parameters.get(process.name, {})
    if arguments.use_sim_time:
        given["use_sim_time"] = True
    namespace = arguments.ns or config.namespace
    return replace(process, namespace="/" + namespace.lstrip("/"), parameters=given)
