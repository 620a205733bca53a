"""The list of what is saved: a line in an fsynced file makes an episode exist. No episodes here.

One JSON object a line, each with the CRC-32 of the rest of its line. The first line is the header.
"""

from __future__ import annotations

import json
import os
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from robot_rl.core.errors import ContractError, StorageError
from robot_rl.data.disk.durable import Disk

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One saved episode: its id, its number of steps, the digest of its files."""

    id: str
    steps: int
    sha256: str


class Manifest:
    """An append-only list of entries. The caller holds the lock.

    A last line without its newline was never reported as saved; opening cuts it off.

    Raises:
        ContractError: if the file was started under another contract.
        StorageError: if a complete line is damaged; the message says which.
    """

    def __init__(self, path: Path, contract: str, disk: Disk) -> None:
        self._path = path
        self._disk = disk
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self.broken = False
        try:
            self.entries = self._open(contract)
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

    def append(self, entry: Entry) -> None:
        """Add an entry; it is durable when this returns. Not to be called once `broken`.

        Raises:
            OSError: the entry was not added, unless `broken` has become true: then nobody knows
                until the manifest is opened again.
        """
        self._append_line(asdict(entry))
        self.entries[entry.id] = entry

    def _open(self, contract: str) -> dict[str, Entry]:
        text = self._path.read_bytes()
        self._size = text.rfind(b"\n") + 1
        if len(text) > self._size:
            self._disk.truncate(self._descriptor, self._size)
            self._disk.sync(self._descriptor)
        lines = [self._parse(i, line) for i, line in enumerate(text[: self._size].splitlines())]
        if not lines:
            self._append_line({"schema": SCHEMA, "contract": contract})
            self._disk.sync_dir(self._path.parent)
            return {}
        self._check_header(lines[0], contract)
        return {line["id"]: Entry(**line) for line in lines[1:]}

    def _check_header(self, header: dict[str, Any], contract: str) -> None:
        if header.get("schema") != SCHEMA:
            raise StorageError(
                f"{self._path}: schema {header.get('schema')!r}, this version reads {SCHEMA}"
            )
        if header["contract"] != contract:
            raise ContractError(
                f"{self._path.parent} holds episodes of contract {header['contract']!r}, expected "
                f"{contract!r}: task, observation or action spec differ; use another directory"
            )

    def _parse(self, index: int, line: bytes) -> dict[str, Any]:
        try:
            fields: dict[str, Any] = json.loads(line)
            fields.pop("crc32")
        except (ValueError, KeyError, AttributeError):
            fields = {}
        if _line(fields) != line + b"\n":
            raise StorageError(
                f"{self._path}, line {index + 1} is damaged: {line[:60]!r}; restore it from a "
                "copy, or remove the line: its episode is then kept as an orphan"
            )
        return fields

    def _append_line(self, fields: dict[str, Any]) -> None:
        line = _line(fields)
        try:
            self._disk.write(self._descriptor, line)
            self._disk.sync(self._descriptor)
        except OSError:
            self._cut_back()
            raise
        self._size += len(line)

    def _cut_back(self) -> None:
        try:
            self._disk.truncate(self._descriptor, self._size)
            self._disk.sync(self._descriptor)
        except OSError:
            self.broken = True


def _line(fields: dict[str, Any]) -> bytes:
    text = json.dumps(fields)
    return json.dumps({**fields, "crc32": f"{zlib.crc32(text.encode()):08x}"}).encode() + b"\n"
