"""Each node of a graph: where its program is, with which parameters, and what its end means."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from robot_rl.app.ros.argument import Arguments
from robot_rl.app.ros.graph_config import GraphConfig, Value
from robot_rl.app.ros.process import Process, Stage

NODES = "robot_rl_nodes"
SIM = "robot_rl_sim"
MANAGER = "lifecycle_manager"
GATE = "command_gate"
"""Its name in every graph."""
_RESPAWN_S = 2.0
_BACK = 10
"""How much whoever the arm does not wait for stands back."""


def cameras(config: GraphConfig) -> Iterator[Process]:
    """One for each camera."""
    for name, camera in config.cameras.items():
        parameters: dict[str, Value] = {
            "name": name,
            "device": camera.device,
            "rate_hz": camera.rate_hz,
            "policy_width": camera.size[0],
            "policy_height": camera.size[1],
        }
        if camera.calibration == "none":
            parameters["uncalibrated"] = True
        else:
            parameters["camera_info"] = camera.calibration
        yield _sensor("camera_node", f"camera_{name}", parameters)


def force_torque(config: GraphConfig) -> Iterator[Process]:
    """The one at the wrist."""
    if config.force_torque:
        parameters: dict[str, Value] = {
            "device": config.force_torque.device,
            "compensation": config.force_torque.compensation,
        }
        yield _sensor("force_torque_node", "force_torque", parameters)


def tactile(config: GraphConfig) -> Iterator[Process]:
    """One for each finger."""
    for name, finger in config.tactile.items():
        yield _sensor("tactile_node", f"tactile_{name}", {"name": name, "device": finger.device})


def sim_robot(config: GraphConfig) -> Iterator[Process]:
    """The simulated arm, where the real one's driver would be."""
    if config.robot.driver:
        parameters: dict[str, Value] = {
            "driver": config.robot.driver,
            "task": config.task,
            "cameras": list(config.robot.cameras),
        }
        yield _process(
            "sim_robot_node", "sim_robot", Stage.ROBOT, parameters, package=SIM, critical=True
        )


def robot_interface(config: GraphConfig) -> Iterator[Process]:
    """Makes all robots look the same."""
    parameters: dict[str, Value] = {"robot": config.robot.kind, **_cell_and_task(config)}
    if config.force_torque:
        # Two of one name would contradict each other.
        parameters["own_wrench"] = False
    yield _process(
        "robot_interface_node", "robot_interface", Stage.ROBOT, parameters, critical=True
    )


def command_gate(config: GraphConfig) -> Iterator[Process]:
    """The only one that commands the arm."""
    yield _process("command_gate_node", GATE, Stage.GATE, _cell_and_task(config), critical=True)


def policy_bridge(config: GraphConfig) -> Iterator[Process]:
    """Observes and asks the policy; without one it lets a person's episodes be recorded."""
    parameters = {**_cell_and_task(config), "sources": sources_of(config)}
    if config.policy:
        parameters |= {"uri": config.policy.uri, "policy": config.policy.name}
    yield _process("policy_bridge_node", "policy_bridge", Stage.POLICY, parameters)


def reward(config: GraphConfig) -> Iterator[Process]:
    """Judges, where a model does it instead of the task."""
    if config.reward:
        parameters: dict[str, Value] = {
            "task": config.task,
            "reward": config.reward,
            "sources": sources_of(config),
        }
        yield _process("reward_node", "reward", Stage.POLICY, parameters)


def operator(config: GraphConfig) -> Iterator[Process]:
    """A person's device."""
    if config.operator:
        parameters: dict[str, Value] = {
            "device": config.operator.device,
            "name": config.operator.person,
        }
        yield _process("operator_node", "operator", Stage.POLICY, parameters)


def episode_manager(config: GraphConfig) -> Iterator[Process]:
    """Runs episodes."""
    yield _process("episode_manager_node", "episode_manager", Stage.EPISODE, {"task": config.task})


def recorder(config: GraphConfig) -> Iterator[Process]:
    """Writes down what happens."""
    if config.recorder:
        parameters = {
            **_cell_and_task(config),
            **({"robot": config.robot.name} if config.robot.name else {}),
            "folder": config.recorder.folder,
            "fingers": list(config.tactile),
        }
        yield _process("recorder_node", "recorder", Stage.EPISODE, parameters)


def run(arguments: Arguments) -> Process:
    """A run in the actor's seat: it acts, learns and records, a person at its page if named."""
    verb = ("session", "--operator", arguments.person) if arguments.person else ("run",)
    which = ("--resume", arguments.train) if Path(arguments.train).is_dir() else (arguments.train,)
    words = (*verb, "--through", str(arguments.file), *which)
    process = _process("robot-rl", "run", Stage.EPISODE, {}, package="robot_rl", managed=False)
    return replace(process, module="robot_rl.app.main", words=words)


def diagnostics(made: Iterable[Process]) -> Process:
    """Sums up what these tell of themselves."""
    parameters: dict[str, Value] = {"expected": [process.name for process in made]}
    process = _process("diagnostics_node", "diagnostics", Stage.ROBOT, parameters)
    return replace(process, nice=_BACK)


def lifecycle_manager(name: str, made: Iterable[Process]) -> Process:
    """Leads these processes through the stages."""
    managed = [process for process in made if process.managed]
    return _process(
        "lifecycle_manager_node",
        name,
        Stage.MANAGER,
        {
            "nodes": [f"{process.stage.name.lower()}:{process.name}" for process in managed],
            "critical": [process.name for process in managed if process.critical],
            "revived": [p.name for p in managed if p.respawn_delay_s is not None],
            "autostart": True,
        },
        managed=False,
        critical=True,
    )


def _cell_and_task(config: GraphConfig) -> dict[str, Value]:
    return {"cell": config.cell, "task": config.task}


def sources_of(config: GraphConfig) -> list[str]:
    """The streams that make an observation; see `robot_rl_nodes.source`."""
    return [
        "robot",
        *(["ft"] if config.force_torque else []),
        *(f"camera:{name}" for name in cameras_of(config)),
        *(f"tactile:{name}" for name in config.tactile),
        *config.sources,
    ]


def cameras_of(config: GraphConfig) -> list[str]:
    """The cameras, real and simulated, by name."""
    return [*config.cameras, *config.robot.cameras]


def robot_of(config: GraphConfig) -> str:
    """The robot's name, as it is recorded with the episodes."""
    return config.robot.name or config.namespace


def _sensor(program: str, name: str, parameters: dict[str, Value]) -> Process:
    return _process(program, name, Stage.ROBOT, parameters, respawn_delay_s=_RESPAWN_S)


def _process(
    program: str,
    name: str,
    stage: Stage,
    parameters: dict[str, Value],
    *,
    package: str = NODES,
    critical: bool = False,
    managed: bool = True,
    respawn_delay_s: float | None = None,
) -> Process:
    folder = "robot_rl_sim_nodes" if package == SIM else package
    return Process(
        nice=_BACK if stage in (Stage.EPISODE, Stage.MANAGER) else 0,
        package=package,
        executable=program,
        module=f"{folder}.{program}",
        name=name,
        namespace="/",
        stage=stage,
        parameters=parameters,
        remaps={},
        environment={},
        respawn_delay_s=respawn_delay_s,
        critical=critical,
        managed=managed,
    )
