"""What is said on topics, byte for byte, in one MCAP file a session, written by a thread.

While it is written it is called `NAME.mcap.part`; what was synced can be read whatever happens to
the process. Not here: which topics, and steps (`recording_steps`).
"""

from __future__ import annotations

import collections
import contextlib
import logging
import os
import struct
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mcap.exceptions import McapError
from mcap.records import Channel as ChannelRecord
from mcap.records import Message
from mcap.records import Schema as SchemaRecord
from mcap.stream_reader import StreamReader
from mcap.well_known import MessageEncoding, Profile, SchemaEncoding
from mcap.writer import CompressionType, Writer

from robot_rl.core.clock import NS_PER_S
from robot_rl.core.errors import StorageError
from robot_rl.data.disk.durable import TEMPORARY_PREFIX, Disk
from robot_rl_nodes.recording.schema import Schema

PART = ".mcap.part"
QUEUE_BYTES = 256 << 20
"""How far the disk may be behind before messages are refused."""

_LOG = logging.getLogger(__name__)
_CHUNK_BYTES = 1 << 20
_TICKS_PER_FLUSH = 5
_BROKEN = (McapError, ValueError, KeyError, struct.error, EOFError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A topic by its full name, and the type of its messages."""

    topic: str
    schema: Schema


class TopicLog:
    """One file that is being written. `put` never waits for the disk.

    Args:
        folder: made if absent.
        name: of the file, without its ending.
        channels: what there is to record; `put` counts them from 0.
        flush_s: how often a chunk is closed and synced [s].
        queue_bytes: how far the disk may be behind.
        least_free_bytes: less must never be free: episodes need it too.
        disk: tells what is free, and makes names durable.

    Attributes:
        path: of the file while it is written.
        messages: that were taken.
        refused: how many could not be taken: the disk was behind, full, or has failed.
        failure: why nothing is written any more; empty while it is.

    Raises:
        StorageError: if the file cannot be made, or too little is free.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        channels: Sequence[Channel],
        *,
        flush_s: float = 0.5,
        queue_bytes: int = QUEUE_BYTES,
        least_free_bytes: int = 1 << 30,
        disk: Disk | None = None,
    ) -> None:
        self.path = folder / f"{name}{PART}"
        self.messages = self.refused = self.bytes = 0
        self.failure = ""
        self._channels = channels
        self._flush_s, self._queue_bytes, self._least_free = flush_s, queue_bytes, least_free_bytes
        self._disk = disk or Disk()
        self._written_bytes = 0
        self._queue: collections.deque[tuple[int, int, bytes]] = collections.deque()
        self._stop = threading.Event()
        try:
            self._disk.make_dirs(folder)
            self._require_space()
            self._file = self.path.open("xb")
            self._disk.sync_dir(folder)
        except OSError as error:
            raise StorageError(
                f"{self.path} cannot be made: {error}; nothing is recorded"
            ) from error
        self._writer = _started(self._file)
        self._ids = [_register(self._writer, channel) for channel in channels]
        self._thread = threading.Thread(target=self._run, name=f"log {name}", daemon=True)
        self._thread.start()

    def put(self, channel: int, log_ns: int, data: bytes) -> bool:
        """Take a message in its CDR bytes, received at `log_ns`; return whether it was taken."""
        if self.failure or self.bytes - self._written_bytes + len(data) > self._queue_bytes:
            self.refused += 1
            return False
        self.bytes += len(data)
        self.messages += 1
        self._queue.append((channel, log_ns, data))
        return True

    def close(self) -> Path:
        """Write what is left, finish the file, and return its name, which is durable then.

        Raises:
            StorageError: if it could not be finished; what was synced is in the `.part`.
        """
        self._stop.set()
        self._thread.join()
        with contextlib.suppress(OSError):
            self._file.close()
        if self.failure:
            raise StorageError(f"{self.path} was not finished: {self.failure}")
        target = self.path.with_suffix("")
        try:
            self._disk.rename(self.path, target)
            self._disk.sync_dir(target.parent)
        except OSError as error:
            raise StorageError(f"{self.path} cannot be renamed to {target}: {error}") from error
        return target

    def _run(self) -> None:
        tick_s = self._flush_s / _TICKS_PER_FLUSH
        flush_s = time.monotonic() + self._flush_s - tick_s
        try:
            while not self._stop.wait(tick_s):
                self._write_queue()
                if time.monotonic() >= flush_s:
                    self._require_space()
                    self._writer.flush()
                    os.fsync(self._file.fileno())
                    flush_s = time.monotonic() + self._flush_s - tick_s
            self._write_queue()
            self._writer.finish()
            self._file.flush()
            os.fsync(self._file.fileno())
        except (OSError, StorageError) as error:
            self.failure = str(error)
            _LOG.error("%s has ended: %s", self.path, error)

    def _write_queue(self) -> None:
        while self._queue:
            number, log_ns, data = self._queue.popleft()
            said_ns = _stamp_ns(data) if self._channels[number].schema.is_stamped else 0
            self._writer.add_message(self._ids[number], log_ns, data, said_ns or log_ns)
            self._written_bytes += len(data)

    def _require_space(self) -> None:
        free = self._disk.free_bytes(self.path.parent)
        if free < self._least_free:
            raise StorageError(
                f"{free / 1e6:.0f} MB are free, at least {self._least_free / 1e6:.0f} MB are to "
                "stay; free the disk, or record fewer topics"
            )


