"""The `robot-rl` command for runs: parses, opens the run, runs its phases, and reports errors.

`robot-rl data` is another command, in `data/`; `main` tells them apart.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro

from robot_rl.app.collect import collect
from robot_rl.app.evaluate import evaluate
from robot_rl.app.imitate import imitate
from robot_rl.app.improve import improve
from robot_rl.app.metric_sinks import open_metric_sinks
from robot_rl.app.opening import StopOnSignal, open_folder
from robot_rl.app.outcome import print_outcome
from robot_rl.app.progress import RunProgress
from robot_rl.app.run_context import RunContext, Stopped
from robot_rl.app.run_folder import RunFolder
from robot_rl.app.terminal import INTERRUPTED, Terminal
from robot_rl.app.through import open_station
from robot_rl.core.errors import ConfigError, RobotRlError
from robot_rl.runtime.events import EventLog

PHASES: dict[str, Callable[[RunContext], object]] = {
    "collect": collect,
    "imitate": imitate,
    "improve": improve,
    "evaluate": evaluate,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """From a handful of demonstrations to a policy that does not fail.

    Examples:
      robot-rl run configs/runs/peg_insert.yaml
      robot-rl run configs/runs/peg_insert.yaml seed=1 improve.env_steps=20000
      robot-rl run --resume runs/peg_insert-20261121-101500-seed0
      robot-rl collect configs/runs/peg_insert.yaml collect.episodes=50
      robot-rl evaluate --resume runs/peg_insert-20261121-101500-seed0
    """

    verb: Annotated[str, tyro.conf.Positional]
    """`run` for all phases, or one of `collect`, `imitate`, `improve`, `evaluate`."""

    config: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """A run's YAML file, then overrides `key=value`; nothing with --resume."""

    resume: Path | None = None
    """Continue in this run's folder with the config it was started with."""

    runs: Path = Path("runs")
    """Where new runs' folders are made."""

    through: str | None = None
    """`ros`: the cell's simulated robot stands behind ROS 2 topics and waits for this process:
    slower, to the same results. A graph's YAML, e.g. configs/ros/sim_fr3.yaml: the run acts in
    that live graph, which is up. `direct`: the bench is in this process. Runs remember it."""

    threads: int = 1
    """Threads of one torch operation; the networks are too small to gain from more."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0, 1 on an error, 130 if interrupted."""
    arguments = tyro.cli(Arguments, args=argv, prog="robot-rl")
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
    logging.getLogger("robot_rl").setLevel(logging.INFO)
    torch.set_num_threads(arguments.threads)
    try:
        phases = _phases(arguments.verb)
        where = (arguments.resume, arguments.runs, arguments.through)
        _run(open_folder(arguments.config, *where), phases)
    except Stopped as stopped:
        Terminal.standard().error(str(stopped), style="yellow")
        return INTERRUPTED
    except RobotRlError as error:
        Terminal.standard().error(f"robot-rl: {type(error).__name__}: {error}")
        return 1
    return 0


def _phases(verb: str) -> list[str]:
    if verb == "run":
        return list(PHASES)
    if verb in PHASES:
        return [verb]
    raise ConfigError(f"unknown verb {verb!r}; valid: run, {', '.join(PHASES)}")


def _run(folder: RunFolder, phases: Sequence[str]) -> None:
    asked = StopOnSignal()
    with ExitStack() as stack:
        log = stack.enter_context(EventLog(folder.events))
        folder.remember_through()
        curves = stack.enter_context(open_metric_sinks(folder))
        station = stack.enter_context(open_station(folder))
        stack.enter_context(station.bench.robot)
        progress = stack.enter_context(RunProgress())
        run = RunContext(folder, station, [log, progress, *curves], asked)
        for phase in phases:
            # Evaluation runs again on demand: its episodes are kept, the report is rewritten.
            if folder.summary_of(phase) is None or phase == "evaluate":
                PHASES[phase](run)
    if "evaluate" in phases:
        print_outcome(folder)
