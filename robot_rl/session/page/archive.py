"""What has been recorded, for the page's review: read only, from the stores and the film."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg

from robot_rl.core.episode import Episode
from robot_rl.core.errors import StorageError
from robot_rl.data.judged import as_judged
from robot_rl.data.store.episode_reader import EpisodeReader
from robot_rl.session.columns import columns_of
from robot_rl.session.film import Film
from robot_rl.session.listing import Listing
from robot_rl.session.page.picture import Picture
from robot_rl.session.view import EpisodeRow

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_MOST_WAITING = 64
_MOST_ROWS = 500


class Archive:
    """Reads the stores beside whoever writes them, and writes the film. From any thread.

    Args:
        stores: folders of episode stores whose ids differ; they need not be there yet.
        film: where pictures are kept.
        quality: of pictures out of a store, as JPEG.
    """

    def __init__(self, stores: Sequence[Path], film: Film, quality: int) -> None:
        self._quality = quality
        self._film = film
        self._shelves = tuple(_Shelf(path) for path in stores)
        self._newest: Episode | None = None
        self._reading = threading.Lock()
        self._filming = ThreadPoolExecutor(1, "film")
        self._waiting = threading.BoundedSemaphore(_MOST_WAITING)

    def keep(self, picture: Picture) -> None:
        """Add a picture to the film, in a thread; forget it if the disk is too slow."""
        if picture.moment is not None and self._waiting.acquire(blocking=False):
            self._filming.submit(self._add, picture, *picture.moment)

    def close(self) -> None:
        """End the thread, once it has written what waits."""
        self._filming.shutdown()
        self._film.close()

    def rows(self) -> tuple[EpisodeRow, ...]:
        """Return the recorded episodes, newest first of each store, and those discarded.

        Raises:
            StorageError: if a store is damaged.
        """
        with self._reading:
            return tuple(row for shelf in self._shelves for row in shelf.rows())

    def columns(self, episode_id: str) -> dict[str, Any]:
        """Return what the scrubber shows of an episode.

        Raises:
            StorageError: if there is no such episode, or it is discarded.
        """
        with self._reading:
            return columns_of(as_judged(self._reader_of(episode_id), episode_id))

    def picture(self, episode_id: str, camera: str, step: int) -> bytes:
        """Return a picture of a step as JPEG, from the film, or of what the policy saw.

        Raises:
            StorageError: if there is none.
        """
        if not (_NAME.fullmatch(episode_id) and _NAME.fullmatch(camera) and step >= 0):
            raise StorageError("there is no such picture")
        if (jpeg := self._film.picture(episode_id, camera, step)) is not None:
            return jpeg
        with self._reading:
            images = self._episode(episode_id).images
        column = images.get(camera, images.get(f"observation.images.{camera}"))
        if column is None or step >= len(column):
            raise StorageError(f"episode {episode_id!r} has no picture of {camera!r} at {step}")
        image = np.ascontiguousarray(column[step])
        return simplejpeg.encode_jpeg(image, self._quality, "RGB", "420", fastdct=True)

    def _add(self, picture: Picture, episode_id: str, step: int) -> None:
        try:
            self._film.add(episode_id, step, picture.camera, picture.jpeg)
        finally:
            self._waiting.release()

    def _episode(self, episode_id: str) -> Episode:
        reader = self._reader_of(episode_id)
        if self._newest is None or self._newest.episode_id != episode_id:
            self._newest = reader.read(episode_id)
        return self._newest

    def _reader_of(self, episode_id: str) -> EpisodeReader:
        for shelf in self._shelves:
            reader = shelf.refreshed()
            if reader is not None and episode_id in reader.ids():
                return reader
        raise StorageError(f"there is no episode {episode_id[:200]!r}")


class _Shelf:
    """One store, from when it is there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader: EpisodeReader | None = None
        self._list: Listing | None = None

    def refreshed(self) -> EpisodeReader | None:
        """Return the reader, up to date; None if there is no store yet."""
        if self._reader is not None:
            self._reader.refresh()
        elif (self._path / "manifest.jsonl").exists():
            self._reader = EpisodeReader(self._path)
        return self._reader

    def rows(self) -> tuple[EpisodeRow, ...]:
        if (reader := self.refreshed()) is None:
            return ()
        if self._list is None:
            self._list = Listing(reader)
        return self._list.rows(_MOST_ROWS)
