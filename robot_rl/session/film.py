"""Pictures that were shown while an episode ran, kept beside the store for its review.

`FOLDER/EPISODE/CAMERA.film`: records, one after the other, each a header (magic, step, length,
CRC-32 of the picture) and a JPEG. What a kill tore at a file's end is ignored, and cut off when
more is added. Film is a convenience: a disk that fails costs pictures, never the session.
"""

from __future__ import annotations

import bisect
import contextlib
import hashlib
import logging
import os
import shutil
import struct
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

EPISODES = 200
BYTES = 2_000_000_000

_HEADER = struct.Struct("<4sIII")
_MAGIC = b"rrf1"
_SUFFIX = ".film"
_LONGEST_NAME = 200
_LOG = logging.getLogger(__name__)


class Film:
    """Pictures by episode, camera and step; a context manager. For any threads of one process.

    The oldest episodes go once there are more than `most_episodes`, or `most_bytes` are taken;
    an episode that alone takes as much gets no more.

    Args:
        folder: made if absent, by the first picture.
        most_episodes: kept, at least 1.
        most_bytes: taken by all files.
        write: writes bytes to a descriptor, as `os.write` does; tests hand in one that fails.
    """

    def __init__(
        self,
        folder: Path,
        *,
        most_episodes: int = EPISODES,
        most_bytes: int = BYTES,
        write: Callable[[int, bytes], int] = os.write,
    ) -> None:
        self._folder = folder
        self._most_episodes = most_episodes
        self._most_bytes = most_bytes
        self._write = write
        self._lock = threading.Lock()
        self._reels: dict[Path, _Reel] = {}
        self._sizes = _sizes(folder)
        self._total = sum(self._sizes.values())
        self._has_failed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all files; what is asked of it afterwards opens them again."""
        with self._lock:
            for reel in self._reels.values():
                reel.close()
            self._reels.clear()

    def add(self, episode_id: str, step: int, camera: str, jpeg: bytes) -> None:
        """Keep a picture of a step; of several of one step and camera the last counts."""
        with self._lock:
            try:
                self._add(_name(episode_id), step, _name(camera) + _SUFFIX, jpeg)
            except OSError as error:
                if not self._has_failed:
                    _LOG.warning("%s: pictures are missing: %s", self._folder, error)
                self._has_failed = True

    def picture(self, episode_id: str, camera: str, step: int) -> bytes | None:
        """Return the JPEG of a step, or of the nearest one before that has one; None without."""
        path = self._folder / _name(episode_id) / (_name(camera) + _SUFFIX)
        with self._lock:
            try:
                reel = self._reels.get(path) or _Reel(path)
                if path.parent.name in self._sizes:
                    self._reels[path] = reel
                return reel.read(step)
            except FileNotFoundError:
                return None
            except OSError as error:
                _LOG.warning("%s: cannot be read: %s", path, error)
                return None

    def _add(self, episode: str, step: int, camera: str, jpeg: bytes) -> None:
        size = _HEADER.size + len(jpeg)
        if episode not in self._sizes:
            for reel in self._reels.values():
                reel.close()
            (self._folder / episode).mkdir(parents=True, exist_ok=True)
            self._sizes[episode] = 0
        self._make_room(episode, size)
        if self._total + size > self._most_bytes:
            return
        path = self._folder / episode / camera
        if path not in self._reels:
            self._reels[path] = _Reel(path, create=True)
        self._reels[path].append(step, jpeg, self._write)
        self._sizes[episode] += size
        self._total += size

    def _make_room(self, episode: str, size: int) -> None:
        """Remove the oldest episodes but this one until there is room."""
        for oldest in [name for name in self._sizes if name != episode]:
            fits = self._total + size <= self._most_bytes
            if fits and len(self._sizes) <= self._most_episodes:
                return
            for path in [path for path in self._reels if path.parent.name == oldest]:
                self._reels.pop(path).close()
            shutil.rmtree(self._folder / oldest)
            self._total -= self._sizes.pop(oldest)


class _Reel:
    """The pictures of one camera of one episode, and where in the file each is."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self._path = path
        self._descriptor = -1
        self._places: dict[int, tuple[int, int, int]] = {}
        self._steps: list[int] = []
        self._end = 0
        if create:
            path.touch()
        self._scan()

    def append(self, step: int, jpeg: bytes, write: Callable[[int, bytes], int]) -> None:
        """Add a record; what a write that failed left is cut off by the next."""
        if self._descriptor < 0:
            self._descriptor = os.open(self._path, os.O_WRONLY)
        os.ftruncate(self._descriptor, self._end)
        os.lseek(self._descriptor, self._end, os.SEEK_SET)
        crc = zlib.crc32(jpeg)
        rest = memoryview(_HEADER.pack(_MAGIC, step, len(jpeg), crc) + jpeg)
        while rest:
            rest = rest[write(self._descriptor, bytes(rest)) :]
        self._take(step, len(jpeg), crc)

    def read(self, step: int) -> bytes | None:
        """Return the picture of a step or the nearest before; None without, or if damaged."""
        index = bisect.bisect_right(self._steps, step) - 1
        if index < 0:
            return None
        start, length, crc = self._places[self._steps[index]]
        with self._path.open("rb") as file:
            file.seek(start)
            jpeg = file.read(length)
        return jpeg if zlib.crc32(jpeg) == crc else None

    def close(self) -> None:
        """Close the file for writing; it is opened again when needed."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _scan(self) -> None:
        with self._path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            while len(header := file.read(_HEADER.size)) == _HEADER.size:
                magic, step, length, crc = _HEADER.unpack(header)
                if magic != _MAGIC or file.tell() + length > size:
                    return
                self._take(step, length, crc)
                file.seek(self._end)

    def _take(self, step: int, length: int, crc: int) -> None:
        if step not in self._places:
            bisect.insort(self._steps, step)
        self._places[step] = (self._end + _HEADER.size, length, crc)
        self._end += _HEADER.size + length


def _name(text: str) -> str:
    """Return a file name of its own for each text, without separators and without a dot ahead."""
    name = quote(text, safe="", errors="surrogatepass")
    if len(name) > _LONGEST_NAME or not name:
        return "%" + hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
    return "%2E" + name[1:] if name.startswith(".") else name


def _sizes(folder: Path) -> dict[str, int]:
    """Bytes of each episode that is there, oldest first."""
    found: list[tuple[int, str, int]] = []
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                size = sum(file.stat().st_size for file in path.iterdir())
                found.append((path.stat().st_mtime_ns, path.name, size))
    return {name: size for _, name, size in sorted(found)}
