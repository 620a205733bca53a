"""Where the frames of a replay buffer lie: in memory, or in a file that is paged in and out."""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.errors import StorageError


def check_room(folder: Path, size: int) -> None:
    """Check that `folder` is there and has `size` free bytes.

    Raises:
        StorageError: naming the folder, what is needed and what is free.
    """
    if not folder.is_dir():
        raise StorageError(
            f"replay backing {folder} is not a folder; create it: mkdir -p {folder}"
        )
    free = shutil.disk_usage(folder).free
    if free < size:
        raise StorageError(
            f"replay backing {folder}: needs {size / 1e9:.2f} GB, {free / 1e9:.2f} GB are free; "
            "free some, name a folder on another disk, or lower the capacity"
        )


def zeroed(
    shape: tuple[int, ...], folder: Path | None, dtype: type[np.generic] = np.uint8
) -> NDArray[Any]:
    """Return zeros, in memory, or in a sparse file of `folder` if one is given.

    The file has no name from the start, so that nothing is left when the process ends, however
    it ends. Space is taken as frames are written; if others fill the disk meanwhile, the system
    ends the process.

    Raises:
        StorageError: if the file cannot be made.
    """
    if folder is None:
        return np.zeros(shape, dtype)
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    try:
        with tempfile.TemporaryFile(dir=folder, prefix="replay-") as file:
            os.truncate(file.fileno(), size)
            mapped = mmap.mmap(file.fileno(), size)
    except OSError as error:
        raise StorageError(f"replay backing {folder}: cannot map {size} bytes: {error}") from error
    return np.frombuffer(mapped, dtype).reshape(shape)
