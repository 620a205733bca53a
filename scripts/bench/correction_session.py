"""Whether the policy improves while a person sits at it: a whole correction session, played.

    .venv/bin/python scripts/bench/correction_session.py [--quick] [--seed N] [--runs DIR]
        [--override KEY=VALUE ...] [--json FILE]

`robot-rl session` itself, with page, gate, learner and store, on a simulated arm in real time. The
person is a device of the session: they watch, take over where the policy makes no progress, and
let go after a second. What they would click (confirm, start, give back, next) is clicked through
the page. Peg insertion, 6,000 steps, some 20 minutes; the quick form reaches a point for half a
minute, which shows that corrections are learned from, not that there is time for them to help.

Demonstrations and base policy are made first and kept in `--runs`: another session of the same
settings begins from a copy of them.

- Blocks of episodes: success alone and with help (Wilson 95 %), share of human steps (bootstrapped
  over episodes), weights that acted, their age as the page shows it, updates a second, missed
  control ticks, and how busy the cores were. The policy explores meanwhile, and who helps does not
  wait whether it would have come out by itself.
- Matched starts: base and improved policy, nobody helping, as the run judges them.

Loop, page, learner and this script share the cores of this machine.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from ablation import COMMAND, SHARED, Trial, create
from report import Claim, Row, publish
from session_figures import COLUMNS, block_rows, blocks, claims, other_rows, played
from session_visit import NAME, Sitting, Visit, environment
from workload import CONFIGS

from robot_rl.app.run_config import RunConfig
from robot_rl.app.run_folder import RunFolder
from robot_rl.config.load import load
from robot_rl.core.errors import ConfigError, RobotRlError
from robot_rl.data.store.episode_reader import EpisodeReader
from robot_rl.runtime.events import Evaluated, read_events

_PERSON = "session_person:FairPersonConfig"
_SUPERVISOR = "robot_rl_sim.person:SupervisorConfig"
_BEFORE = ("collect", "imitate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What may be chosen.

    Args:
        quick: less than two minutes: another task, and a budget that shows that everything runs.
        seed: of the run.
        runs: where the runs are kept: runs/bench-session; with --quick they are thrown away.
        override: settings of the run, e.g. `improve.env_steps=3000`.
        file: where the result goes as JSON.
    """

    quick: bool = False
    seed: int = 0
    runs: Path | None = None
    override: tuple[str, ...] = ()
    file: Annotated[Path | None, tyro.conf.arg(name="json")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What is played.

    Args:
        name: of its folders.
        run: the run's file; changes: what differs from it.
        block: episodes of a block, at least.
    """

    name: str
    run: Path
    changes: tuple[str, ...]
    block: int


def _seated(patience_steps: int, correction_steps: int) -> str:
    """The setting by which the simulated person is a device of the session."""
    person = (
        f"{{type: {_SUPERVISOR}, patience_steps: {patience_steps}, "
        f"correction_steps: {correction_steps}}}"
    )
    device = f"{{type: {_PERSON}, person: {person}}}"
    return f"session={{operator: {NAME}, devices: [{device}]}}"


FULL = Form(
    name="peg",
    run=CONFIGS / "runs" / "peg_insert_session.yaml",
    # Judged in real time, too: before the first episode and after the last.
    changes=(
        _seated(15, 10),
        "improve.env_steps=6000",
        "improve.judge_every_steps=6000",
        "improve.judge_episodes=30",
    ),
    block=20,
)
QUICK = Form(
    name="point",
    run=CONFIGS / "runs" / "point_reach.yaml",
    changes=(
        _seated(8, 5),
        "schedule.prefill_steps=60",
        "schedule.warmup_updates=40",
        "schedule.utd=2.0",
        "improve.env_steps=300",
        "improve.judge_every_steps=300",
        "improve.judge_episodes=3",
    ),
    block=8,
)


def main(options: Options) -> int:
    """Play, print and write; returns the exit status."""
    form = QUICK if options.quick else FULL
    try:
        with ExitStack() as stack:
            root = options.runs or _default_root(options.quick, stack)
            config = load(
                form.run, RunConfig, [*form.changes, *options.override, f"seed={options.seed}"]
            )
            trial = prepared(form.name, config, root)
            began_s = time.monotonic()
            with Sitting(trial.path) as sitting:
                visit = sitting.attend()
            rows, claimed = found(trial.path, visit, form.block)
            took_s = time.monotonic() - began_s
            rows.append({"name": "the session took", "median": took_s, "unit": "s"})
    except RobotRlError as error:
        print(f"session: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    publish(f"a correction session: {config.name}", rows, claimed, options.file, COLUMNS)
    return 0


def prepared(name: str, config: RunConfig, root: Path) -> Trial:
    """A new run with demonstrations and base policy, which the first one of `root` has made.

    Raises:
        ConfigError: if what is there was made with other settings.
        RobotRlError: if it cannot be made.
    """
    donor = Trial(variant=name, config=config, path=root / f"{name}-base-seed{config.seed}")
    if not donor.path.exists():
        create(donor, None)
    there = RunFolder.open(donor.path)
    if any(getattr(there.config, key) != getattr(config, key) for key in SHARED):
        raise ConfigError(
            f"{donor.path} was made with other settings: name another folder with --runs, or "
            "remove it"
        )
    for phase in _BEFORE:
        if there.summary_of(phase) is None:
            _run(phase, donor.path)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    trial = Trial(variant=name, config=config, path=root / f"{name}-{stamp}-seed{config.seed}")
    create(trial, donor)
    return trial


def found(run: Path, visit: Visit, block: int) -> tuple[list[Row], list[Claim]]:
    """Rows and claims of a session that has ended.

    Raises:
        RobotRlError: if it recorded too little to compare.
    """
    folder = RunFolder.open(run)
    events = read_events(folder.events)
    episodes, lost = played(EpisodeReader(folder.online), events, visit)
    if len(episodes) < 2:
        raise RobotRlError(f"{run} has {len(episodes)} episodes; lost: {', '.join(lost)}")
    parts = blocks(episodes, block)
    verdicts = [event for event in events if isinstance(event, Evaluated)]
    verdict = verdicts[-1] if verdicts else None
    rows = [*block_rows(parts), *other_rows(episodes, verdict, visit)]
    return rows, claims(parts, lost, verdict)


def _run(phase: str, path: Path) -> None:
    print(f"session: {phase} for {path}", file=sys.stderr)
    with (path / "bench.log").open("ab") as log:
        command = [COMMAND, phase, "--resume", path]
        status = subprocess.run(
            command, stdout=log, stderr=log, env=environment(), check=False
        ).returncode
    if status:
        raise RobotRlError(f"{path} ended with status {status}; see its bench.log")


def _default_root(quick: bool, stack: ExitStack) -> Path:
    if quick:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="robot-rl-session-")))
    return Path("runs", "bench-session")


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=__doc__)))