def unfinished(folder: Path) -> list[Path]:
    """Name the files that processes which died have left; nobody writes to the folder now."""
    return sorted(folder.glob(f"*{PART}"))


def mend(part: Path, disk: Disk | None = None) -> Path:
    """Finish a file that a process which died has left, and return its name.

    Messages are copied up to the first chunk that is torn or damaged.

    Raises:
        OSError: the disk failed; the file is then as before.
    """
    disk = disk or Disk()
    written, target = part.with_name(f"{TEMPORARY_PREFIX}{part.name}"), part.with_suffix("")
    count = 0
    with part.open("rb") as source, written.open("wb") as file:
        writer = _started(file)
        ids: dict[int, int] = {}
        schemas: dict[int, int] = {0: 0}
        try:
            for record in StreamReader(source, validate_crcs=True).records:
                if isinstance(record, SchemaRecord) and record.id not in schemas:
                    schemas[record.id] = writer.register_schema(
                        record.name, record.encoding, record.data
                    )
                elif isinstance(record, ChannelRecord) and record.id not in ids:
                    ids[record.id] = writer.register_channel(
                        record.topic, record.message_encoding, schemas[record.schema_id]
                    )
                elif isinstance(record, Message):
                    writer.add_message(
                        ids[record.channel_id], record.log_time, record.data, record.publish_time
                    )
                    count += 1
        except _BROKEN as error:
            _LOG.warning("%s ends early (%s): its first %d messages are kept", part, error, count)
        writer.finish()
        file.flush()
        os.fsync(file.fileno())
    disk.rename(written, target)
    disk.unlink(part)
    disk.sync_dir(part.parent)
    return target


def _started(file: object) -> Writer:
    writer = Writer(file, chunk_size=_CHUNK_BYTES, compression=CompressionType.NONE)  # pyright: ignore[reportArgumentType]
    writer.start(profile=Profile.ROS2, library="robot_rl")
    return writer


def _register(writer: Writer, channel: Channel) -> int:
    known = channel.schema
    number = writer.register_schema(known.name, SchemaEncoding.ROS2, known.definition.encode())
    return writer.register_channel(channel.topic, MessageEncoding.CDR, number)


def _stamp_ns(data: bytes) -> int:
    """The stamp of the header with which a CDR message begins [ns]; 0 if it is not set."""
    # Behind four bytes, of which the second says whether the least significant comes first.
    seconds, rest = struct.unpack_from("<iI" if data[1] else ">iI", data, 4)
    return max(0, seconds * NS_PER_S + rest)
