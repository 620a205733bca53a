"""An episode while it is being recorded: a log beside the store, until it is sealed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from robot_rl.core.episode import Episode
from robot_rl.core.errors import ContractError, StorageError
from robot_rl.core.recording import RecordingSpec
from robot_rl.core.types import Transition
from robot_rl.data.disk.durable import Disk
from robot_rl.data.log.episode_log import EpisodeLog

_LOG = logging.getLogger(__name__)
_FLOAT_BYTES = 4
_OTHER_BYTES = 64
"""Of one step beside vectors, images and actions: stamps, reward, sources."""


class Recording:
    """The log of one episode; a context manager.

    Sealed, the episode is saved and the log is gone. Left unsealed, the log stays, and the next
    opening of the store makes an interrupted episode of it; without a step nothing stays. Leaving
    unsealed raises StorageError if the log has failed, unless another error is on its way: that
    one then carries it as a note.

    Args:
        episode_id: of the episode.
        log: takes the steps.
        save: appends the episode to the store.
        disk: removes the log.
    """

    def __init__(
        self, episode_id: str, log: EpisodeLog, save: Callable[[Episode], None], disk: Disk
    ) -> None:
        self.episode_id = episode_id
        self.steps = 0
        self._log = log
        self._save = save
        self._disk = disk
        self._over = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._over:
            return
        try:
            self._end(keep=self.steps > 0)
        except StorageError as lost:
            # What brought us here is told first; it may well be the same failure.
            if error is None:
                raise
            error.add_note(str(lost))

    def add(self, transition: Transition) -> None:
        """Log a step; it is on disk within half a second. Never waits for the disk.

        Raises:
            ContractError: if the step is not of the spec, or does not follow the one before.
            StorageError: if an earlier write failed; the message says which steps are safe.
        """
        self._log.add(transition)
        self.steps += 1

    def seal(self, episode: Episode) -> None:
        """Append the finished episode to the store, and remove the log.

        Raises:
            ContractError: if it is another episode, or not of the store's spec.
            StorageError: if it was not saved; the log is still there, and it may be tried again.
        """
        if episode.episode_id != self.episode_id:
            raise ContractError(
                f"recording {self.episode_id!r}: got episode {episode.episode_id!r} to seal"
            )
        self._save(episode)
        try:
            self._end(keep=False)
        except StorageError as error:
            _LOG.warning("%s; nothing is lost, the episode is saved", error)

    def _end(self, *, keep: bool) -> None:
        self._over = True
        try:
            self._log.close()
        finally:
            if not keep:
                remove_log(self._log.path, self._disk)


def remove_log(path: Path, disk: Disk) -> None:
    """Remove the log of an episode that is saved; if that fails, the next opening does it."""
    try:
        disk.remove_file(path)
    except OSError as error:
        _LOG.warning("log %s could not be removed: %s; it is not needed any more", path, error)


def expected_bytes(spec: RecordingSpec) -> int:
    """Return the size of the longest episode of a task, its images uncompressed [bytes]."""
    observation = spec.task.observation
    vectors = sum(vector.size for vector in observation.vectors.values())
    images = sum(image.height * image.width * 3 for image in observation.images.values())
    numbers = vectors + 3 * spec.task.action.size
    step = images + _FLOAT_BYTES * numbers + _OTHER_BYTES
    return (spec.task.horizon + 1) * step


def require_space(path: Path, spec: RecordingSpec, disk: Disk) -> None:
    """Refuse to begin an episode that might not fit.

    Raises:
        StorageError: if less than twice its size is free: log and episode are there together.
    """
    needed, free = 2 * expected_bytes(spec), disk.free_bytes(path)
    if free < needed:
        raise StorageError(
            f"{path}: {_megabytes(free)} are free, an episode of up to {spec.task.horizon} steps "
            f"needs {_megabytes(needed)}; nothing was recorded. Free the disk (robot-rl data "
            f"purge {path} removes deleted episodes), or record to another"
        )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
