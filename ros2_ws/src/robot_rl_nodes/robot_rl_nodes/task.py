"""The task that a node is told of, by the path of its YAML."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from robot_rl.config.load import load
from robot_rl.config.model import Buildable, Config
from robot_rl.core.errors import ConfigError
from robot_rl.core.spec import TaskSpec


def task_spec(path: Path | str) -> TaskSpec:
    """Return what a task is: one that is told in YAML, or that of a simulated task.

    Args:
        path: of a component whose `build()` returns a `TaskSpec`, or something with its `spec`.

    Raises:
        ConfigError: naming what is wrong in the file, or that it is no task.
    """
    config = load(path, Config)
    built = cast(Buildable, config).build() if hasattr(config, "build") else None
    spec = getattr(built, "spec", built)
    if not isinstance(spec, TaskSpec):
        raise ConfigError(
            f"{path}: {type(config).__name__} is no task; expected a file of configs/tasks/, "
            "whose `build()` returns a TaskSpec or something with a `spec`"
        )
    return spec
