"""The base policy of a run, as its folder has it."""

from __future__ import annotations

from robot_rl.app.run_folder import RunFolder
from robot_rl.core.errors import ConfigError
from robot_rl.core.spec import TaskSpec
from robot_rl.policies.chunk_policy import ChunkPolicy
from robot_rl.policies.ready_base import ReadyBase, RunBase


def load_base(folder: RunFolder, task: TaskSpec) -> RunBase:
    """Load what the run has trained, or what it remembers of the one that is ready.

    Raises:
        ConfigError: if the phase that sees to it has not been run yet.
        FingerprintError: if it is of another task.
    """
    if not folder.base.is_dir():
        raise ConfigError(f"{folder.path} has no base policy: run `robot-rl imitate`")
    if folder.config.trained_base:
        return ChunkPolicy.load(folder.base, task.contract)
    return ReadyBase.load(folder.base, folder.config.base, task)
