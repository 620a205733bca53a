"""Frames become JPEG: each at most once, and only if somebody looks at it or it is kept."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import simplejpeg

from robot_rl.core.errors import ContractError
from robot_rl.session.view import Frame

Moment = tuple[str, int]
"""An episode and its step."""

_THREADS = 2
_NICE = 5
"""The control loop's ticks come first where cores are few."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A frame as JPEG.

    Args:
        channel: index of its camera, and `message.REFERENCE` if it is that.
        camera: its name.
        number: of the frame.
        taken_ms: when it was taken, unix time [ms].
        moment: of which step of which episode, if one runs.
        jpeg: the bytes.
    """

    channel: int
    camera: str
    number: int
    taken_ms: float
    moment: Moment | None
    jpeg: bytes


class Pictures:
    """The newest frame of each channel, and the newest picture made of one. For one event loop.

    Args:
        quality: of JPEG, 1 to 100.
        is_wanted: whether anybody would take a new picture of the channel now.
        made: called with each new picture.
    """

    def __init__(
        self, quality: int, is_wanted: Callable[[int], bool], made: Callable[[Picture], None]
    ) -> None:
        self._quality = quality
        self._is_wanted = is_wanted
        self._made = made
        self._waiting: dict[int, tuple[Frame, Moment | None]] = {}
        self._newest: dict[int, Picture] = {}
        self._encoding: dict[int, asyncio.Future[None]] = {}
        self._pool = ThreadPoolExecutor(_THREADS, "jpeg", initializer=_give_way)

    def __iter__(self) -> Iterator[Picture]:
        """The newest picture of each channel."""
        return iter(self._newest.values())

    def put(self, channel: int, frame: Frame, moment: Moment | None) -> None:
        """Take a frame; an older one of the channel that nobody wanted is forgotten.

        Raises:
            ContractError: if there are not as many bytes as its size needs.
        """
        size = frame.height * frame.width * 3
        if len(frame.rgb) != size or not size:
            raise ContractError(
                f"camera {frame.camera!r}: got a picture of {len(frame.rgb)} bytes, expected "
                f"{size} for {frame.width} x {frame.height}"
            )
        self._waiting[channel] = frame, moment
        self.look(channel)

    def look(self, channel: int) -> None:
        """Make a picture of the newest frame of a channel, if it is wanted now."""
        if channel in self._waiting and channel not in self._encoding and self._is_wanted(channel):
            frame, moment = self._waiting.pop(channel)
            self._encoding[channel] = asyncio.ensure_future(self._make(channel, frame, moment))

    def look_at_all(self) -> None:
        """Do so for every channel."""
        for channel in tuple(self._waiting):
            self.look(channel)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _make(self, channel: int, frame: Frame, moment: Moment | None) -> None:
        loop = asyncio.get_running_loop()
        try:
            jpeg = await loop.run_in_executor(self._pool, encode_jpeg, frame, self._quality)
        finally:
            del self._encoding[channel]
        taken_ms = unix_ms_of(frame.stamp_ns)
        picture = Picture(channel, frame.camera, frame.number, taken_ms, moment, jpeg)
        self._newest[channel] = picture
        self._made(picture)
        self.look(channel)


def encode_jpeg(frame: Frame, quality: int) -> bytes:
    """Return a frame as JPEG."""
    image = np.frombuffer(frame.rgb, np.uint8).reshape(frame.height, frame.width, 3)
    return simplejpeg.encode_jpeg(image, quality, "RGB", "420", fastdct=True)


def unix_ms_of(stamp_ns: int) -> float:
    """Return the wall time [ms] of an instant of the machine's monotonic clock [ns]."""
    return (time.time_ns() - time.monotonic_ns() + stamp_ns) / 1e6


def _give_way() -> None:
    """Let this thread alone be nice."""
    os.nice(_NICE)
