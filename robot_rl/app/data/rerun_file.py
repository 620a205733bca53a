"""An episode as a recording of the Rerun viewer (rerun.io), with the package rerun-sdk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.episode import Episode
from robot_rl.core.errors import DependencyError
from robot_rl.core.recording import RecordingSpec


def write_rerun(path: Path, episode: Episode, spec: RecordingSpec) -> None:
    """Write every curve and picture, over the timelines `step` and `time`.

    Raises:
        DependencyError: if rerun-sdk is not installed.
    """
    try:
        import rerun as rr  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise DependencyError(
            "an .rrd file is written by the package rerun-sdk: pip install rerun-sdk"
        ) from error
    period_s = spec.task.action.period_s
    with rr.RecordingStream("robot_rl", recording_id=episode.episode_id) as recording:
        recording.save(str(path))
        for name, values in curves(episode, spec).items():
            steps = np.arange(len(values))
            times = [
                rr.TimeColumn("step", sequence=steps),
                rr.TimeColumn("time", duration=steps * period_s),
            ]
            recording.send_columns(name, indexes=times, columns=rr.Scalars.columns(scalars=values))
        for key, frames in episode.images.items():
            for step, frame in enumerate(frames):
                recording.set_time("step", sequence=step)
                recording.set_time("time", duration=step * period_s)
                recording.log(key.replace(".", "/"), rr.Image(frame).compress(jpeg_quality=85))


def curves(episode: Episode, spec: RecordingSpec) -> dict[str, NDArray[np.float64]]:
    """Return every scalar column, float64[T] or float64[T + 1], by entity path."""
    found: dict[str, NDArray[np.float64]] = {}
    for key, vector in spec.task.observation.vectors.items():
        for index, name in enumerate(vector.names):
            found[f"{key.replace('.', '/')}/{name}"] = episode.vectors[key][:, index].astype("f8")
    for column in ("action", "base_action", "proposed_action"):
        for index, name in enumerate(spec.task.action.names):
            found[f"{column}/{name}"] = getattr(episode, column)[:, index].astype("f8")
    for column in ("reward", "source", "gate_reason", "inference_s", "lateness_s"):
        found[column] = getattr(episode, column).astype("f8")
    for index, values in enumerate(episode.latent.T):
        found[f"latent/{index}"] = values.astype("f8")
    return found
