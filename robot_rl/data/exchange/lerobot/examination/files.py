"""Opening the files of a dataset that nobody vouches for: nothing outside its folder is touched.

What the files mean is known by the modules beside this one.
"""

from __future__ import annotations

import importlib
import json
import re
import string
from pathlib import Path, PurePosixPath
from typing import Any, cast

from robot_rl.core.errors import DependencyError
from robot_rl.data.exchange.lerobot.examination.damage import Chart, DamageError, Kind

INFO = "meta/info.json"
STATS = "meta/stats.json"
TASKS = "meta/tasks.parquet"
EPISODES = "meta/episodes"
DATA = "data"

_MAGIC = b"PAR1"
_MAX_INDEX = 1_000_000
"""Chunks and files beyond this are nonsense."""


def arrow(module: str = "pyarrow") -> Any:
    """Return a module of pyarrow.

    Raises:
        DependencyError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise DependencyError(
            "LeRobot datasets are parquet files, and pyarrow is not installed; "
            "pip install 'robot_rl[lerobot]'"
        ) from error


def check_plain(root: Path, relative: str) -> None:
    """Check that a path of the metadata does not leave the dataset by its words alone.

    Raises:
        DamageError: it does.
    """
    pure = PurePosixPath(relative)
    if pure.is_absolute() or ".." in pure.parts or "\\" in relative or "\0" in relative:
        raise DamageError(
            Kind.UNSAFE_PATH,
            root / INFO,
            f"{relative!r} where a path under the dataset is expected",
        )


def inside(root: Path, relative: str) -> Path:
    """Return `root / relative` if it lies under `root`, links followed.

    Raises:
        DamageError: it leads elsewhere, or in circles.
    """
    check_plain(root, relative)
    path = root / relative
    try:
        real, home = path.resolve(), root.resolve()
    except (OSError, RuntimeError) as error:
        raise DamageError(Kind.UNSAFE_PATH, path, f"a link that leads nowhere: {error}") from error
    if not real.is_relative_to(home):
        raise DamageError(
            Kind.UNSAFE_PATH, path, f"it leads to {real}, expected a place under {home}"
        )
    return path


def fill(root: Path, template: str, **values: int | str) -> str:
    """Return a path template of info.json with its fields filled.

    Only plain fields are allowed: a format string can do far more than name a file.

    Raises:
        DamageError: a field, a format or a number that no dataset has.
    """
    try:
        fields = [part for part in string.Formatter().parse(template) if part[1] is not None]
    except ValueError as error:
        raise DamageError(Kind.UNSAFE_PATH, root / INFO, f"{template!r}: {error}") from error
    for _, name, form, conversion in fields:
        if name not in values or conversion or not re.fullmatch(r"(0?\d)?d?", form or ""):
            raise DamageError(
                Kind.UNSAFE_PATH,
                root / INFO,
                f"{template!r} has the field {name!r}, expected only {sorted(values)}",
            )
    for name, value in values.items():
        if isinstance(value, int) and not 0 <= value < _MAX_INDEX:
            raise DamageError(
                Kind.WRONG_FILE, root / EPISODES, f"{name} is {value}, expected 0 or more"
            )
    return template.format(**values)


def listed(root: Path, folder: str, chart: Chart) -> list[str]:
    """Return the parquet files `<folder>/*/*.parquet`, in the order the loader reads them."""
    found: list[str] = []
    with chart.noting(breaks=0):
        for chunk in _entries(root, folder):
            with chart.noting(breaks=0):
                found += [name for name in _entries(root, chunk) if name.endswith(".parquet")]
    return sorted(found, key=PurePosixPath)


def _entries(root: Path, folder: str) -> list[str]:
    path = inside(root, folder)
    try:
        return [f"{folder}/{entry.name}" for entry in path.iterdir()] if path.is_dir() else []
    except OSError as error:
        raise DamageError(Kind.WRONG_FILE, path, f"cannot be listed: {error}") from error


def read_json(root: Path, relative: str, kind: Kind) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises:
        DamageError: of this kind; there is no such file, or it is something else.
    """
    path = inside(root, relative)
    if not path.is_file():
        raise DamageError(kind, path, "no such file")
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DamageError(kind, path, f"not JSON: {error}") from error
    if not isinstance(found, dict):
        raise DamageError(kind, path, f"holds a {type(found).__name__}, expected an object")
    return cast(dict[str, Any], found)


def open_parquet(root: Path, relative: str, missing: Kind) -> Any:
    """Return a `pyarrow.parquet.ParquetFile`.

    Raises:
        DamageError: there is no such file (of kind `missing`), or no footer, or it is corrupt.
        DependencyError: pyarrow is not installed.
    """
    path = inside(root, relative)
    if not path.is_file():
        raise DamageError(missing, path, "no such file")
    parquet = arrow("pyarrow.parquet")
    try:
        _check_magic(path)
        return parquet.ParquetFile(path)
    except (OSError, arrow().ArrowException) as error:
        raise DamageError(Kind.BROKEN_PARQUET, path, f"not readable: {error}") from error


def _check_magic(path: Path) -> None:
    """Tell a file that was never finished from one that is broken: only the footer is missing."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(4)
        file.seek(max(size - 4, 0))
        tail = file.read(4)
    if size == 0:
        raise DamageError(Kind.BROKEN_PARQUET, path, "0 bytes, expected a parquet file")
    if head == _MAGIC and (tail != _MAGIC or size < 12):
        raise DamageError(
            Kind.NO_FOOTER,
            path,
            f"{size} bytes that end in {tail!r}, expected {_MAGIC!r}: the recording was killed "
            "before it was finalised, or the file was cut short",
        )


def read_table(root: Path, relative: str, missing: Kind) -> Any:
    """Return a whole `pyarrow.Table`, for tables that are small.

    Raises:
        DamageError: as `open_parquet`.
    """
    file = open_parquet(root, relative, missing)
    try:
        return file.read()
    except (OSError, arrow().ArrowException) as error:
        raise DamageError(
            Kind.BROKEN_PARQUET, root / relative, f"pages not readable: {error}"
        ) from error
    finally:
        file.close()
