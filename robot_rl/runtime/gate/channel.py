"""Local sockets that keep messages apart: for this user alone, and never waited for.

A folder that only its owner may enter holds one socket per role, so that what a peer may say
depends on where it came in and not on what it says of itself. Not here: what is said.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import stat
import struct
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from robot_rl.core.errors import ConfigError, HardwareError

_PENDING = 8
_FRAMES_AT_ONCE = 64
"""Frames that one `receive` returns at most: a peer that floods costs no more than this."""
_SEND_BUFFER_BYTES = 1 << 16
_NEWS_BYTES = 1 << 13
"""Unread messages of this size, bookkeeping included, keep news from being sent: the next will do.
The rest of the buffer is for what is said only once."""
_RETRY_S = 0.02
_PATH_BYTES = 107
"""What the kernel has room for in the address of such a socket."""


class Channel:
    """One end of a connection. What the peer does not take in time is dropped and counted.

    Args:
        connection: a connected socket; owned from now on.
        limit: length of the longest frame that is received [bytes].

    Attributes:
        pid: number of the process at the other end when it connected.
        closed: the connection is over, by whichever side.
        dropped: frames that were not sent because the peer had not read those before.
    """

    def __init__(self, connection: socket.socket, limit: int) -> None:
        self.pid = _credentials(connection)[0]
        self.closed = False
        self.dropped = 0
        self._socket = connection
        self._limit = limit
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)

    def send(self, frame: bytes) -> None:
        """Send a frame now or never."""
        if self.closed:
            return
        try:
            self._socket.send(frame)
        except OSError:
            # The peer does not read, or has gone; what it said before is still to be received.
            self.dropped += 1

    def send_news(self, frame: bytes) -> None:
        """Send a frame that a later one will replace, unless some of those before are unread."""
        if self.closed:
            return
        unread = struct.unpack("i", fcntl.ioctl(self._socket, termios.TIOCOUTQ, b"\0" * 4))[0]
        if unread > _NEWS_BYTES:
            self.dropped += 1
        else:
            self.send(frame)

    def receive(self) -> list[bytes]:
        """Return the frames that have arrived, oldest first.

        A frame beyond the limit ends the connection, as its end by the peer does; what came
        before is still returned.
        """
        frames: list[bytes] = []
        while not self.closed and len(frames) < _FRAMES_AT_ONCE:
            try:
                frame = self._socket.recv(self._limit + 1)
            except BlockingIOError:
                break
            except ConnectionResetError:
                # The peer has gone with something unread; said once, before its own last words.
                continue
            except OSError:
                frame = b""
            if not frame or len(frame) > self._limit:
                self.close()
            else:
                frames.append(frame)
        return frames

    def wait(self, timeout_s: float) -> bool:
        """Wait until there is something to receive; return whether there is."""
        if self.closed:
            return False
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(max(0.0, timeout_s) * 1e3))

    def close(self) -> None:
        """End the connection."""
        self.closed = True
        self._socket.close()


class Listener:
    """Accepts connections of processes of this user.

    Args:
        path: of the socket, in a folder that `private_folder` has opened.
        limit: length of the longest frame that is received [bytes].
    """

    def __init__(self, path: Path, limit: int) -> None:
        self._limit = limit
        self._path = path
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)
        self._socket.bind(str(path))
        self._socket.listen(_PENDING)

    def accept(self) -> list[Channel]:
        """Return the connections that have come in since."""
        channels: list[Channel] = []
        while len(channels) < _PENDING:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                # Nobody waits, or whoever did has gone again.
                break
            if _credentials(connection)[1] == os.getuid():
                channels.append(Channel(connection, self._limit))
            else:
                connection.close()
        return channels

    def close(self) -> None:
        """Accept nobody any more."""
        self._socket.close()
        self._path.unlink(missing_ok=True)


def connect(path: Path, limit: int, timeout_s: float = 0.0) -> Channel:
    """Connect to the socket at `path`.

    Args:
        path: of the socket.
        limit: length of the longest frame that is received [bytes].
        timeout_s: how long to wait for somebody to listen there.

    Raises:
        HardwareError: if nobody does.
        ConfigError: if somebody of another user does.
    """
    deadline_s = time.monotonic() + timeout_s
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            connection.connect(str(_addressable(path)))
        except OSError as error:
            connection.close()
            if time.monotonic() < deadline_s:
                time.sleep(_RETRY_S)
                continue
            raise HardwareError(
                f"nobody answers at {path} ({error.strerror}): start that process first"
            ) from error
        pid, uid = _credentials(connection)
        if uid != os.getuid():
            connection.close()
            raise ConfigError(f"{path} belongs to process {pid} of user {uid}, not to this user")
        return Channel(connection, limit)


@contextmanager
def private_folder(folder: Path, lock: str) -> Iterator[Path]:
    """Open the folder for sockets, making it if need be, and hold one of its locks.

    Args:
        folder: nobody but this user may enter it.
        lock: name of the lock; one process at a time holds it.

    Raises:
        ConfigError: if others may enter the folder, its path is too long for a socket's address,
            or another process holds the lock.
    """
    _addressable(folder / "commander.sock")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise ConfigError(
            f"{folder}: others could get in; expected a folder of this user with mode 0700, got "
            f"mode {stat.S_IMODE(status.st_mode):04o} of user {status.st_uid}"
        )
    descriptor = os.open(folder / f"{lock}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock(descriptor, folder, lock)
        yield folder
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path, lock: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.read(descriptor, 32).decode(errors="replace") or "unknown"
        raise ConfigError(
            f"{folder}: there is a {lock} already, process {holder}; end it, or use another folder"
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)


def _addressable(path: Path) -> Path:
    if len(os.fsencode(path)) > _PATH_BYTES:
        raise ConfigError(
            f"{path} is {len(os.fsencode(path))} bytes long, a socket's address has room for "
            f"{_PATH_BYTES}: use a shorter folder, e.g. /run/user/{os.getuid()}/gate"
        )
    return path


def _credentials(connection: socket.socket) -> tuple[int, int]:
    """Number and user of the process at the other end."""
    size = struct.calcsize("3i")
    pid, uid, _ = struct.unpack(
        "3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    )
    return pid, uid
