"""A run whose robot stands behind topics.

In lockstep: the very bench of the cell, hosted by a node in a process of its own; this process
commands it as it would any robot on ROS 2, and the simulator waits for it. So the run comes to
the same results, to the last bit. Live: the run takes the actor's seat in a graph that is up,
with that graph's gate, sensors and person.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from robot_rl.app.ros.graph_config import GraphConfig
from robot_rl.app.ros.node_table import GATE, cameras_of, robot_of, sources_of
from robot_rl.app.run_config import RunConfig
from robot_rl.app.run_folder import DIRECT, ROS, RunFolder
from robot_rl.app.simulator import Simulator
from robot_rl.app.station import Station
from robot_rl.config.load import load
from robot_rl.config.model import Buildable, Config
from robot_rl.control.limits import SafetyLimits
from robot_rl.control.tightening import TIGHTER, tightened
from robot_rl.core.errors import ConfigError, DependencyError
from robot_rl.core.spec import TaskSpec
from robot_rl.runtime.gate.cell import GateCell

LOCKSTEP = "robot_rl_nodes.lockstep.bench:LockstepBench"
LIVE = "robot_rl_nodes.graph.live_bench:LiveBench"
"""The library knows no middleware: benches are named by import path, as components are."""

_NEEDED = {
    "rclpy": "pip install 'robot_rl[ros]', or source a ROS 2 installation",
    "robot_rl_msgs": "make ros",
    "robot_rl_nodes": "make ros",
    "robot_rl_sim_nodes": "make ros",
}


def check_through(through: str) -> str:
    """Return how the bench is commanded, as the run's folder remembers it.

    Raises:
        ConfigError: if there is no such way.
        DependencyError: naming what is missing for it, and what installs that.
    """
    if through == DIRECT:
        return through
    if through != ROS and not Path(through).is_file():
        raise ConfigError(
            f"--through: got {through!r}, expected {DIRECT}, {ROS}, or the YAML of a live graph, "
            "e.g. configs/ros/sim_fr3.yaml"
        )
    for module, remedy in _NEEDED.items():
        if importlib.util.find_spec(module) is None:
            raise DependencyError(f"--through {through} needs {module}: {remedy}")
    return through if through == ROS else str(Path(through).resolve())


@contextmanager
def open_station(folder: RunFolder, person: str = "") -> Iterator[Station]:
    """Connect the run's cell, directly or through ROS, and let go of it in the end.

    Args:
        folder: of the run.
        person: who sits at the run itself; in a live graph they get the person's seat at the gate.
            Without a name it is for whoever sits at the graph.
    """
    check_through(folder.through)
    if folder.through == ROS:
        opened = _in_lockstep(folder)
    elif folder.through == DIRECT:
        opened = _directly(folder.config)
    else:
        opened = _in_graph(folder.config, Path(folder.through), person)
    with opened as station:
        yield station


@contextmanager
def _directly(config: RunConfig) -> Iterator[Station]:
    station = Station.of_run(config)
    try:
        yield station
    finally:
        station.bench.close()


@contextmanager
def _in_lockstep(folder: RunFolder) -> Iterator[Station]:
    task = _task_spec(folder.config.task)
    make_bench = _named(LOCKSTEP)
    with Simulator(folder.path / "ros", folder.config) as simulator:
        where = {"domain": simulator.domain, "namespace": simulator.namespace}
        bench = make_bench(task, **where, fate=simulator.fate)
        try:
            yield Station.of_run(folder.config, bench, seats=bench.seats)
        finally:
            bench.close()


@contextmanager
def _in_graph(config: RunConfig, file: Path, person: str) -> Iterator[Station]:
    graph = load(file, GraphConfig)
    cell, task = load(Path(graph.cell), GateCell), _task_spec(config.task)
    _check_graph(config, graph, cell, task)
    bench = _named(LIVE)(
        task,
        namespace=f"/{graph.namespace.lstrip('/')}",
        sources=sources_of(graph),
        name=robot_of(graph),
        person=person,
        cameras=cameras_of(graph) if person else (),
    )
    try:
        yield Station(
            bench=bench,
            env=bench.env,
            gate=bench.gate,
            limits=_limits_of(graph, cell),
            hand_over=config.hand_over,
            chunking=config.chunking,
            seats=bench.seats,
            watcher=bench.seats.get("supervisor"),
            watched=bench.watched,
        )
    finally:
        bench.close()


def _limits_of(graph: GraphConfig, cell: GateCell) -> SafetyLimits:
    """What the graph's gate is started with."""
    tighter = {k: v for k, v in graph.parameters.get(GATE, {}).items() if k in TIGHTER}
    return tightened(cell.limits, tighter).limits


def _check_graph(config: RunConfig, graph: GraphConfig, cell: GateCell, task: TaskSpec) -> None:
    if cell.name != config.cell.name:
        raise ConfigError(
            f"the graph {graph.name} is of cell {cell.name!r}, the run of {config.cell.name!r}"
        )
    for key in SafetyLimits.model_fields:
        theirs, ours = getattr(cell.limits, key), getattr(config.cell.limits, key)
        if theirs != ours:
            raise ConfigError(
                f"the graph {graph.name} has other limits than the run: {key} is {theirs} there, "
                f"{ours} here; name the same cell in both"
            )
    told = _task_spec(cast(Buildable, load(Path(graph.task), Config)))
    if told.contract != task.contract:
        raise ConfigError(
            f"the graph {graph.name} is set up for task {told.name!r} ({told.contract}), the "
            f"run for {task.name!r} ({task.contract}): name the same task in both"
        )
    if config.limits:
        raise ConfigError(
            f"limits.{next(iter(config.limits))}: in a live graph the gate's node has the limits; "
            "tighten them there"
        )


def _named(path: str) -> Any:
    module, name = path.split(":")
    return getattr(importlib.import_module(module), name)


def _task_spec(task: Buildable) -> TaskSpec:
    built = task.build()
    spec = built if isinstance(built, TaskSpec) else getattr(built, "spec", None)
    if not isinstance(spec, TaskSpec):
        raise ConfigError(f"task {type(task).__name__}: what it builds has no `spec`")
    return spec
