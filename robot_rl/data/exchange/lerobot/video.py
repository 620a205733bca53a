"""Frames to and from mp4 files by their number, never by a float that was added up.

Frame n of a file has the presentation time n / fps exactly, in the integers of the container. An
encoder runs on across the episodes of a file; every episode begins with a key frame, so that it
can be cut out and decoded alone.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.codec.codec import UnknownCodecError
from av.error import FFmpegError
from av.logging import WARNING, set_libav_level
from av.video.frame import PictureType
from numpy.typing import NDArray

from robot_rl.core.errors import DependencyError, StorageError
from robot_rl.core.types import Image

MAX_FILE_S = 1000.0
"""The loader compares times as float32, whose steps pass its tolerance of 1e-4 s at 1024 s."""

TOLERANCE_S = 1e-3
"""How far a frame or a row may be from its time."""


class VideoWriter:
    """Encodes the frames of one camera, episode after episode, into one mp4 file.

    Args:
        path: the file; its folder exists.
        fps: frames per second [Hz].
        height, width: of every frame.
        encoder: lerobot's `VideoEncoderConfig`: codec, pixel format and options.

    Raises:
        DependencyError: this build of PyAV lacks the codec.
    """

    def __init__(self, path: Path, fps: int, height: int, width: int, encoder: Any) -> None:
        # Both write their progress to the terminal unless told otherwise.
        os.environ.setdefault("SVT_LOG", "1")
        set_libav_level(WARNING)
        self.path = path
        self.frames = 0
        self.bytes = 0
        self._period = Fraction(1, fps)
        self._container = av.open(str(path), "w", options={"movflags": "faststart"})
        self._stream = self._open_stream(fps, encoder)
        self._stream.width, self._stream.height = width, height

    def _open_stream(self, fps: int, encoder: Any) -> Any:
        output: Any = self._container
        options = encoder.get_codec_options(as_strings=True)
        try:
            stream = output.add_stream(encoder.vcodec, fps, options=options)
        except (UnknownCodecError, ValueError) as error:
            self._container.close()
            raise DependencyError(
                f"this build of PyAV has no encoder {encoder.vcodec!r}: {error}; "
                "pip install --force-reinstall av, or export with images instead (video=False)"
            ) from error
        stream.pix_fmt, stream.time_base = encoder.pix_fmt, self._period
        return stream

    def write(self, images: Image) -> None:
        """Encode the frames uint8[T, h, w, 3] of one episode.

        Raises:
            StorageError: the encoder or the disk failed.
        """
        try:
            self._encode(images)
        except FFmpegError as error:
            raise StorageError(f"{self.path}: a frame was not encoded: {error}") from error

    def close(self) -> None:
        """Write what the encoder holds back, and the index.

        Raises:
            StorageError: the encoder or the disk failed.
        """
        try:
            if self.frames:
                self._mux(self._stream.encode())
            self._container.close()
        except FFmpegError as error:
            raise StorageError(f"{self.path}: the video was not closed: {error}") from error

    def _encode(self, images: Image) -> None:
        with _scheduled_as_before():
            for number, image in enumerate(images):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
                frame.pts, frame.time_base = self.frames, self._period
                if number == 0:
                    frame.pict_type = PictureType.I
                self._mux(self._stream.encode(frame))
                self.frames += 1

    def _mux(self, packets: Any) -> None:
        for packet in packets:
            self.bytes += packet.size
            self._container.mux(packet)


@contextlib.contextmanager
def _scheduled_as_before() -> Generator[None]:
    """Keep this thread in its scheduling class.

    Opened by root, SVT-AV1 leaves the thread that encodes its first frame in the real-time class
    at the highest priority, and whatever that thread starts from then on inherits it.
    """
    policy, parameter = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameter)


def frame_numbers(path: Path, fps: int) -> list[Fraction]:
    """Presentation times of all frames of a file in periods, sorted; nothing is decoded.

    Raises:
        StorageError: the file cannot be read.
    """
    numbers: list[Fraction] = []
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            base = Fraction(stream.time_base or 0) * fps
            numbers += [p.pts * base for p in container.demux(stream) if p.pts is not None]
    except (FFmpegError, IndexError) as error:
        raise StorageError(f"{path}: not a readable video: {error}") from error
    return sorted(numbers)


def read_frames(
    path: Path, times_s: Sequence[float] | NDArray[np.float64], height: int, width: int
) -> Image:
    """Decode the frames at these times uint8[n, h, w, 3], in one pass.

    Args:
        path: the file.
        times_s: rising, within the file [s].
        height: that the frames must have.
        width: likewise.

    Raises:
        StorageError: the file cannot be decoded, a time has no frame, or the size differs.
    """
    images = np.empty((len(times_s), height, width, 3), np.uint8)
    found = 0
    try:
        for time_s, frame in _decoded(path, float(times_s[0])):
            if found < len(images) and time_s > times_s[found] + TOLERANCE_S:
                break
            # Frames before the first come from seeking to a key frame.
            while found < len(images) and abs(time_s - times_s[found]) <= TOLERANCE_S:
                if (frame.height, frame.width) != (height, width):
                    raise StorageError(
                        f"{path}: frames of {frame.height} x {frame.width}, expected "
                        f"{height} x {width} of meta/info.json"
                    )
                images[found] = frame.to_ndarray(format="rgb24")
                found += 1
            if found == len(images):
                break
    except (FFmpegError, IndexError, OSError) as error:
        raise StorageError(f"{path}: not a readable video: {error}") from error
    if found < len(images):
        raise StorageError(
            f"{path}: no frame at {times_s[found]:.6f} s (of {len(images)} frames from "
            f"{times_s[0]:.6f} s on); the video is too short or of another frame rate"
        )
    return images


def _decoded(path: Path, start_s: float) -> Iterator[tuple[float, Any]]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        base = Fraction(stream.time_base or 0)
        container.seek(max(0, int(Fraction(start_s) / base) - 1), stream=stream, backward=True)
        for frame in container.decode(stream):
            picture: Any = frame  # its time may be missing, whatever the stubs say
            if picture.pts is not None:
                yield float(picture.pts * base), picture
