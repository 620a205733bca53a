"""An HDF5 file of strangers, read with care: only what lies in the file itself.

HDF5 can refer to other files in three ways (links, external storage, virtual datasets); a file
that does is refused, since it would make us read whatever it names.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py as _untyped_h5py  # pyright: ignore[reportMissingTypeStubs]
import numpy as np
from numpy.typing import NDArray

from robot_rl.core.errors import StorageError, did_you_mean

h5py: Any = _untyped_h5py
_MAX_BYTES = 1 << 36
_REFUSED = "Do not trust this file; copy what you need into a plain one with h5repack"


class Hdf5Group:
    """One group of an open file.

    Args:
        path: the file's, for errors.
        group: h5py's group.
    """

    def __init__(self, path: Path, group: Any) -> None:
        self._path = path
        self._group = group
        self.name = str(group.name)

    def __contains__(self, name: str) -> bool:
        return self._link(name) is not None

    def names(self) -> list[str]:
        """Names of the groups and datasets in this one."""
        try:
            return [str(name) for name in self._group]
        except (OSError, RuntimeError) as error:
            raise StorageError(
                f"{self._path}: {self.name} cannot be read: {error}; restore it from a copy"
            ) from error

    def group(self, name: str) -> Hdf5Group:
        """Return a group in this one.

        Raises:
            StorageError: if there is none, or it is a link to elsewhere.
        """
        found = self._find(name)
        if not isinstance(found, h5py.Group):
            raise StorageError(f"{self._path}: {self.name}/{name} is a dataset, expected a group")
        return Hdf5Group(self._path, found)

    def array(self, name: str) -> NDArray[Any]:
        """Read a dataset of numbers or strings, the latter as bytes.

        Raises:
            StorageError: if there is none, it refers to other files, holds Python objects, is
                absurdly large, or is damaged.
        """
        found = self._find(name)
        where = f"{self._path}: {self.name}/{name}"
        if not isinstance(found, h5py.Dataset):
            raise StorageError(f"{where} is a group, expected a dataset")
        if found.is_virtual or found.external:
            raise StorageError(f"{where} keeps its numbers in other files. {_REFUSED}")
        text = h5py.check_string_dtype(found.dtype) is not None
        if found.dtype.kind not in "fiub" and not text:
            raise StorageError(f"{where} has dtype {found.dtype}, expected numbers")
        if found.nbytes > _MAX_BYTES:
            raise StorageError(f"{where} has {found.nbytes} bytes, expected at most {_MAX_BYTES}")
        try:
            return np.asarray(found[()])
        except (OSError, RuntimeError, MemoryError) as error:
            raise StorageError(
                f"{where} cannot be read: {error}; restore the file from a copy"
            ) from error

    def attribute(self, name: str) -> Any:
        """Return an attribute, None if there is none."""
        try:
            return self._group.attrs.get(name)
        except (OSError, RuntimeError, TypeError) as error:
            raise StorageError(
                f"{self._path}: attribute {name!r} of {self.name} cannot be read: {error}"
            ) from error

    def _link(self, name: str) -> Any:
        """How the name is tied to what it names; None if there is no such name."""
        if not name or "/" in name:
            return None
        try:
            return self._group.get(name, getlink=True)
        except (OSError, RuntimeError) as error:
            raise StorageError(
                f"{self._path}: {self.name} cannot be read: {error}; restore it from a copy"
            ) from error

    def _find(self, name: str) -> Any:
        link = self._link(name)
        if link is None:
            raise StorageError(
                f"{self._path}: no {name!r} in {self.name}{did_you_mean(name, self.names())}; "
                "name a robomimic file whose observations were extracted "
                "(dataset_states_to_obs.py)"
            )
        if not isinstance(link, h5py.HardLink):
            kind = type(link).__name__
            raise StorageError(
                f"{self._path}: {self.name}/{name} is a link ({kind}) to "
                f"{getattr(link, 'filename', '')}:{getattr(link, 'path', '')}, expected the data "
                f"itself. {_REFUSED}"
            )
        try:
            return self._group[name]
        except (OSError, RuntimeError, KeyError) as error:
            raise StorageError(
                f"{self._path}: {self.name}/{name} cannot be opened: {error}; restore the file "
                "from a copy"
            ) from error


@contextmanager
def open_hdf5(path: Path) -> Generator[Hdf5Group]:
    """Open a file for reading; yields its root group.

    Raises:
        StorageError: if it is not there, is no HDF5 file, or is cut off.
    """
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise StorageError(
            f"{path} cannot be opened as HDF5: {error}; name a robomimic .hdf5 file, or restore "
            "it from a copy"
        ) from error
    with file:
        yield Hdf5Group(path, file)
