"""What is used of lerobot and of the libraries it brings, loaded when first needed.

`open_dataset` opens a folder with the real loader, without a word to any hub. Nothing else here
knows the format.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Generator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from robot_rl.core.errors import DependencyError, StorageError

_MISSING = (
    "LeRobot datasets need the package lerobot, which is not installed or does not load ({}); "
    "pip install 'robot_rl[lerobot]'"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """The parts of lerobot 0.6, pyarrow and pandas that the exchange uses; they are untyped.

    Args:
        arrow, parquet, pandas: modules.
        lerobot: `lerobot.datasets`; features, info: its modules of feature and file helpers.
        stats: `lerobot.datasets.compute_stats`.
        video: `lerobot.datasets.video_utils`.
        configs: `lerobot.configs`.
    """

    arrow: Any
    parquet: Any
    pandas: Any
    lerobot: Any
    features: Any
    files: Any
    stats: Any
    video: Any
    configs: Any


@cache
def arrow() -> tuple[Any, Any]:
    """Return `pyarrow` and `pyarrow.parquet`.

    Raises:
        DependencyError: naming what to install.
    """
    return _module("pyarrow"), _module("pyarrow.parquet")


@cache
def library() -> Library:
    """Load lerobot; takes seconds the first time.

    Raises:
        DependencyError: naming what to install.
    """
    pyarrow, parquet = arrow()
    return Library(
        arrow=pyarrow,
        parquet=parquet,
        pandas=_module("pandas"),
        lerobot=_module("lerobot.datasets.lerobot_dataset"),
        features=_module("lerobot.datasets.feature_utils"),
        files=_module("lerobot.datasets.io_utils"),
        stats=_module("lerobot.datasets.compute_stats"),
        video=_module("lerobot.datasets.video_utils"),
        configs=_module("lerobot.configs"),
    )


def open_dataset(root: Path, repo_id: str, cache_dir: Path) -> Any:
    """Open a folder as a `LeRobotDataset` that decodes with PyAV; no hub is asked.

    Not for two threads at once: where the library keeps its copies is a setting of the process.

    Args:
        root: the folder.
        repo_id: a name, `user/dataset`.
        cache_dir: where the library puts its copy of the tables; remove it after use.

    Raises:
        StorageError: the loader does not take the folder.
        DependencyError: lerobot is not installed.
    """
    lerobot = library().lerobot
    refusals = (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError)
    datasets_errors = _module("datasets.exceptions").DatasetsError
    with _offline(), _cache_in(cache_dir):
        try:
            return lerobot.LeRobotDataset(
                repo_id, root=root, video_backend="pyav", return_uint8=True
            )
        except (*refusals, datasets_errors) as error:
            raise StorageError(
                f"{root}: the LeRobot loader refuses this dataset: {error}; "
                f"run: robot-rl data doctor {root}"
            ) from error


@contextlib.contextmanager
def _offline() -> Generator[None]:
    with contextlib.ExitStack() as stack:
        for name in ("huggingface_hub.constants", "datasets.config"):
            stack.enter_context(_replaced(_module(name), "HF_HUB_OFFLINE", True))
        yield


@contextlib.contextmanager
def _cache_in(folder: Path) -> Generator[None]:
    with _replaced(_module("datasets.config"), "HF_DATASETS_CACHE", folder):
        yield


@contextlib.contextmanager
def _replaced(module: Any, name: str, value: object) -> Generator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise DependencyError(_MISSING.format(error)) from error
