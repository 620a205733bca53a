"""What is to run: processes, and the plan that orders them. Data alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from robot_rl.app.ros.graph_config import Value


class Stage(IntEnum):
    """When a process becomes active: the stages in this order, each as a whole."""

    ROBOT = 0
    """The arm and the sensors."""
    GATE = 1
    """What guards the arm."""
    POLICY = 2
    """Who may command it, and who judges."""
    EPISODE = 3
    """Who runs episodes and records them."""
    MANAGER = 4
    """Who leads the others through the stages: it starts last and is told first to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One node in a process of its own.

    Args:
        package: of ROS, where `executable` is.
        executable: as `ros2 run` knows it.
        module: that is the same node by `python -m`.
        name: of the node.
        namespace: of the node, with a leading slash.
        stage: when it becomes active.
        parameters: by name.
        remaps: names it knows, to those that they are in this graph.
        environment: variables beside those of the plan.
        respawn_delay_s: after which it is started again if it ends [s]; None: it is not.
        critical: its end ends the graph.
        managed: has a lifecycle for the manager to drive.
        nice: how much it stands back where the machine is busy, 0 to 19.
        words: what follows `python -m module`, for a program that is no node by itself.
    """

    package: str
    executable: str
    module: str
    name: str
    namespace: str
    stage: Stage
    parameters: Mapping[str, Value]
    remaps: Mapping[str, str]
    environment: Mapping[str, str]
    respawn_delay_s: float | None = None
    critical: bool = False
    managed: bool = True
    nice: int = 0
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All processes of a group.

    Args:
        name: of the graph.
        group: of processes.
        processes: in the order in which they are started.
        environment: variables of them all.
        log_level: of them all.
    """

    name: str
    group: str
    processes: tuple[Process, ...]
    environment: Mapping[str, str]
    log_level: str

    @property
    def ending(self) -> tuple[tuple[Process, ...], ...]:
        """The processes in the order in which they end: stages reversed, the gate's last."""
        stages = [
            tuple(p for p in reversed(self.processes) if p.stage == stage)
            for stage in (Stage.MANAGER, Stage.EPISODE, Stage.POLICY, Stage.ROBOT, Stage.GATE)
        ]
        return tuple(stage for stage in stages if stage)

    def process(self, name: str) -> Process:
        """The process of a node's name.

        Raises:
            KeyError: if there is none.
        """
        for process in self.processes:
            if process.name == name:
                return process
        raise KeyError(name)
