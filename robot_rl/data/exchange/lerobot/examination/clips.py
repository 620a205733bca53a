"""Checks of the videos: that every frame of every episode is there, at its time."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from robot_rl.data.exchange.lerobot.examination.damage import Chart, DamageError, Kind
from robot_rl.data.exchange.lerobot.examination.episodes import Clips, Episodes
from robot_rl.data.exchange.lerobot.examination.files import inside
from robot_rl.data.exchange.lerobot.examination.layout import Feature, Floats, Info

_TOLERANCE_S = 1e-4
"""What lerobot's loader allows between the time asked for and the frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """One video file as decoded.

    Args:
        times_s: of the frames that decode, ascending.
        height: pixels.
        width: pixels.
        fps: frames per second; 0 if the file does not say.
        error: why decoding stopped early; empty if it did not.
    """

    times_s: Floats
    height: int
    width: int
    fps: float
    error: str


def read_film(root: Path, relative: str, *, decode: bool = True) -> Film:
    """Read a video.

    Args:
        root: the dataset.
        relative: path of the video in it.
        decode: decode every frame; else only the packets are counted.

    Raises:
        DamageError: it is missing, or no video.
    """
    path = inside(root, relative)
    if not path.is_file():
        raise DamageError(Kind.NO_VIDEO, path, "no such file")
    try:
        # The format is given, because others may name further files, and those would be opened.
        container = av.open(str(path), format="mp4")
    except (OSError, ValueError, FFmpegError) as error:
        raise DamageError(Kind.VIDEO_BROKEN, path, f"not a video: {error}") from error
    with contextlib.closing(container):
        if not container.streams.video:
            raise DamageError(Kind.VIDEO_BROKEN, path, "no video stream in it")
        stream = container.streams.video[0]
        times_s, error = _times(container, stream, decode=decode)
        return Film(
            times_s=times_s,
            height=stream.codec_context.height,
            width=stream.codec_context.width,
            fps=float(stream.average_rate or 0),
            error=error,
        )


def _times(container: InputContainer, stream: VideoStream, *, decode: bool) -> tuple[Floats, str]:
    """Return the times of the frames up to the first that fails, and why it failed."""
    times: list[float] = []
    # PyAV's stubs leave the type of time bases open.
    base = float(cast(Any, stream).time_base)
    error = ""
    try:
        for packet in container.demux(stream):
            units = cast(list[Any], packet.decode() if decode else [packet])
            for unit in units:
                if unit.is_corrupt:
                    raise ValueError("corrupt")
                if unit.pts is not None:
                    times.append(unit.pts * base)
    except (OSError, ValueError, FFmpegError) as failed:
        error = f"after {len(times)} frames: {failed}"
    return np.sort(np.array(times, np.float64)), error


def check_clips(
    root: Path, info: Info, episodes: Episodes, chart: Chart, *, decode: bool = True
) -> None:
    """Check every camera of every episode against its video."""
    for key in info.cameras:
        clips = episodes.clips[key]
        by_file: dict[str, list[int]] = {}
        for episode, name in enumerate(clips.files):
            if name:
                by_file.setdefault(name, []).append(episode)
        for name, members in by_file.items():
            starts = _check_starts(root, info, episodes, clips, members, chart)
            with chart.noting(breaks=members[0]):
                film = read_film(root, name, decode=decode)
                if _check_form(root / name, film, info, info.features[key], members[0], chart):
                    _check_frames(root / name, film, info, episodes, starts, chart)


def _check_starts(
    root: Path, info: Info, episodes: Episodes, clips: Clips, members: list[int], chart: Chart
) -> dict[int, float]:
    """Check the times in the table; return when each episode of a video truly starts."""
    starts: dict[int, float] = {}
    frames = 0
    for episode in members:
        start = frames / info.fps
        frames += max(int(episodes.length[episode]), 0)
        stop = frames / info.fps
        got = float(clips.start_s[episode]), float(clips.stop_s[episode])
        # Not "greater than the tolerance": a NaN would pass.
        if not (abs(got[0] - start) <= _TOLERANCE_S and abs(got[1] - stop) <= _TOLERANCE_S):
            chart.note_episode(
                Kind.TIMESTAMP,
                episodes.source(root, episode),
                f"{got[0]:.6f} to {got[1]:.6f} s of {clips.files[episode]}, "
                f"expected {start:.6f} to {stop:.6f} s",
                episode,
            )
        starts[episode] = start
    return starts


def _check_form(
    path: Path, film: Film, info: Info, feature: Feature, first: int, chart: Chart
) -> bool:
    height, width = feature.height_width
    sound_rate = not film.fps or abs(film.fps - info.fps) <= 1e-3 * info.fps
    if (film.height, film.width) == (height, width) and sound_rate:
        return True
    chart.note(
        Kind.VIDEO_FORMAT,
        path,
        f"{film.height} x {film.width} at {film.fps:g} Hz, "
        f"expected {height} x {width} at {info.fps:g} Hz",
        breaks=first,
    )
    return False


def _check_frames(
    path: Path,
    film: Film,
    info: Info,
    episodes: Episodes,
    starts: dict[int, float],
    chart: Chart,
) -> None:
    kind = Kind.VIDEO_BROKEN if film.error else Kind.VIDEO_SHORT
    lost = False
    for episode, start in starts.items():
        length = max(int(episodes.length[episode]), 0)
        # A table may claim any length; no more than one frame too many has to be looked for.
        wanted = start + np.arange(min(length, len(film.times_s) + 1)) / info.fps
        have = int(_present(film.times_s, wanted).sum())
        if have < length:
            lost = True
            chart.note_episode(
                kind,
                path,
                f"{have} of its {length} frames are there ({film.error or 'it ends early'}; "
                f"{len(film.times_s)} in all)",
                episode,
            )
    if film.error and not lost:
        chart.note(kind, path, f"{film.error}, behind all frames that are needed")


def _present(times_s: Floats, wanted_s: Floats) -> npt.NDArray[np.bool_]:
    """Return for each wanted time whether a frame is there."""
    if not len(times_s):
        return np.zeros(len(wanted_s), np.bool_)
    after = np.searchsorted(times_s, wanted_s).clip(0, len(times_s) - 1)
    before = (after - 1).clip(0)
    gap = np.minimum(np.abs(times_s[after] - wanted_s), np.abs(times_s[before] - wanted_s))
    return gap <= _TOLERANCE_S
