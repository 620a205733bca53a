"""MCAP files with ROS 2 or JSON messages, read with the `mcap` library.

A file that was closed is read through its index; one that was not is scanned to where it ends,
and imported only if the topic map allows a part. Our own logs need no map: see `log_source`.
"""

from __future__ import annotations

import logging
import struct
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

import zstandard
from mcap.exceptions import McapError
from mcap.reader import SeekingReader
from mcap.records import Channel, Message, Schema
from mcap.stream_reader import StreamReader

from robot_rl.core.errors import StorageError
from robot_rl.data.exchange.topics.bag import BagMessage, TopicInfo
from robot_rl.data.exchange.topics.bag_source import BagSource
from robot_rl.data.exchange.topics.decoding import Decode, decoder
from robot_rl.data.exchange.topics.topic_map import TopicMap

_LOG = logging.getLogger(__name__)
_DAMAGED = (
    *(McapError, zstandard.ZstdError, struct.error, ValueError, LookupError, RuntimeError),
    *(OSError, EOFError, ArithmeticError, MemoryError),
)
_MAX_RECORD = 1 << 30

_Record = tuple[Schema | None, Channel, Message]


class McapSource(BagSource):
    """Episodes from one MCAP file.

    Args:
        path: the file.
        topics: which of its topics become what.

    Raises:
        StorageError: if it is no MCAP file, is damaged, or lacks a mapped topic.
        ContractError: if the streams do not fit together in time or shape.
    """

    def __init__(self, path: Path | str, topics: TopicMap) -> None:
        super().__init__(McapBag(Path(path), allow_partial=topics.allow_partial), topics)


class McapBag:
    """One MCAP file as a `Bag`."""

    def __init__(self, path: Path, *, allow_partial: bool = False) -> None:
        self.path = path
        self._allow_partial = allow_partial
        self._decoders: dict[int, Decode] = {}
        _check_magic(path)
        topics = self._index()
        self._indexed = topics is not None
        self.topics = self._scanned_topics() if topics is None else topics

    def messages(
        self, topics: Collection[str], start_ns: int | None = None, stop_ns: int | None = None
    ) -> Iterator[BagMessage]:
        """See `Bag`."""
        records = self._records(topics, start_ns, stop_ns)
        for readable, (schema, channel, message) in enumerate(records):
            try:
                content = self._decoder(schema, channel)(message.data)
            except ValueError as error:
                self._damaged(f"topic {channel.topic}: {error}", readable)
                return
            yield BagMessage(topic=channel.topic, log_ns=message.log_time, content=content)

    def _records(
        self, topics: Collection[str], start_ns: int | None, stop_ns: int | None
    ) -> Iterator[_Record]:
        readable = 0
        try:
            with self.path.open("rb") as file:
                if self._indexed:
                    reader = SeekingReader(file, True, record_size_limit=_MAX_RECORD)
                    records = reader.iter_messages(
                        [*topics], starting_at=start_ns, ending_at=stop_ns, log_time_order=False
                    )
                else:
                    records = (
                        record
                        for record in _scan(StreamReader(file, record_size_limit=_MAX_RECORD))
                        if record[1].topic in topics
                        and (start_ns is None or record[2].log_time >= start_ns)
                        and (stop_ns is None or record[2].log_time <= stop_ns)
                    )
                for record in records:
                    readable += 1
                    yield record
        except _DAMAGED as error:
            self._damaged(f"{type(error).__name__} {error}", readable)

    def _decoder(self, schema: Schema | None, channel: Channel) -> Decode:
        if channel.id not in self._decoders:
            self._decoders[channel.id] = decoder(
                schema.name if schema else "",
                channel.message_encoding,
                schema.encoding if schema else "",
                schema.data.decode(errors="replace") if schema else "",
            )
        return self._decoders[channel.id]

    def _index(self) -> dict[str, TopicInfo] | None:
        """Topics by the file's summary; None if it has none, or was never closed."""
        try:
            with self.path.open("rb") as file:
                summary = SeekingReader(file, record_size_limit=_MAX_RECORD).get_summary()
        except _DAMAGED:
            return None
        if summary is None or summary.statistics is None or not summary.chunk_indexes:
            return None
        counts = summary.statistics.channel_message_counts
        topics: dict[str, TopicInfo] = {}
        for channel in summary.channels.values():
            schema = summary.schemas.get(channel.schema_id)
            before = topics[channel.topic].count if channel.topic in topics else 0
            topics[channel.topic] = TopicInfo(
                type=schema.name if schema else channel.message_encoding,
                count=before + counts.get(channel.id, 0),
            )
        return topics

    def _scanned_topics(self) -> dict[str, TopicInfo]:
        """Topics by reading the whole file; whether it was closed shows at its end."""
        counts: Counter[str] = Counter()
        types: dict[str, str] = {}
        try:
            with self.path.open("rb") as file:
                reader = StreamReader(file, validate_crcs=True, record_size_limit=_MAX_RECORD)
                for schema, channel, _ in _scan(reader):
                    counts[channel.topic] += 1
                    types[channel.topic] = schema.name if schema else channel.message_encoding
        except _DAMAGED as error:
            self._damaged(f"{type(error).__name__} {error}", counts.total())
        return {name: TopicInfo(type=types[name], count=n) for name, n in counts.items()}

    def _damaged(self, what: str, readable: int) -> None:
        if not self._allow_partial:
            raise StorageError(
                f"{self.path} is damaged or was never closed: {what}. {readable} messages were "
                "readable up to there; restore the file from a copy, or set `allow_partial: true` "
                "in the topic map to import them"
            )
        _LOG.warning("%s is damaged: %s; %d messages are read", self.path, what, readable)


def _scan(reader: StreamReader) -> Iterator[_Record]:
    schemas: dict[int, Schema] = {}
    channels: dict[int, Channel] = {}
    for record in reader.records:
        if isinstance(record, Schema):
            schemas[record.id] = record
        elif isinstance(record, Channel):
            channels[record.id] = record
        elif isinstance(record, Message):
            channel = channels[record.channel_id]
            yield schemas.get(channel.schema_id), channel, record


def _check_magic(path: Path) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error}; name an .mcap file") from error
    if start != b"\x89MCAP0\r\n":
        raise StorageError(
            f"{path} is no MCAP file: it starts with {start!r}; name an .mcap file, or the folder "
            "of a rosbag2 recording"
        )
