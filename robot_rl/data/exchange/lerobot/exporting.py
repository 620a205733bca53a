"""An episode store as a LeRobot v3 dataset, whole and checked, or not at all."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from robot_rl.core.episode import Episode
from robot_rl.core.errors import ConfigError, StorageError
from robot_rl.core.recording import RecordingSpec
from robot_rl.data.disk.durable import Disk
from robot_rl.data.exchange.aside import made_aside
from robot_rl.data.exchange.lerobot.verify import Expected, verify
from robot_rl.data.exchange.lerobot.writer import DatasetWriter

_REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)


class Episodes(Protocol):
    """What is exported: an `EpisodeReader`, as far as it is needed here."""

    @property
    def spec(self) -> RecordingSpec:
        """What the episodes have in common."""
        ...

    def ids(self) -> list[str]:
        """Ids in order, deleted ones left out."""
        ...

    def read(self, episode_id: str, /) -> Episode:
        """Read one episode."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """What was written: how many episodes, frames, and bytes on disk."""

    episodes: int
    frames: int
    bytes: int


def export_lerobot(
    reader: Episodes,
    target: Path,
    *,
    repo_id: str,
    video: bool = True,
    progress: Callable[[int, int], None] | None = None,
    disk: Disk | None = None,
) -> ExportReport:
    """Write all episodes as a LeRobot v3 dataset at `target`.

    It is made aside, opened with LeRobot's own loader, compared, and renamed: a kill at any point
    leaves `target` absent or complete, and the next export to it removes what is left.

    Args:
        reader: the episodes; one is in memory at a time.
        target: the dataset's folder; must not exist.
        repo_id: `user/dataset`, its name on a hub.
        video: cameras become videos (AV1, lossy); otherwise PNG images, exact, and several times
            as large.
        progress: told (done, all) after each episode.
        disk: what makes it durable; tests hand in one that fails.

    Raises:
        ConfigError: `repo_id` is no name of a dataset.
        ContractError: LeRobot cannot hold this recording; the message says what to do.
        StorageError: no episodes, `target` exists, or writing or comparing failed.
        DependencyError: lerobot is not installed.
    """
    if not _REPO_ID.fullmatch(repo_id):
        raise ConfigError(f"repo_id {repo_id!r}: expected USER/DATASET of letters, digits, '_.-'")
    ids = reader.ids()
    if not ids:
        raise StorageError(
            f"nothing to export to {target}: the store has no episode that is not deleted; record "
            "some, or bring deleted ones back with: robot-rl data undo"
        )
    with made_aside(target, disk or Disk()) as folder:
        frames = _write(reader, ids, folder, repo_id=repo_id, video=video, progress=progress)
        size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    return ExportReport(episodes=len(ids), frames=frames, bytes=size)


def _write(
    reader: Episodes,
    ids: list[str],
    folder: Path,
    *,
    repo_id: str,
    video: bool,
    progress: Callable[[int, int], None] | None,
) -> int:
    writer = DatasetWriter(folder, reader.spec, repo_id=repo_id, video=video)
    expected: list[Expected] = []
    try:
        for done, episode_id in enumerate(ids, 1):
            episode = reader.read(episode_id)
            expected.append(Expected.of(episode, writer.add(episode)))
            if progress:
                progress(done, len(ids))
        writer.close()
    finally:
        writer.abandon()
    verify(folder, reader.spec, repo_id, expected, folder.with_name(f"{folder.name}.cache"))
    return sum(e.steps for e in expected)
