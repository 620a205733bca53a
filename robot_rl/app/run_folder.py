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


class RunFolder:
    """Paths and finished phases of one run.

    `config.yaml` (resolved), `events.jsonl`, `phases.json`, `demos/`, `online/` (episode stores),
    `base/` (policy), `teacher/` (of the base, if it is a student), `checkpoints/`, `improved/`
    (deployed weights), `summary.json`, `report.html`, and `tensorboard/` and `trackio/` if the
    config's `metrics` name them.
    """

    def __init__(self, path: Path, config: RunConfig) -> None:
        self.path = path
        self.config = config
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
    def create(cls, root: Path, config: RunConfig) -> RunFolder:
        """Make `root/<name>-<stamp>` and write the resolved config into it."""
        stamp = time.strftime("%Y%m%d-%H%M%S")
        path = root / f"{config.name}-{stamp}-seed{config.seed}"
        try:
            path.mkdir(parents=True)
            save(config, path / "config.yaml")
        except OSError as error:
            raise StorageError(f"cannot create the run folder {path}: {error}") from error
        return cls(path, config)

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Open a run's folder again, with the config that it was started with.

        Raises:
            ConfigError: if `path` is not a run's folder.
        """
        config = path / "config.yaml"
        if not config.is_file():
            raise ConfigError(f"{path} is not a run's folder: it has no config.yaml")
        return cls(path, load(config, RunConfig))

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
        """Remember durably that a phase is finished."""
        self._update(phase, {"summary": dict(summary)})

    def _update(self, phase: str, values: Mapping[str, Any]) -> None:
        phases = self.phases
        phases[phase] = {**phases.get(phase, {}), **values}
        try:
            Disk().replace_file(self._phases, json.dumps(phases, indent=2).encode())
        except OSError as error:
            raise StorageError(f"cannot write {self._phases}: {error}") from error
