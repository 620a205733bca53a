"""The lock of a store: one process at a time writes."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from robot_rl.core.errors import StorageError


def take_lock(path: Path) -> int:
    """Lock the file `path` for this process and return the descriptor that holds the lock.

    Raises:
        StorageError: if another process has it; names the process.
        OSError: if the file cannot be made.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise StorageError(
            f"{path.parent} is open in process {holder}; one process at a time may write. "
            "Stop it, or use another directory; reading needs no lock"
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor
