"""`robot-rl data show`: one episode to look at, as a page, video files or a Rerun recording."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from robot_rl.app.data.page import page, remarks
from robot_rl.app.data.rerun_file import write_rerun
from robot_rl.app.data.stores import judged, reader_at
from robot_rl.app.data.upkeep import known
from robot_rl.app.data.video import encode_mp4
from robot_rl.app.terminal import Terminal, size_text
from robot_rl.core.episode import Episode
from robot_rl.core.errors import StorageError
from robot_rl.core.recording import RecordingSpec
from robot_rl.core.spec import IMAGE_PREFIX
from robot_rl.data.disk.durable import Disk


@dataclass(frozen=True, slots=True, kw_only=True)
class Show:
    """Make a page of one episode: curves, cameras, interventions, gate, limits, labels.

    The page is one file that needs nothing but a browser.

    Examples:
      robot-rl data show runs/NAME/online EPISODE
      robot-rl data show runs/NAME/online EPISODE --out page.html --video videos
    """

    store: Positional[Path]
    """A store of episodes."""

    episode: Positional[str]
    """The episode."""

    out: Path | None = None
    """The page; EPISODE.html here if not given."""

    video: Path | None = None
    """Also write one MP4 file a camera into this folder."""

    rerun: Path | None = None
    """Also write a recording (.rrd) for the Rerun viewer; needs rerun-sdk."""

    def run(self, terminal: Terminal) -> int:
        """Write the files and name them."""
        reader = reader_at(self.store)
        known(reader, (self.episode,))
        episode = judged(reader, self.episode)
        labels = [reader.label(self.episode, name) for name in sorted(reader.labels(self.episode))]
        if self.rerun is not None:
            write_rerun(self.rerun, episode, reader.spec)
            _say_written(self.rerun, terminal)
        videos = _videos(episode, reader.spec, terminal)
        if self.video is not None:
            self.video.mkdir(parents=True, exist_ok=True)
            for key, content in videos.items():
                name = f"{self.episode}-{key.removeprefix(IMAGE_PREFIX)}.mp4"
                _write(self.video / name, content, terminal)
        html = page(episode, reader.spec, labels, videos)
        _write(self.out or Path(f"{self.episode}.html"), html.encode(), terminal)
        for line in remarks(episode):
            terminal.say(line, style="yellow")
        return 0


def _videos(episode: Episode, spec: RecordingSpec, terminal: Terminal) -> dict[str, bytes]:
    videos: dict[str, bytes] = {}
    with terminal.progress("video") as advance:
        for index, (key, frames) in enumerate(episode.images.items()):
            videos[key] = encode_mp4(frames, 1 / spec.task.action.period_s)
            advance(index + 1, len(episode.images))
    return videos


def _write(path: Path, content: bytes, terminal: Terminal) -> None:
    try:
        Disk().replace_file(path, content)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error}") from error
    _say_written(path, terminal)


def _say_written(path: Path, terminal: Terminal) -> None:
    terminal.say(f"wrote {path}, {size_text(path.stat().st_size)}")
