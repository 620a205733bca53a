"""`robot-rl data export`: a store's episodes for LeRobot or for whatever reads MCAP."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from robot_rl.app.data.stores import judgement_of, reader_at
from robot_rl.app.terminal import Terminal, count_text, size_text
from robot_rl.core.episode import Episode
from robot_rl.core.errors import ConfigError, StorageError
from robot_rl.core.recording import RecordingSpec
from robot_rl.data.disk.durable import Disk
from robot_rl.data.exchange.aside import made_aside
from robot_rl.data.exchange.lerobot.exporting import export_lerobot
from robot_rl.data.log.export import write_mcap
from robot_rl.data.store.episode_reader import EpisodeReader


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """Write a store's episodes as a LeRobot v3 data set or as MCAP files, one an episode.

    The target appears whole or not at all. A person's judgement (label `success`) goes before
    the recorded outcome.

    Examples:
      robot-rl data export runs/NAME/demos plug_in --format lerobot --repo-id me/plug_in
      robot-rl data export runs/NAME/online plug_in_mcap --format mcap --images png
    """

    store: Positional[Path]
    """A store of episodes."""

    target: Positional[Path]
    """The folder to make; it must not be there yet."""

    format: Literal["lerobot", "mcap"]
    """What to write."""

    images: Literal["jpeg", "png", "raw"] | None = None
    """mcap: how to keep camera images; jpeg if not given, png and raw are exact."""

    video: bool = True
    """lerobot: cameras as PNG images, exact and several times as large, not as video."""

    repo_id: str = ""
    """lerobot: USER/NAME of the data set on a hub; local/TARGET if not given."""

    reward: str = ""
    """Export the newest label of this name as the reward, e.g. rlif."""

    def run(self, terminal: Terminal) -> int:
        """Write it and say what was written."""
        episodes = Viewed(reader_at(self.store), self.reward)
        if not episodes.ids():
            raise StorageError(f"{self.store} has no episodes to export")
        with terminal.progress("exporting") as advance:
            size = self._write(episodes, advance)
        terminal.say(
            f"wrote {count_text(len(episodes.ids()), 'episode')} to {self.target}, "
            f"{size_text(size)}"
        )
        return 0

    def _write(self, episodes: Viewed, advance: Callable[[int, int], None]) -> int:
        if self.format == "mcap":
            if self.repo_id or not self.video:
                raise ConfigError("--repo-id and --no-video belong to --format lerobot")
            return export_mcap(episodes, self.target, self.images or "jpeg", advance)
        if self.images:
            raise ConfigError("--images belongs to --format mcap; for lerobot there is --no-video")
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", self.target.resolve().name)
        repo_id = self.repo_id or f"local/{name}"
        report = export_lerobot(
            episodes, self.target, repo_id=repo_id, video=self.video, progress=advance
        )
        return report.bytes


class Viewed:
    """A store's episodes as they are exported: outcome as judged, reward as labelled."""

    def __init__(self, reader: EpisodeReader, reward: str) -> None:
        self._reader = reader
        self._reward = reward or None
        for episode_id in reader.ids() if reward else ():
            if reward not in reader.labels(episode_id):
                raise StorageError(
                    f"episode {episode_id!r} has no label {reward!r}; compute it for all: "
                    f"robot-rl data relabel {reader.path} --reward {reward}"
                )

    @property
    def spec(self) -> RecordingSpec:
        """What the episodes have in common."""
        return self._reader.spec

    def ids(self) -> list[str]:
        """Ids in order, deleted ones left out."""
        return self._reader.ids()

    def read(self, episode_id: str, /) -> Episode:
        """Read one episode."""
        return self._reader.read(
            episode_id,
            reward=self._reward,
            outcome=judgement_of(self._reader, episode_id),
        )


def export_mcap(
    episodes: Viewed,
    target: Path,
    images: Literal["jpeg", "png", "raw"],
    advance: Callable[[int, int], None],
) -> int:
    """Make folder `target` with one MCAP file an episode, whole or not at all; return its bytes.

    Raises:
        StorageError: if `target` is there already, or cannot be written.
    """
    ids = episodes.ids()
    disk = Disk()
    size = 0
    with made_aside(target, disk) as folder:
        disk.make_dir(folder)
        for index, episode_id in enumerate(ids):
            path = folder / f"{episode_id}.mcap"
            write_mcap(path, episodes.read(episode_id), episodes.spec, images=images)
            size += path.stat().st_size
            advance(index + 1, len(ids))
    return size
