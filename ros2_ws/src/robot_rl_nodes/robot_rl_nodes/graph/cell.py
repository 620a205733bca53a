"""A cell as the policy bridge sees it: how its streams are watched."""

from __future__ import annotations

from pathlib import Path

from robot_rl.config.load import load
from robot_rl.core.spec import TaskSpec
from robot_rl.runtime.gate.cell import GateCell
from robot_rl.sensing.monitor import StreamMonitor, StreamMonitorConfig


class WatchedCell(GateCell):
    """A cell of `configs/cells`.

    Args:
        streams: which faults of cameras and sensors count though their samples keep coming.
    """

    streams: StreamMonitorConfig | None = None  # pyright: ignore[reportIncompatibleVariableOverride]


def stream_monitor(path: Path, task: TaskSpec) -> StreamMonitor | None:
    """Return what watches the streams of a cell for a task; None if its YAML names none.

    Raises:
        ConfigError: naming what is wrong in the file.
    """
    streams = load(path, WatchedCell).streams
    return streams.build(task.observation, task.action.period_s) if streams else None
