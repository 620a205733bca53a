"""The runs behind the ablation: their folders and who shares what.

Each is the whole `robot-rl run` in a process of its own. A folder that is finished is not run
again and one that was interrupted goes on, so that an interrupted benchmark does too.
"""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from workload import CONFIGS, RUN, task_overrides

from robot_rl.app.run_config import RunConfig
from robot_rl.app.run_folder import RunFolder
from robot_rl.config.load import load, save
from robot_rl.core.errors import ConfigError, RobotRlError, did_you_mean

ALONE = (
    "use_base=false",
    "supervisor=null",
    f"learner={CONFIGS}/learners/rlpd.yaml",
    "schedule.prefill_steps=500",
    "schedule.warmup_updates=0",
    "schedule.utd=2.0",
)
STEERED = (
    "use_base=false",
    "supervisor=null",
    f"learner={CONFIGS}/learners/dsrl_na.yaml",
    # Steering plans in every update: with a student, which is the base here, in one call.
    "imitate.student={steps: 3000, rollouts: 20}",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A run file and what is changed in it."""

    run: Path = RUN
    changes: tuple[str, ...] = ()


VARIANTS: dict[str, Variant] = {
    "person": Variant(),
    "residual": Variant(changes=("supervisor=null",)),
    "steered": Variant(changes=STEERED),
    "rlpd": Variant(changes=ALONE),
    "scratch": Variant(changes=(*ALONE, "schedule.use_demonstrations=false")),
    "pick": Variant(run=RUN.with_name("pick_cube.yaml")),
    "images": Variant(run=RUN.with_name("peg_insert_images.yaml")),
}
TOY = (
    *task_overrides("point_reach"),
    "demonstrator.noise=0.03",
    "demonstrator.wander=0.0",
    "collect.episodes=20",
    "base.sampler.prediction=sample",
    "imitate.steps=600",
    "learner.hidden=[64, 64]",
    "learner.heads=4",
    "schedule.prefill_steps=100",
    "schedule.warmup_updates=100",
    "schedule.utd=1.0",
    "learner_process=false",
    "improve.env_steps=300",
    "improve.judge_every_steps=300",
    "improve.judge_episodes=10",
    "evaluate.episodes=10",
)
"""The quick form: another task, and budgets that show that everything runs, not that it learns."""
COMMAND = Path(sys.executable).with_name("robot-rl")
SHARED = ("seed", "cell", "task", "demonstrator", "collect", "base", "imitate")
"""Settings that demonstrations and base policy depend on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One variant with one seed.

    Args:
        variant: its name.
        config: the whole run.
        path: its folder.
    """

    variant: str
    config: RunConfig
    path: Path

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to run."""
        return (self.path / "summary.json").exists()


def plan(
    variants: Sequence[str], seeds: Sequence[int], root: Path, more: Sequence[str] = ()
) -> list[Trial]:
    """The trials, seed by seed.

    Raises:
        ConfigError: if there is no such variant.
    """
    for variant in variants:
        if variant not in VARIANTS:
            raise ConfigError(f"no variant {variant!r}{did_you_mean(variant, VARIANTS)}")
    return [
        Trial(
            variant=variant,
            config=load(
                VARIANTS[variant].run,
                RunConfig,
                [*VARIANTS[variant].changes, *more, f"seed={seed}"],
            ),
            path=root / f"{variant}-seed{seed}",
        )
        for seed in seeds
        for variant in variants
    ]


def run(trial: Trial, donors: Sequence[Trial]) -> None:
    """Run a trial to its end, from wherever it stands.

    Args:
        trial: its folder is made if it is not there.
        donors: one that is finished and collected and imitated alike lends its results.

    Raises:
        ConfigError: if the folder holds a run of other settings.
        RobotRlError: if the run fails.
    """
    if not trial.path.exists():
        fits = [d for d in donors if d.finished and _alike(d.config, trial.config)]
        create(trial, fits[0] if fits else None)
    elif RunFolder.open(trial.path).config != trial.config:
        raise ConfigError(
            f"{trial.path} holds a run of other settings: name another folder with --runs, or "
            "remove it"
        )
    if trial.finished:
        return
    with (trial.path / "bench.log").open("ab") as log:
        command = [COMMAND, "run", "--resume", trial.path]
        status = subprocess.run(command, stdout=log, stderr=log, check=False).returncode
    if status:
        raise RobotRlError(f"{trial.path} ended with status {status}; see its bench.log")


def _alike(one: RunConfig, other: RunConfig) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in SHARED)


def create(trial: Trial, donor: Trial | None) -> None:
    """Make the folder, with the donor's demonstrations and base policy and what they took."""
    new = trial.path.with_name(f".{trial.path.name}")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    save(trial.config, new / "config.yaml")
    if donor:
        for name in ("demos", "base"):
            shutil.copytree(donor.path / name, new / name)
        phases = RunFolder.open(donor.path).phases
        done = {name: phases[name] for name in ("collect", "imitate")}
        (new / "phases.json").write_text(json.dumps(done, indent=2))
        lines = (donor.path / "events.jsonl").read_text().splitlines(keepends=True)
        before = itertools.takewhile(lambda line: '"phase": "improve"' not in line, lines)
        (new / "events.jsonl").write_text("".join(before))
    new.rename(trial.path)
