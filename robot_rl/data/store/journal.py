"""The file `manifest.jsonl`: lines that are only ever added. What they mean is `manifest`'s.

One JSON object a line, with its number and, last, the CRC-32 of what is before it. The first line
is the header: schema and spec.
"""

from __future__ import annotations

import json
import logging
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from robot_rl.core.errors import ContractError, StorageError
from robot_rl.core.recording import RecordingSpec
from robot_rl.data.disk.durable import Disk
from robot_rl.data.store.format.zarr_columns import SCHEMA, check_schema
from robot_rl.data.store.layout import Layout, require_store
from robot_rl.data.store.manifest import Manifest, Record

_LOG = logging.getLogger(__name__)
_CRC = b',"crc32":"%08x"}'
_CRC_SIZE = len(_CRC % 0)
_NEVER_WRITTEN = bytes(8)
"""What a file system may put where a write was lost; no line holds such bytes."""


class Journal:
    """The lines that are there, and what they amount to. For reading, beside a writer.

    Args:
        path: the folder of the store.

    Raises:
        StorageError: if there is no store, it is of another schema, or a line is damaged; a last
            line that is torn was never reported as written, it is ignored.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = Layout(path).manifest
        self._load()

    def refresh(self) -> None:
        """Take in what was written since.

        Raises:
            StorageError: as the constructor.
        """
        require_store(self.path)
        with self._file.open("rb") as file:
            # Lines that a writer took back, having been told that the disk failed, or that a
            # repair replaced, may have been read.
            file.seek(self.size - len(self._last))
            if file.read(len(self._last)) == self._last:
                self._take_all(file.read())
                return
        self._load()

    def take(self, line: bytes) -> None:
        """Take in one line, with its newline."""
        number = self.lines + 1
        record = parse_line(number, line.rstrip(b"\n"), self._file)
        if number == 1:
            self.spec = spec_of(record, self._file)
        else:
            self.manifest.apply(number, record)
        self.lines, self.size, self._last = number, self.size + len(line), line

    def _load(self) -> None:
        require_store(self.path)
        self.manifest = Manifest(str(self.path))
        self.lines, self.size, self._last = 0, 0, b""
        self._take_all(self._file.read_bytes())
        if not self.lines:
            raise StorageError(
                f"{self._file} has no header; rebuild it: robot-rl data doctor {self.path} "
                "--repair"
            )

    def _take_all(self, data: bytes) -> None:
        for line in whole_lines(data):
            self.take(line)


class JournalWriter:
    """Adds lines to a journal that nobody else writes. A torn last line is cut off.

    Raises:
        OSError: the disk is full or failed.
    """

    def __init__(self, journal: Journal, disk: Disk) -> None:
        self._journal = journal
        self._disk = disk
        self.broken = False
        path = Layout(journal.path).manifest
        self._descriptor = disk.open_append(path)
        try:
            torn = path.stat().st_size - journal.size
            if torn:
                self._cut_back()
                _LOG.warning("%s: cut off %d bytes that were never acknowledged", path, torn)
            else:
                # Whoever wrote the last line may have died before it was on the medium.
                disk.sync(self._descriptor)
        except BaseException:
            self.close()
            raise

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
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._descriptor < 0

    def append(self, record: Record) -> None:
        """Add a line; it is durable when this returns. Not to be called once `broken`.

        Raises:
            OSError: the line was not added, unless `broken` has become true: then nobody knows
                until the journal is opened again.
        """
        line = encode_line(self._journal.lines + 1, record)
        try:
            self._disk.write(self._descriptor, line)
            self._disk.sync(self._descriptor)
        except OSError:
            try:
                self._cut_back()
            except OSError:
                self.broken = True
            raise
        self._journal.take(line)

    def _cut_back(self) -> None:
        self._disk.truncate(self._descriptor, self._journal.size)
        self._disk.sync(self._descriptor)


def start_journal(path: Path, spec: RecordingSpec, disk: Disk) -> None:
    """Make the file with its header; whole or not at all.

    Raises:
        OSError: the disk is full or failed.
    """
    disk.replace_file(Layout(path).manifest, encode_line(1, header_record(spec)))


def header_record(spec: RecordingSpec) -> Record:
    """Return the fields of the first line."""
    return {"kind": "header", "schema": SCHEMA, "spec": spec.to_json()}


def spec_of(header: Mapping[str, Any], file: Path) -> RecordingSpec:
    """Return the spec in the first line.

    Raises:
        StorageError: if it is of another schema or has no spec.
    """
    check_schema(str(file), header.get("schema"))
    try:
        return RecordingSpec.from_json(header["spec"])
    except (KeyError, ContractError) as error:
        raise StorageError(
            f"{file}: the header has no spec: {error}; rebuild it: robot-rl data doctor "
            f"{file.parent} --repair"
        ) from error


def encode_line(number: int, record: Record) -> bytes:
    """Return the line of this number."""
    text = json.dumps({"line": number, **record}, separators=(",", ":")).encode()
    return text[:-1] + _CRC % zlib.crc32(text) + b"\n"


def parse_line(number: int, line: bytes, file: Path) -> Record:
    """Return the fields of a line (without its newline) that has the number it should have.

    Raises:
        StorageError: if it is damaged, another one, or of another schema.
    """
    record = sound_record(line)
    if record is not None and record["line"] == number:
        return record
    if number == 1:
        refuse_other_schema(line, file)
    raise StorageError(
        f"{file}, line {number} is damaged: {line[:60]!r}; see what is left: robot-rl data doctor "
        f"{file.parent}"
    )


def sound_record(line: bytes) -> Record | None:
    """Return the fields of a line, whatever its number; None if it is damaged."""
    text = line[:-_CRC_SIZE] + b"}"
    if line[-_CRC_SIZE:] != _CRC % zlib.crc32(text):
        return None
    record = _object(text)
    known = type(record.get("line")) is int and isinstance(record.get("kind"), str)
    return record if known else None


def whole_lines(data: bytes) -> list[bytes]:
    """Return the lines, with their newlines, but for a torn one at the end.

    Torn is what has no newline, or where something was never written.
    """
    *lines, rest = data.split(b"\n")
    if lines and _NEVER_WRITTEN in lines[-1] and sound_record(lines[-1]) is None:
        lines.pop()
    whole = [line + b"\n" for line in lines]
    # A write that was torn leaves less than a line; here only the newline was damaged later.
    return [*whole, rest] if rest and sound_record(rest[:-1]) is not None else whole


def refuse_other_schema(line: bytes, file: Path) -> None:
    """Refuse a header of the time before lines had a kind.

    Raises:
        StorageError: naming the file, both versions and the remedy.
    """
    header = _object(line)
    if "kind" not in header and "schema" in header:
        check_schema(str(file), header["schema"])


def _object(text: bytes) -> Record:
    """Return the JSON object in a text; an empty one if there is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return cast(Record, found) if isinstance(found, dict) else {}
