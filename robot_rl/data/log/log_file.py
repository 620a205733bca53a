"""One MCAP file being written through `Disk`: its opening, observations, steps and footer.

Chunks are uncompressed, with checksum. Not here: when chunks are closed (`episode_log`).
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import IO, cast

from mcap.well_known import MessageEncoding, Profile, SchemaEncoding
from mcap.writer import CompressionType, Writer

from robot_rl.core.types import Observation, Transition
from robot_rl.data.disk.durable import Disk
from robot_rl.data.log import message_types as types
from robot_rl.data.log.fixed_message import stamp_of
from robot_rl.data.log.messages import (
    LATENT_TOPIC,
    OBSERVATION_TOPIC,
    STEP_TOPIC,
    encode_latent,
    encode_observation,
    encode_step,
    observation_channels,
)
from robot_rl.data.log.opening import RECORD_NAME, Opening, WallClock

CHUNK_BYTES = 1 << 20
"""A chunk is closed when it holds as much, or when `flush` says so."""


class LogFile:
    """Writes one episode; each step must follow the one before it.

    The name is durable when this is made, with the opening; the steps are when `flush` returned.

    Raises:
        ConfigError, ContractError: if there can be no log of such an episode.
        FileExistsError: if there is such a file; it stays as it is.
        OSError: if the disk failed; what was written before the last `flush` is intact.
    """

    def __init__(self, path: Path, opening: Opening, disk: Disk) -> None:
        self._disk = disk
        self._created_unix_s = opening.metadata.created_unix_s
        self._clock: WallClock | None = None
        self._latent_channel: int | None = None
        self._channels = observation_channels(opening.spec.task.observation, opening.images)
        record = opening.to_record()
        self._descriptor = disk.open_new(path)
        try:
            stream = cast(IO[bytes], _DiskStream(disk, self._descriptor))
            self._writer = Writer(stream, chunk_size=CHUNK_BYTES, compression=CompressionType.NONE)
            self._writer.start(profile=Profile.ROS2, library="robot_rl")
            self._writer.add_metadata(RECORD_NAME, record)
            self._register()
            disk.sync(self._descriptor)
            disk.sync_dir(path.parent)
        except OSError:
            self.close()
            with contextlib.suppress(OSError):
                disk.unlink(path)
            raise

    def add(self, transition: Transition) -> None:
        """Write a step and the observation after it; the first step also the one before it."""
        if self._clock is None:
            first = transition.observation
            self._clock = WallClock(self._created_unix_s, first.stamp_ns)
            self._add_observation(self._clock, 0, first)
        at, clock = transition.step, self._clock
        self._add_observation(clock, at + 1, transition.next_observation)
        stamp = stamp_of(clock.at(transition.observation.stamp_ns))
        log_time = clock.at(transition.next_observation.stamp_ns)
        if len(transition.latent):
            data = encode_latent(stamp, transition.latent)
            self._write(self._channel_of_latents(), log_time, data, at)
        self._write(self._step_channel, log_time, encode_step(stamp, transition), at)

    def flush(self) -> None:
        """Close the chunk in progress and wait until it is on the medium."""
        self._writer.flush()
        self._disk.sync(self._descriptor)

    def finish(self) -> None:
        """Write what is left and the footer, and wait until it is on the medium."""
        self._writer.finish()
        self._disk.sync(self._descriptor)

    def close(self) -> None:
        """Let the file go. Writes nothing."""
        os.close(self._descriptor)

    def _register(self) -> None:
        names = [types.STEP, types.OBSERVATION, *(c.message_type for c in self._channels)]
        self._schemas = {name: self._register_schema(name) for name in dict.fromkeys(names)}
        self._channel_ids = [
            self._register_channel(c.topic, c.message_type, dict(c.metadata))
            for c in self._channels
        ]
        self._observation_channel = self._register_channel(OBSERVATION_TOPIC, types.OBSERVATION)
        self._step_channel = self._register_channel(STEP_TOPIC, types.STEP)

    def _register_schema(self, name: str) -> int:
        definition = types.definition(name).encode()
        return self._writer.register_schema(name, SchemaEncoding.ROS2, definition)

    def _register_channel(
        self, topic: str, message_type: str, metadata: dict[str, str] | None = None
    ) -> int:
        schema = self._schemas[message_type]
        return self._writer.register_channel(topic, MessageEncoding.CDR, schema, metadata or {})

    def _channel_of_latents(self) -> int:
        """Made for the first latent: only then is it known that the episode has any."""
        if self._latent_channel is None:
            if types.VECTOR not in self._schemas:
                self._schemas[types.VECTOR] = self._register_schema(types.VECTOR)
            self._latent_channel = self._register_channel(LATENT_TOPIC, types.VECTOR)
        return self._latent_channel

    def _add_observation(self, clock: WallClock, index: int, observation: Observation) -> None:
        log_time = clock.at(observation.stamp_ns)
        stamp = stamp_of(log_time)
        for number, channel in zip(self._channel_ids, self._channels, strict=True):
            self._write(number, log_time, channel.encode(stamp, observation), index)
        end = encode_observation(stamp, index, observation)
        self._write(self._observation_channel, log_time, end, index)

    def _write(self, channel: int, log_time: int, data: bytes | memoryview, index: int) -> None:
        # The writer only appends it to a buffer, which takes a view as well.
        content = cast(bytes, data)
        self._writer.add_message(channel, log_time, content, log_time, sequence=index)


class _DiskStream:
    """The part of a file that `mcap.writer.Writer` uses."""

    def __init__(self, disk: Disk, descriptor: int) -> None:
        self._disk = disk
        self._descriptor = descriptor
        self._position = 0

    def write(self, data: bytes) -> int:
        if data:
            self._disk.write(self._descriptor, data)
            self._position += len(data)
        return len(data)

    def tell(self) -> int:
        return self._position

    def flush(self) -> None:
        """Nothing is held back here."""
