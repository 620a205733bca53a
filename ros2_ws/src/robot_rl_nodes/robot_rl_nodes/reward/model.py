"""The reward model that a node is told of, by the path of its YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from robot_rl.config.load import load
from robot_rl.config.model import Config
from robot_rl.core.errors import ConfigError
from robot_rl.core.spec import TaskSpec
from robot_rl.rewards.model import RewardModel


def reward_model(path: Path | str, task: TaskSpec) -> RewardModel:
    """Return the model that judges a task.

    Raises:
        ConfigError: naming what is wrong in the file, does not fit the task, or is no model.
    """
    config: Any = load(path, Config)
    wrong = (
        f"{path}: {type(config).__name__} is no reward model; expected a file of "
        "configs/rewards/models/, whose `build(task)` returns a RewardModel"
    )
    try:
        model = config.build(task)
    except (AttributeError, TypeError) as error:
        raise ConfigError(f"{wrong}: {error}") from error
    if not all(hasattr(model, name) for name in ("name", "observation", "score", "reset")):
        raise ConfigError(f"{wrong}; got {type(model).__name__}")
    return cast(RewardModel, model)
