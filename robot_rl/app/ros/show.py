"""`robot-rl ros plan`: prints what would be started, with which parameters."""

from __future__ import annotations

from dataclasses import dataclass

from robot_rl.app.ros.option import PlanOptions
from robot_rl.app.ros.process import Process
from robot_rl.app.terminal import Column, Terminal


@dataclass(frozen=True, slots=True, kw_only=True)
class Show(PlanOptions):
    """Print what would be started, with which parameters; starts nothing.

    Examples:
      robot-rl ros plan configs/ros/sim_fr3.yaml
      robot-rl ros plan configs/ros/example_real.yaml --group collect
    """

    def run(self, terminal: Terminal) -> int:
        """Print it."""
        plan = self.plan()
        for name, value in plan.environment.items():
            terminal.say(f"{name}={value}")
        columns = [Column(name) for name in ("stage", "node", "program", "if it ends", "with")]
        rows = [
            [
                process.stage.name.lower(),
                f"{process.namespace}/{process.name}",
                process.module,
                _fate(process),
                "\n".join(f"{name}: {value}" for name, value in process.parameters.items()),
            ]
            for process in plan.processes
        ]
        terminal.table(columns, rows, title=f"{plan.name}: {plan.group}")
        return 0


def _fate(process: Process) -> str:
    if process.critical:
        return "all end"
    return "the others go on" if process.respawn_delay_s is None else "starts again"
