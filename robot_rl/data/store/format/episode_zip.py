"""An uncompressed zip as a stream of appends, and its members out of it, damaged files too.

Written by hand because the members' headers must be complete where they stand: a file whose end
is lost, and with it the directory, can then still be read from its beginning, which no general
writer of streams allows. Any zip reader opens the result (the tests do). Not here: what the
members mean. Format: PKWARE APPNOTE 6.3.10, sections 4.3 and 4.5.3 (zip64).
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from robot_rl.core.errors import ContractError, StorageError

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_END_64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR_64 = struct.Struct("<4sIQI")
_LOCAL_SIGNATURE = b"PK\x03\x04"
_VERSION, _VERSION_64 = 20, 45
_UTF8 = 0x800
_STORED = 0
_MIDNIGHT, _FIRST_OF_JANUARY_1980 = 0, 0x21
"""The same time for all, so that the same episode gives the same bytes."""
_LIMIT_16, _LIMIT_32 = 0xFFFF, 0xFFFFFFFF
_BLOCK = 1 << 20
_NO_ZIP = (OSError, zipfile.BadZipFile, NotImplementedError, ValueError, struct.error)
_MAX_NAME = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """Where the bytes of one member are in the file, and their CRC-32."""

    offset: int
    size: int
    crc32: int


class Archive:
    """Reads members of an open zip.

    Args:
        file: open for reading, at any position; the caller closes it.
        members: those that may be read, by name.
        title: names the file in messages.
    """

    def __init__(self, file: BinaryIO, members: Mapping[str, Member], title: str) -> None:
        self.members = members
        self.title = title
        self._file = file

    def size(self, name: str) -> int:
        """Return the size of a member [bytes].

        Raises:
            StorageError: if it is missing.
        """
        return self._member(name).size

    def read(self, name: str) -> bytes:
        """Return the bytes of a member.

        Raises:
            StorageError: if it is missing or cut off.
        """
        content = bytearray(self.size(name))
        self.read_into(name, memoryview(content))
        return bytes(content)

    def read_into(self, name: str, buffer: memoryview) -> None:
        """Fill `buffer`, which has the member's size, with its bytes.

        Raises:
            StorageError: if the member is missing, cut off or of another size.
        """
        member = self._member(name)
        if member.size != len(buffer):
            raise StorageError(
                f"{self.title}: member {name!r} has {member.size} bytes, expected {len(buffer)}"
            )
        try:
            self._file.seek(member.offset)
            got = 0
            while got < len(buffer):
                read = self._file.readinto(buffer[got:])  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType, reportAttributeAccessIssue]
                if not read:
                    raise StorageError(f"{self.title}: member {name!r} is cut off")
                got += int(read)  # pyright: ignore[reportUnknownArgumentType]
        except OSError as error:
            raise StorageError(f"{self.title}: member {name!r}: {error}") from error

    def _member(self, name: str) -> Member:
        if name not in self.members:
            raise StorageError(f"{self.title}: member {name!r} is missing")
        return self.members[name]


def zip_stream(members: Iterable[tuple[str, bytes]]) -> Iterator[bytes]:
    """Yield the bytes of a zip file with these members, in this order, stored as they are.

    Raises:
        ContractError: if a member is too large for one (4 GiB).
    """
    directory, offset, count = bytearray(), 0, 0
    for name, data in members:
        if len(data) >= _LIMIT_32:
            raise ContractError(f"{name!r} has {len(data)} bytes, one member holds at most 4 GiB")
        header = _local_header(name, data)
        yield header
        yield data
        directory += _central_header(name, len(data), zlib.crc32(data), offset)
        offset += len(header) + len(data)
        count += 1
    yield bytes(directory) + _end(count, len(directory), offset)


def in_blocks(parts: Iterable[bytes], size: int = _BLOCK) -> Iterator[bytes]:
    """Join small parts, so that what is yielded has at least `size` bytes, but for the last."""
    block: list[bytes] = []
    held = 0
    for part in parts:
        block.append(part)
        held += len(part)
        if held >= size:
            yield b"".join(block) if len(block) > 1 else part
            block, held = [], 0
    if held:
        yield b"".join(block)


def listed_members(file: BinaryIO, title: str) -> dict[str, Member]:
    """Return the members by the directory at the end of the file; their bytes are not checked.

    Raises:
        StorageError: if there is no such directory, or a member is compressed or not in the file.
    """
    end = file.seek(0, 2)
    try:
        with zipfile.ZipFile(file) as archive:
            found = {info.filename: _located(file, info, title) for info in archive.infolist()}
    except _NO_ZIP as error:
        raise StorageError(f"{title} is not a zip file, or its directory is lost") from error
    for name, member in found.items():
        if member.offset + member.size > end:
            raise StorageError(f"{title}: member {name!r} does not end within the file")
    return found


def sound_members(file: BinaryIO, title: str) -> dict[str, Member]:
    """Return the members whose bytes are, by their CRC-32, those that were written.

    They are looked for from the beginning of the file, and then in the directory at its end, so
    that neither damaged headers nor a lost end hide what is whole.
    """
    found: dict[str, Member] = {}
    at = _find_header(file, 0)
    while at is not None:
        name, member = _member_at(file, at)
        whole = member is not None and _is_sound(file, member)
        if whole and member is not None:
            found.setdefault(name, member)
            at = _find_header(file, member.offset + member.size)
        else:
            at = _find_header(file, at + 1)
    try:
        listed = listed_members(file, title)
    except StorageError:
        return found
    missing = {name: member for name, member in listed.items() if name not in found}
    return found | {name: member for name, member in missing.items() if _is_sound(file, member)}


def _local_header(name: str, data: bytes) -> bytes:
    encoded = name.encode()
    return (
        _LOCAL.pack(
            _LOCAL_SIGNATURE,
            *(_VERSION, _UTF8, _STORED, _MIDNIGHT, _FIRST_OF_JANUARY_1980),
            *(zlib.crc32(data), len(data), len(data)),
            *(len(encoded), 0),
        )
        + encoded
    )


def _central_header(name: str, size: int, crc32: int, offset: int) -> bytes:
    encoded = name.encode()
    far = offset >= _LIMIT_32
    extra = struct.pack("<2HQ", 1, 8, offset) if far else b""
    version = _VERSION_64 if far else _VERSION
    return (
        _CENTRAL.pack(
            b"PK\x01\x02",
            *(version, version, _UTF8, _STORED, _MIDNIGHT, _FIRST_OF_JANUARY_1980),
            *(crc32, size, size),
            *(len(encoded), len(extra), 0, 0, 0),
            *(0, _LIMIT_32 if far else offset),
        )
        + encoded
        + extra
    )


def _end(count: int, size: int, offset: int) -> bytes:
    """The end of the directory, which starts at `offset`; in both forms where it must be."""
    if count < _LIMIT_16 and offset + size < _LIMIT_32:
        return _END.pack(b"PK\x05\x06", 0, 0, count, count, size, offset, 0)
    versions = (_VERSION_64, _VERSION_64, 0, 0)
    record = _END_64.pack(b"PK\x06\x06", _END_64.size - 12, *versions, count, count, size, offset)
    locator = _LOCATOR_64.pack(b"PK\x06\x07", 0, offset + size, 1)
    counts = (_LIMIT_16, _LIMIT_16, _LIMIT_32, _LIMIT_32)
    return record + locator + _END.pack(b"PK\x05\x06", 0, 0, *counts, 0)


def _located(file: BinaryIO, info: zipfile.ZipInfo, title: str) -> Member:
    if info.compress_type != zipfile.ZIP_STORED:
        raise StorageError(f"{title}: member {info.filename!r} is compressed, expected it stored")
    file.seek(info.header_offset + 26)
    name_length, extra_length = struct.unpack("<2H", file.read(4))
    offset = info.header_offset + _LOCAL.size + name_length + extra_length
    return Member(offset=offset, size=info.file_size, crc32=info.CRC)


def _member_at(file: BinaryIO, at: int) -> tuple[str, Member | None]:
    """Return the member whose header may begin at `at`."""
    header = _read(file, at, _LOCAL.size)
    if len(header) < _LOCAL.size:
        return "", None
    *_, crc32, size, _, name_length, extra_length = _LOCAL.unpack(header)
    name = _read(file, at + _LOCAL.size, name_length)
    if not 0 < name_length <= _MAX_NAME or len(name) < name_length:
        return "", None
    offset = at + _LOCAL.size + name_length + extra_length
    return name.decode(errors="replace"), Member(offset=offset, size=size, crc32=crc32)


def _is_sound(file: BinaryIO, member: Member) -> bool:
    crc32, at, end = 0, member.offset, member.offset + member.size
    while at < end:
        block = _read(file, at, min(_BLOCK, end - at))
        if not block:
            return False
        crc32 = zlib.crc32(block, crc32)
        at += len(block)
    return crc32 == member.crc32


def _find_header(file: BinaryIO, start: int) -> int | None:
    """Return where the next header begins, at `start` or after it; None if there is none."""
    end = file.seek(0, 2)
    while start < end:
        block = _read(file, start, _BLOCK)
        at = block.find(_LOCAL_SIGNATURE)
        if at >= 0:
            return start + at
        # Blocks overlap by three bytes, lest one cuts a signature; an unreadable one is skipped.
        start += _BLOCK - len(_LOCAL_SIGNATURE) + 1
    return None


def _read(file: BinaryIO, at: int, size: int) -> bytes:
    """Read at most `size` bytes; none where the medium fails: what is there is then not sound."""
    try:
        file.seek(at)
        return file.read(size)
    except OSError:
        return b""
