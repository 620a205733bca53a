"""The log of the episode that runs: `add` hands a step over, one thread encodes and writes it."""

from __future__ import annotations

import collections
import logging
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from robot_rl.core.episode import EpisodeMetadata
from robot_rl.core.errors import ConfigError, ContractError, StorageError
from robot_rl.core.recording import RecordingSpec
from robot_rl.core.types import Observation, Transition
from robot_rl.data.disk.durable import Disk
from robot_rl.data.log.image_channels import ImageCoding
from robot_rl.data.log.log_file import LogFile
from robot_rl.data.log.opening import Opening

logger = logging.getLogger(__name__)

QUEUE_BYTES = 256 << 20
"""How far the disk may be behind before `add` refuses."""

_TICKS_PER_FLUSH = 5
_STEP_BYTES = 1024
_STEP_VECTORS = ("action", "base_action", "next_base_action", "proposed_action")


class EpisodeLog:
    """Appends the steps of one episode to a new MCAP file, for the case that nobody seals it.

    A step is on the medium at most `flush_s`, plus one write of the disk, after its `add`. The
    arrays of a step must not change after `add`.

    Args:
        path: the file; there must be none, its folder must be there.
        spec: what each step is checked against.
        images: `raw` costs the least time, `png` the least space without loss.
        flush_s: how often a chunk is closed and synced [s], at most 1.
        queue_bytes: how far the disk may be behind.

    Raises:
        ConfigError: if `images` or `flush_s` is out of range.
        ContractError: if the metadata are no JSON values or two keys share a topic.
        StorageError: if the file cannot be made.
    """

    def __init__(
        self,
        path: Path,
        spec: RecordingSpec,
        episode_id: str,
        metadata: EpisodeMetadata,
        *,
        images: ImageCoding = "raw",
        flush_s: float = 0.5,
        disk: Disk | None = None,
        queue_bytes: int = QUEUE_BYTES,
    ) -> None:
        if not 0 < flush_s <= 1:
            raise ConfigError(f"flush_s: got {flush_s}, expected more than 0 and at most 1 s")
        self.path = path
        self._spec = spec
        self._episode_id = episode_id
        opening = Opening(episode_id=episode_id, spec=spec, metadata=metadata, images=images)
        try:
            self._file = LogFile(path, opening, disk or Disk())
        except OSError as error:
            raise StorageError(
                f"log {path} cannot be made: {error}; free space, or name a file that is not "
                "there yet"
            ) from error
        self._last: Transition | None = None
        self._queue: collections.deque[tuple[Transition, int]] = collections.deque()
        self._queue_bytes = queue_bytes
        # Each is changed by one thread alone, so their difference needs no lock.
        self._bytes_added = 0
        self._bytes_written = 0
        self._steps_written = 0
        self._steps_safe = 0
        self._failure = ""
        self._finished = False
        self._closed = False
        self._stop = threading.Event()
        # A daemon: whoever forgets `close` loses the last `flush_s`, not the end of the process.
        self._thread = threading.Thread(
            target=self._run, args=(flush_s,), name=f"log {path.name}", daemon=True
        )
        self._thread.start()

    def add(self, transition: Transition) -> None:
        """Hand over the next step. Never waits for the disk.

        Raises:
            ContractError: if it does not follow the step before it, or is not of the spec; the
                log goes on without it.
            StorageError: if an earlier write failed or the disk is too far behind; the log has
                ended, the message says which steps are safe.
        """
        if self._closed:
            raise StorageError(f"log {self.path} is closed; a new episode needs a new log")
        self._raise_failure()
        self._check(transition)
        size = _size_of(transition)
        behind = self._bytes_added - self._bytes_written
        if behind + size > self._queue_bytes:
            self._failure = (
                f"the disk is {behind} bytes behind, expected at most {self._queue_bytes}; "
                "log to a faster disk, smaller images or at a lower rate"
            )
            self._raise_failure()
        self._bytes_added += size
        self._queue.append((transition, size))
        self._last = transition

    def close(self) -> None:
        """Write the rest and the footer, and wait until they are on the medium.

        Raises:
            StorageError: if the log is not whole; the message says which steps are safe.
        """
        if self._closed:
            return
        self._closed = True
        self._stop.set()
        self._thread.join()
        try:
            self._file.close()
        except OSError as error:
            self._failure = self._failure or str(error)
        self._raise_failure()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _raise_failure(self) -> None:
        if not self._failure and not self._thread.is_alive() and not self._finished:
            self._failure = "its writer has died; the traceback is on the error output"
        if self._failure:
            raise StorageError(
                f"log {self.path} has ended: {self._failure}; its first {self._steps_safe} steps "
                "are safe, the next opening of the store recovers them"
            )

    def _check(self, transition: Transition) -> None:
        last = self._last
        if transition.episode_id != self._episode_id:
            raise ContractError(
                f"log {self.path}: got a step of episode {transition.episode_id!r}, "
                f"expected {self._episode_id!r}"
            )
        if transition.step != (expected := 0 if last is None else last.step + 1):
            raise ContractError(
                f"log {self.path}: got step {transition.step}, expected step {expected}"
            )
        if last is None:
            self._check_observation(transition.observation)
        elif transition.observation is not last.next_observation:
            raise ContractError(
                f"log {self.path}: step {transition.step} does not begin with the observation "
                "that the step before it ended with"
            )
        self._check_observation(transition.next_observation)
        size = self._spec.task.action.size
        for name in _STEP_VECTORS:
            array = getattr(transition, name)
            if array.shape != (size,) or array.dtype != np.float32:
                raise ContractError(
                    f"log {self.path}, step {transition.step}: {name}: got {array.dtype}"
                    f"{list(array.shape)}, expected float32[{size}]"
                )
        self._check_latent(transition)

    def _check_latent(self, transition: Transition) -> None:
        latent, first = transition.latent, self._last or transition
        size = first.latent.size
        if latent.shape != (size,) or latent.dtype != np.float32 or not np.isfinite(latent).all():
            raise ContractError(
                f"log {self.path}, step {transition.step}: latent: got {latent.dtype}"
                f"{list(latent.shape)}{'' if np.isfinite(latent).all() else ', not finite'}, "
                f"expected float32[{size}] of finite numbers, as in every step of the episode"
            )

    def _check_observation(self, observation: Observation) -> None:
        self._spec.task.observation.check(observation.vectors, observation.images)

    def _run(self, flush_s: float) -> None:
        tick_s = flush_s / _TICKS_PER_FLUSH
        flush_at = time.monotonic() + flush_s - tick_s
        try:
            while not self._stop.wait(tick_s):
                self._write_queue()
                if time.monotonic() >= flush_at:
                    self._flush()
                    flush_at = time.monotonic() + flush_s - tick_s
            self._write_queue()
            self._flush()
            if not self._failure:
                self._file.finish()
            self._finished = True
        except OSError as error:
            self._failure = str(error)
            logger.error("log %s has ended: %s", self.path, error)

    def _write_queue(self) -> None:
        while self._queue:
            transition, size = self._queue.popleft()
            self._file.add(transition)
            self._bytes_written += size
            self._steps_written = transition.step + 1
            # Between two steps the control loop may have the interpreter at once.
            time.sleep(0)

    def _flush(self) -> None:
        if self._steps_written > self._steps_safe:
            self._file.flush()
            self._steps_safe = self._steps_written


def _size_of(transition: Transition) -> int:
    seen = transition.next_observation
    arrays = (*seen.vectors.values(), *seen.images.values())
    return _STEP_BYTES + transition.latent.nbytes + sum(array.nbytes for array in arrays)
