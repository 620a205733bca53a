"""rosbag2 folders (SQLite and MCAP storage), read with the `rosbags` library.

What `metadata.yaml` says is checked before any file that it names is opened.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import struct
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any, cast

import apsw
import yaml
from backports.zstd import ZstdError
from rosbags.rosbag2 import Reader, ReaderError

from robot_rl.core.errors import StorageError
from robot_rl.data.exchange.topics.bag import BagMessage, TopicInfo
from robot_rl.data.exchange.topics.bag_source import BagSource
from robot_rl.data.exchange.topics.decoding import Decode, decoder
from robot_rl.data.exchange.topics.topic_map import TopicMap

if TYPE_CHECKING:
    from rosbags.interfaces import Connection

_LOG = logging.getLogger(__name__)
_DAMAGED = (
    *(ReaderError, apsw.Error, ZstdError, struct.error, ValueError, LookupError, TypeError),
    *(OSError, EOFError, ArithmeticError, AssertionError, MemoryError),
)
_MAX_METADATA = 1 << 24


class RosbagSource(BagSource):
    """Episodes from one rosbag2 folder.

    Args:
        path: the folder that holds `metadata.yaml`.
        topics: which of its topics become what.

    Raises:
        StorageError: if it is no rosbag2 folder, is damaged, names files outside itself, or lacks
            a mapped topic.
        ContractError: if the streams do not fit together in time or shape.
    """

    def __init__(self, path: Path | str, topics: TopicMap) -> None:
        super().__init__(RosbagBag(Path(path), allow_partial=topics.allow_partial), topics)


class RosbagBag:
    """One rosbag2 folder as a `Bag`."""

    def __init__(self, path: Path, *, allow_partial: bool = False) -> None:
        self.path = path
        self._allow_partial = allow_partial
        self._decoders: dict[str, Decode] = {}
        self._readers = self._find()
        self.topics: dict[str, TopicInfo] = {}
        for connection in self._each_connection():
            before = self.topics.get(connection.topic)
            self.topics[connection.topic] = TopicInfo(
                type=connection.msgtype,
                count=connection.msgcount + (before.count if before else 0),
            )

    def messages(
        self, topics: Collection[str], start_ns: int | None = None, stop_ns: int | None = None
    ) -> Iterator[BagMessage]:
        """See `Bag`."""
        readable = 0
        whole = start_ns is None and stop_ns is None
        try:
            for path in self._readers:
                with Reader(path) as reader:
                    wanted = [c for c in reader.connections if c.topic in topics]
                    stop = None if stop_ns is None else stop_ns + 1
                    for connection, log_ns, data in (
                        reader.messages(wanted, start_ns, stop) if wanted else ()
                    ):
                        content = self._decoder(connection)(bytes(data))
                        readable += 1
                        yield BagMessage(topic=connection.topic, log_ns=log_ns, content=content)
        except _DAMAGED as error:
            self._damaged(f"{type(error).__name__} {error}", readable)
            return
        promised = sum(self.topics[t].count for t in topics)
        if whole and readable < promised:
            self._damaged(f"it promises {promised} messages of the mapped topics", readable)

    def _decoder(self, connection: Connection) -> Decode:
        if connection.msgtype not in self._decoders:
            definition = connection.msgdef
            encoding = {"MSG": "ros2msg", "IDL": "ros2idl"}.get(definition.format.name, "")
            self._decoders[connection.msgtype] = decoder(
                connection.msgtype, "cdr", encoding, definition.data
            )
        return self._decoders[connection.msgtype]

    def _find(self) -> list[Path]:
        """Return what to open: the folder itself, or its storage files if metadata is missing."""
        if not self.path.is_dir():
            raise StorageError(
                f"{self.path} is no folder; name the folder of a rosbag2 recording (it holds "
                "metadata.yaml), or a lone .mcap file"
            )
        if (self.path / "metadata.yaml").is_file():
            for file in _storage_files(self.path):
                self._check_storage(file)
            return [self.path]
        files = sorted(p for p in self.path.iterdir() if p.suffix in (".db3", ".mcap"))
        if not files or not self._allow_partial:
            raise StorageError(
                f"{self.path} has no metadata.yaml, it holds {[p.name for p in files]}: the "
                f"recording was never closed. Run `ros2 bag reindex {self.path}`, or set "
                "`allow_partial: true` in the topic map"
            )
        for file in files:
            self._check_storage(file)
        _LOG.warning("%s has no metadata.yaml: reading %d storage files", self.path, len(files))
        return files

    def _check_storage(self, file: Path) -> None:
        if file.suffix != ".db3":
            return
        for suffix in ("-wal", "-journal"):
            journal = file.with_name(file.name + suffix)
            if journal.exists() and journal.stat().st_size:
                self._damaged(
                    f"{journal.name} holds messages that are not in {file.name} yet; run "
                    f"`sqlite3 {file} 'PRAGMA wal_checkpoint'`",
                    _readable_rows(file),
                )
        if {*"?#%"} & {*str(file)}:
            raise StorageError(f"{file}: a path with '?', '#' or '%' cannot be opened; rename it")

    def _each_connection(self) -> Iterator[Connection]:
        for path in self._readers:
            try:
                with Reader(path) as reader:
                    yield from [*reader.connections]
            except _DAMAGED as error:
                rows = sum(_readable_rows(p) for p in self.path.glob("*.db3"))
                raise StorageError(
                    f"{path} cannot be opened: {error}. {rows} messages are readable in its "
                    "SQLite files; rescue them with `sqlite3 damaged.db3 .recover | sqlite3 "
                    f"rescued.db3` and `ros2 bag reindex`, or restore {self.path} from a copy"
                ) from error

    def _damaged(self, what: str, readable: int) -> None:
        if not self._allow_partial:
            raise StorageError(
                f"{self.path} is damaged or was never closed: {what}. {readable} messages were "
                f"readable; restore the recording or run `ros2 bag reindex {self.path}`, or set "
                "`allow_partial: true` in the topic map to import what can be read"
            )
        _LOG.warning("%s is damaged: %s; %d messages are read", self.path, what, readable)


def _storage_files(folder: Path) -> list[Path]:
    """Return the files that metadata.yaml names, once they are sure to lie in the folder.

    Raises:
        StorageError: if metadata.yaml is not readable, or names a file outside the folder.
    """
    metadata = folder / "metadata.yaml"
    try:
        if metadata.stat().st_size > _MAX_METADATA:
            raise ValueError(f"it has {metadata.stat().st_size} bytes")
        document = cast(object, yaml.safe_load(metadata.read_text(encoding="utf-8")))
        information = _mapping(_mapping(document)["rosbag2_bagfile_information"])
        names = [str(name) for name in cast(list[Any], information["relative_file_paths"])]
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError, RecursionError) as error:
        raise StorageError(
            f"{metadata} cannot be read: {error!r:.300}; run `ros2 bag reindex {folder}`"
        ) from error
    files: list[Path] = []
    for name in names:
        pure = PurePosixPath(name)
        # Before version 4 of the format the names began with the folder's own.
        file = folder / pure.name
        outside = pure.is_absolute() or ".." in pure.parts or PureWindowsPath(name).drive
        if outside or not file.resolve().is_relative_to(folder.resolve()):
            raise StorageError(
                f"{metadata} names {name!r}, which lies outside {folder}; expected names of files "
                "in the folder. Do not trust this recording; nothing that it names was opened"
            )
        files.append(file)
    return files


def _mapping(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"got {type(value).__name__}, expected a mapping")
    return cast(dict[str, Any], value)


def _readable_rows(file: Path) -> int:
    """Count the messages that a damaged SQLite file still gives."""
    rows = 0
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as db,
    ):
        # Without this SQLite refuses a file that is shorter than it was as a whole.
        db.execute("PRAGMA writable_schema=ON")
        for _ in db.execute("SELECT topic_id FROM messages NOT INDEXED"):
            rows += 1
    return rows
