"""One stored file, whatever it holds: written with its digest, read back verified."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from robot_rl.core.errors import StorageError
from robot_rl.data.disk.durable import Disk
from robot_rl.data.store.format.episode_zip import Archive, in_blocks, listed_members, zip_stream


def publish(disk: Disk, target: Path, members: Iterable[tuple[str, bytes]]) -> tuple[int, str]:
    """Write members as the file `target`, durably; return its size [bytes] and sha256 (hex).

    Raises:
        OSError: the disk is full or failed; `target` is then not there.
    """
    digest = _Digest()
    disk.publish_file(target, digest.passing(in_blocks(zip_stream(members))))
    return digest.size, digest.sha256.hexdigest()


def digest_of(members: Iterable[tuple[str, bytes]]) -> tuple[int, str]:
    """Return the size and digest that `publish` would, writing nothing."""
    digest = _Digest()
    for _ in digest.passing(zip_stream(members)):
        pass
    return digest.size, digest.sha256.hexdigest()


def digest_of_file(path: Path) -> tuple[int, str]:
    """Return the size [bytes] and sha256 (hex) of a file.

    Raises:
        OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), digest


def is_intact(path: Path, size: int, sha256: str) -> bool:
    """Return whether a file is, bit by bit, what was written."""
    try:
        return path.stat().st_size == size and digest_of_file(path)[1] == sha256
    except OSError:
        return False


def read_stored[T](
    path: Path, size: int, sha256: str, decode: Callable[[Archive], T], *, what: str, store: Path
) -> T:
    """Read a file back, digest verified.

    Args:
        path: the file.
        size: of the file when it was written [bytes].
        sha256: likewise, hex.
        decode: makes what is wanted of its members.
        what: names it in messages.
        store: the folder of its store.

    Raises:
        FileNotFoundError: if it is not there.
        StorageError: if it is unreadable, not what was written, or not what is expected.
    """
    remedy = f"Restore it from a copy, or keep what is left: robot-rl data doctor {store} --repair"
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            if digest != sha256 or file.tell() != size:
                raise StorageError(
                    f"{what} in {path} is damaged: its bytes are not those that were saved. "
                    f"{remedy}"
                )
            try:
                return decode(Archive(file, listed_members(file, str(path)), str(path)))
            except StorageError as error:
                raise StorageError(f"{what}: {error}. {remedy}") from error
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StorageError(f"{what} in {path} is not readable: {error}. {remedy}") from error


class _Digest:
    """Counts and hashes what passes."""

    def __init__(self) -> None:
        self.size = 0
        self.sha256 = hashlib.sha256()

    def passing(self, parts: Iterable[bytes]) -> Iterator[bytes]:
        for part in parts:
            self.sha256.update(part)
            self.size += len(part)
            yield part
