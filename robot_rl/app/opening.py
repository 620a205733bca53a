"""What every command that runs something begins with: the run's folder, and heed of Ctrl-C."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

from robot_rl.app.run_config import RunConfig
from robot_rl.app.run_folder import DIRECT, RunFolder
from robot_rl.app.through import check_through
from robot_rl.config.load import load
from robot_rl.core.errors import ConfigError


def open_folder(
    words: Sequence[str], resume: Path | None, runs: Path, through: str | None = None
) -> RunFolder:
    """Make the folder of a new run, or open that of one to go on with.

    Args:
        words: a run's YAML file and overrides `key=value`; none with `resume`.
        resume: folder of the run to go on with.
        runs: where folders of new runs are made.
        through: how the bench is commanded, see `RunFolder`.

    Raises:
        ConfigError: if there is both or neither, or the file is no run's.
    """
    way = None if through is None else check_through(through)
    if resume is not None:
        if words:
            raise ConfigError(
                "--resume goes on with the config that the run was started with; drop "
                f"{' '.join(words)!r}"
            )
        return RunFolder.open(resume, way)
    if not words:
        raise ConfigError("name a run's YAML file, e.g. configs/runs/peg_insert.yaml, or --resume")
    path, *overrides = words
    if any(override.startswith("cell.limits.") for override in overrides):
        raise ConfigError(
            "limits belong to the cell's file; a run tightens them by limits.<name>=<value>"
        )
    config = load(Path(path), RunConfig, overrides)
    return RunFolder.create(runs, config, way or DIRECT)


class StopOnSignal:
    """True after the first Ctrl-C; a second one interrupts at once.

    Attributes:
        told: called then, in the signal's handler.
    """

    def __init__(self) -> None:
        self._asked = False
        self.told: Callable[[], None] = _nobody
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def __call__(self) -> bool:
        """Whether it was asked for."""
        return self._asked

    def _ask(self, number: int, frame: object) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
        self.told()
        logging.getLogger(__name__).warning("stopping after this episode; again to stop at once")


def _nobody() -> None:
    pass
