"""`robot-rl ros up`: starts a cell's graph as plain processes, and ends it in order."""

from __future__ import annotations

import importlib.util
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from robot_rl.app.ros.option import PlanOptions
from robot_rl.app.ros.process import Plan
from robot_rl.app.ros.run_plan import PlanRunner
from robot_rl.app.terminal import Terminal
from robot_rl.core.errors import DependencyError

_NEEDED = {
    "rclpy": "install the extra `robot_rl[ros]`, or source a ROS 2 installation",
    "robot_rl_msgs": "build it with `make ros`",
    "robot_rl_nodes": "install robot_rl from its repository, or source ros2_ws",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Up(PlanOptions):
    """Start a cell's graph of nodes; Ctrl-C ends it in order, the gate last.

    The same graph as `ros2 launch robot_rl_bringup GROUP.launch.py`, without `launch`. Logs and
    parameters go into a folder of their own. A second Ctrl-C ends it in a hurry.

    Examples:
      robot-rl ros up configs/ros/sim_fr3.yaml
      robot-rl ros up configs/ros/sim_fr3.yaml policy.uri=ws://127.0.0.1:9000 --group eval --record
    """

    runs: Path = Path("runs/ros")
    """Where the folder for logs and parameters is made."""

    def run(self, terminal: Terminal) -> int:
        """Run it until asked to end; return the exit status."""
        plan = self.plan()
        check_dependencies(plan)
        folder = self.runs / f"{plan.name}-{plan.group}-{time.strftime('%Y%m%d-%H%M%S')}"
        one_at_a_time = threading.Lock()

        def say(line: str) -> None:
            with one_at_a_time:
                terminal.say(line)

        runner = PlanRunner(plan, folder, say)
        say(f"{plan.name}: {len(plan.processes)} nodes; logs and parameters in {folder}")
        status = runner.run(_Asked())
        say(f"{plan.name}: all have ended")
        return status


def check_dependencies(plan: Plan) -> None:
    """See that what is to be started can be.

    Raises:
        DependencyError: naming what is missing and where it comes from.
    """
    for module, remedy in _NEEDED.items():
        if importlib.util.find_spec(module) is None:
            raise DependencyError(f"no Python package {module}: {remedy}")
    for process in plan.processes:
        folder = process.module.partition(".")[0]
        if importlib.util.find_spec(folder) is None:
            raise DependencyError(
                f"no Python package {folder} for node {process.name}: {_NEEDED['robot_rl_nodes']}"
            )
        if importlib.util.find_spec(process.module) is None:
            raise DependencyError(f"no module {process.module} for node {process.name}")


class _Asked:
    """How often Ctrl-C or SIGTERM came."""

    def __init__(self) -> None:
        self._times = 0
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)

    def __call__(self) -> int:
        return self._times

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._times += 1
