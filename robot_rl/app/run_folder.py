"""A run's folder: what is in it, which phases are finished, and how it is opened again."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robot_rl.app.run_config import RunConfig
from robot_rl.config.load import load, save
from robot_rl.core.errors import ConfigError, StorageError
from robot_rl.data.disk.durable import Disk

DIRECT, ROS = "direct", "ros"
"""How the bench is commanded: in the run's own process, or over topics, in lockstep. Else it is
the path of the YAML of a live graph that the run joins."""


class RunFolder:
    """Paths and finished phases of one run.

    `config.yaml` (resolved), `events.jsonl`, `phases.json`, `demos/`, `online/` (episode stores),
    `base/` (policy), `teacher/` (of the base, if it is a student), `checkpoints/`, `improved/`
    (deployed weights), `summary.json`, `report.html`, `tensorboard/` and `trackio/` if the
    config's `metrics` name them; `through` and `ros/` (what was hosted, and its log) if the bench
    was commanded through ROS.

    Attributes:
        through: how the bench is commanded. No part of the config, for it changes no result; each
            finished phase remembers how it went.
    """

    def __init__(self, path: Path, config: RunConfig, through: str = DIRECT) -> None:
        self.path = path
        self.config = config
        self.through = through
        self.events = path / "events.jsonl"
        self.demos = path / "demos"
        self.online = path / "online"
        self.base = path / "base"
        self.teacher = path / "teacher"
        self.checkpoints = path / "checkpoints"
        self.improved = path / "improved"
        self.summary = path / "summary.json"
        self._phases = path / "phases.json"

    @classmethod
    def create(cls, root: Path, config: RunConfig, through: str = DIRECT) -> RunFolder:
        """Make `root/<name>-<stamp>` and write the resolved config into it."""
        stamp = time.strftime("%Y%m%d-%H%M%S")
        path = root / f"{config.name}-{stamp}-seed{config.seed}"
        try:
            path.mkdir(parents=True)
            save(config, path / "config.yaml")
        except OSError as error:
            raise StorageError(f"cannot create the run folder {path}: {error}") from error
        return cls(path, config, through)

    @classmethod
    def open(cls, path: Path, through: str | None = None) -> RunFolder:
        """Open a run's folder again, with the config that it was started with.

        `through` is how its bench is commanded from now on; as before without it.

        Raises:
            ConfigError: if `path` is not a run's folder.
        """
        config = path / "config.yaml"
        if not config.is_file():
            raise ConfigError(f"{path} is not a run's folder: it has no config.yaml")
        remembered = path / "through"
        if through is None and remembered.exists():
            through = remembered.read_text().strip()
        return cls(path, load(config, RunConfig), through or DIRECT)

    def remember_through(self) -> None:
        """Let who opens the folder again command the bench in the same way."""
        remembered = self.path / "through"
        if self.through != DIRECT or remembered.exists():
            self._replace(remembered, self.through)

    @property
    def phases(self) -> dict[str, dict[str, Any]]:
        """What each phase left behind, by name: `wall_s`, and its `summary` once finished."""
        if not self._phases.exists():
            return {}
        return json.loads(self._phases.read_text())

    def summary_of(self, phase: str) -> dict[str, Any] | None:
        """What a finished phase wants remembered; None if it is not finished."""
        return self.phases.get(phase, {}).get("summary")

    def spend(self, phase: str, wall_s: float) -> None:
        """Add to the time that a phase took."""
        spent_s = self.phases.get(phase, {}).get("wall_s", 0.0)
        self._update(phase, {"wall_s": spent_s + wall_s})

    def finish(self, phase: str, summary: Mapping[str, Any]) -> None:
        """Remember durably that a phase is finished, and through what unless directly."""
        through = None if self.through == DIRECT else self.through
        self._update(phase, {"summary": dict(summary), "through": through})

    def _update(self, phase: str, values: Mapping[str, Any]) -> None:
        phases = self.phases
        merged = {**phases.get(phase, {}), **values}
        phases[phase] = {key: value for key, value in merged.items() if value is not None}
        self._replace(self._phases, json.dumps(phases, indent=2))

    def _replace(self, path: Path, text: str) -> None:
        try:
            Disk().replace_file(path, text.encode())
        except OSError as error:
            raise StorageError(f"cannot write {path}: {error}") from error
