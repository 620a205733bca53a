"""An episode as an MCAP file, for Foxglove, PlotJuggler, `ros2 bag` and `read_log`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from robot_rl.core.episode import Episode
from robot_rl.core.errors import ContractError, StorageError
from robot_rl.core.recording import RecordingSpec
from robot_rl.data.disk.durable import TEMPORARY_PREFIX, Disk
from robot_rl.data.log.image_channels import ImageCoding
from robot_rl.data.log.log_file import LogFile
from robot_rl.data.log.opening import Opening


def write_mcap(
    path: Path,
    episode: Episode,
    spec: RecordingSpec,
    *,
    images: ImageCoding = "jpeg",
    disk: Disk | None = None,
) -> None:
    """Write an episode as one MCAP file: afterwards it is there whole, or not at all.

    Topics and messages are those of the episode log. With `raw` or `png`, `read_log` gives the
    episode back bit by bit; with `jpeg`, all of it but the images.

    Raises:
        ConfigError: if there is no such way to code images.
        ContractError: if the episode is not of the spec.
        StorageError: if the file is there already, or cannot be written.
    """
    disk = disk or Disk()
    if path.exists():
        raise StorageError(f"{path} is there already; delete it or name another file")
    _check(episode, spec)
    opening = Opening(
        episode_id=episode.episode_id,
        spec=spec,
        metadata=episode.metadata,
        images=images,
        outcome=episode.outcome,
    )
    written = path.with_name(f"{TEMPORARY_PREFIX}{path.name}")
    try:
        _write(written, episode, opening, disk)
        disk.rename(written, path)
        disk.sync_dir(path.parent)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written: {error}; free space or name another folder"
        ) from error
    finally:
        written.unlink(missing_ok=True)


def _write(path: Path, episode: Episode, opening: Opening, disk: Disk) -> None:
    # What a process left that died here; no other writes a file of this name.
    path.unlink(missing_ok=True)
    file = LogFile(path, opening, disk)
    try:
        for transition in episode.transitions():
            file.add(transition)
        file.finish()
    finally:
        file.close()


def _check(episode: Episode, spec: RecordingSpec) -> None:
    first = episode.observation(0)
    spec.task.observation.check(first.vectors, first.images)
    size = spec.task.action.size
    for name in ("action", "proposed_action", "base_action"):
        column = getattr(episode, name)
        if column.shape[1:] != (size,) or column.dtype != np.float32:
            raise ContractError(
                f"episode {episode.episode_id}: {name} is {column.dtype}{list(column.shape)}, "
                f"expected float32[{len(column)}, {size}]"
            )
