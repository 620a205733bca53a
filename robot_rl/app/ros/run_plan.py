"""Runs a plan as plain processes: starts them, watches over them, ends them in order."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from robot_rl.app.ros.child import Child, Say, command
from robot_rl.app.ros.parameter_file import write_parameters
from robot_rl.app.ros.process import Plan, Process, Stage

_LOOK_S = 0.05
_MOST_BACK_OFF_S = 30.0
_HURRIED_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a process may take to end, after each signal [s].

    Args:
        manager_s: the lifecycle manager, after SIGINT: it brings all others to rest.
        interrupt_s: another, after SIGINT.
        terminate_s: any, after SIGTERM; then it is killed.
    """

    manager_s: float = 45.0
    interrupt_s: float = 10.0
    terminate_s: float = 5.0


class _Watched:
    """A process of the plan, through its lives."""

    def __init__(self, process: Process, words: list[str]) -> None:
        self.process = process
        self.words = words
        self.child: Child | None = None
        self.over = False
        self.delay_s = process.respawn_delay_s or 0.0
        self.began_s = 0.0
        self.due_s = 0.0


class PlanRunner:
    """Runs a plan.

    Args:
        plan: what to run.
        folder: for parameters and logs; made if it is not there.
        say: called with each line of each process and of our own, from several threads.
        patience: at the end.
        base: variables that the plan's are added to; those of this process without it.
    """

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        say: Say,
        patience: Patience | None = None,
        base: Mapping[str, str] | None = None,
    ) -> None:
        self._plan = plan
        self._say = say
        self._patience = patience or Patience()
        self._logs = folder / "log"
        self._logs.mkdir(parents=True, exist_ok=True)
        base = os.environ if base is None else base
        self._environment = {**base, "ROS_LOG_DIR": str(self._logs), **plan.environment}
        files = write_parameters(plan, folder / "parameters")
        self._watched = [
            _Watched(process, command(process, files[process.name], plan.log_level))
            for process in plan.processes
        ]
        self._failed = False

    def run(self, asked: Callable[[], int]) -> int:
        """Run until asked to end, or until a critical process has ended.

        Args:
            asked: how often somebody has asked to end; from the second time on, ends hurriedly.

        Returns:
            The exit status: 0 if asked to end and all ended by themselves, else 1.
        """
        try:
            for watched in self._watched:
                self._start(watched)
            while not asked() and not self._failed:
                for watched in self._watched:
                    self._look_at(watched)
                time.sleep(_LOOK_S)
        finally:
            self._end(lambda: asked() > 1)
        return int(self._failed)

    def _start(self, watched: _Watched) -> None:
        process = watched.process
        watched.began_s = time.monotonic()
        watched.child = Child(
            process.name,
            watched.words,
            {**self._environment, **process.environment},
            self._logs / f"{process.name}.log",
            self._say,
            process.nice,
        )

    def _look_at(self, watched: _Watched) -> None:
        child, process = watched.child, watched.process
        if watched.over:
            return
        if child is None:
            if time.monotonic() >= watched.due_s:
                self._start(watched)
            return
        if child.status is None:
            return
        child.close()
        if process.critical:
            self._say(f"{process.name} {child.fate}: without it nothing goes on, all end")
            self._failed = watched.over = True
        elif process.respawn_delay_s is None:
            self._say(f"{process.name} {child.fate}; the others go on")
            watched.over = True
        else:
            self._put_off(watched)

    def _put_off(self, watched: _Watched) -> None:
        """Wait twice as long each time, and begin anew after a life of some length."""
        now, first = time.monotonic(), watched.process.respawn_delay_s or 0.0
        if now - watched.began_s > _MOST_BACK_OFF_S:
            watched.delay_s = first
        fate = watched.child.fate if watched.child else ""
        self._say(f"{watched.process.name} {fate}: starts again in {watched.delay_s:g} s")
        watched.child, watched.due_s = None, now + watched.delay_s
        watched.delay_s = min(2 * watched.delay_s, _MOST_BACK_OFF_S)

    def _end(self, in_a_hurry: Callable[[], bool]) -> None:
        """Stage by stage, so that the gate ends last; nothing is left behind."""
        for stage in self._plan.ending:
            names = {process.name for process in stage}
            children = [w.child for w in self._watched if w.process.name in names and w.child]
            alone = stage[0].stage == Stage.MANAGER
            patience = self._patience.manager_s if alone else self._patience.interrupt_s
            for number, timeout_s in (
                (signal.SIGINT, patience),
                (signal.SIGTERM, self._patience.terminate_s),
                (signal.SIGKILL, self._patience.terminate_s),
            ):
                left = [child for child in children if child.status is None]
                for child in left:
                    if number != signal.SIGINT:
                        self._say(f"{child.name} does not end: {number.name}")
                        self._failed = True
                    child.signal(number)
                self._await(left, timeout_s, in_a_hurry)
            for child in children:
                child.close()

    def _await(
        self, children: Sequence[Child], timeout_s: float, in_a_hurry: Callable[[], bool]
    ) -> None:
        began_s = time.monotonic()
        while any(child.status is None for child in children):
            bound_s = min(timeout_s, _HURRIED_S) if in_a_hurry() else timeout_s
            if time.monotonic() - began_s > bound_s:
                return
            time.sleep(_LOOK_S)
