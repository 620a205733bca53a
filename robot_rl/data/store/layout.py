"""Where things are in a store, and what a folder is that is none. Nothing is written here.

A store is a folder with a `manifest.jsonl`; see `journal` for that, and `episode_store` for the
rest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from robot_rl.core.errors import StorageError
from robot_rl.data.disk.durable import TEMPORARY_PREFIX

SUFFIX = ".zarr.zip"
LOG_SUFFIX = ".mcap"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_LABEL_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of a store.

    Args:
        path: its folder.
    """

    path: Path

    @property
    def manifest(self) -> Path:
        """The journal: what is not in it is not saved."""
        return self.path / "manifest.jsonl"

    @property
    def lock(self) -> Path:
        """Locked while somebody writes; holds the number of the process."""
        return self.path / "lock"

    @property
    def episodes(self) -> Path:
        """Saved episodes, deleted ones too."""
        return self.path / "episodes"

    @property
    def labels(self) -> Path:
        """Labels, one folder an episode."""
        return self.path / "labels"

    @property
    def open(self) -> Path:
        """Logs of episodes that are being recorded, or were when their process died."""
        return self.path / "open"

    @property
    def orphans(self) -> Path:
        """What was never reported as saved."""
        return self.path / "orphans"

    @property
    def damaged(self) -> Path:
        """Damaged files that a repair has replaced."""
        return self.path / "damaged"

    def episode(self, episode_id: str) -> Path:
        """The file of an episode."""
        return self.episodes / f"{episode_id}{SUFFIX}"

    def label(self, episode_id: str, name: str, version: int) -> Path:
        """The file of a version of a label."""
        return self.labels / episode_id / f"{name}-{version}{SUFFIX}"

    def log(self, episode_id: str) -> Path:
        """The log of an episode that is being recorded."""
        return self.open / f"{episode_id}{LOG_SUFFIX}"


def is_episode_id(name: str) -> bool:
    """Whether an episode may be called so: it names files."""
    return _ID.fullmatch(name) is not None


def is_label_name(name: str) -> bool:
    """Whether a label may be called so: it names files."""
    return _LABEL_NAME.fullmatch(name) is not None


def unused(folder: Path, name: str) -> Path:
    """Return a path in `folder` that is not there yet: `name`, or with a number before its end."""
    ending = next((e for e in (SUFFIX, LOG_SUFFIX) if name.endswith(e)), "")
    target, number = folder / name, 0
    while target.exists():
        number += 1
        target = folder / f"{name.removesuffix(ending)}-{number}{ending}"
    return target


def require_store(path: Path) -> None:
    """Refuse a path that is no store.

    Raises:
        StorageError: saying what is there, what was expected, and the command that helps.
    """
    if not Layout(path).manifest.is_file():
        found, remedy = _describe(path)
        raise StorageError(
            f"{path} is {found}; expected a store of episodes, a folder with a manifest.jsonl. "
            f"{remedy}"
        )


def require_room(path: Path) -> None:
    """Refuse a path where a store is neither nor can be started.

    Raises:
        StorageError: saying what is there, and what helps.
    """
    layout = Layout(path)
    if layout.manifest.is_file() or not path.exists():
        return
    ours = (layout.lock, layout.episodes, layout.open, layout.orphans)
    names = {p.name for p in path.iterdir()} if path.is_dir() else {""}
    left = {n for n in names if not n.startswith(TEMPORARY_PREFIX)} - {p.name for p in ours}
    if left or _has_episodes(path):
        found, remedy = _describe(path)
        raise StorageError(f"{path} is {found}; expected a store, or no such folder. {remedy}")


def _describe(path: Path) -> tuple[str, str]:
    """Say what is at a path where no store is, and what helps."""
    another = "Name another folder"
    turn_into = f"To make a store of it: robot-rl data import {path} STORE"
    if not path.exists():
        return "not there", "`robot-rl data ls` lists the stores of a run's folder"
    if path.is_file():
        known = path.suffix in (".mcap", ".hdf5", ".h5", ".bag", ".db3")
        return f"a file ({path.suffix or 'no suffix'})", turn_into if known else another
    if (path / "meta" / "info.json").is_file():
        return "a LeRobot data set", turn_into
    if _has_episodes(path):
        return "a store without its manifest", f"Rebuild it: robot-rl data doctor {path} --repair"
    names = sorted(p.name for p in path.iterdir() if not p.name.startswith(TEMPORARY_PREFIX))
    if any(name.endswith((".mcap", ".db3")) for name in names):
        return "a folder of recordings", turn_into
    stores = [name for name in names if Layout(path / name).manifest.is_file()]
    if stores:
        return "a folder of stores", f"Name one of them: {', '.join(stores)}"
    if not names:
        return "an empty folder", another
    more = ", ..." if len(names) > 4 else ""
    return f"a folder of other things ({', '.join(names[:4])}{more})", another


def _has_episodes(path: Path) -> bool:
    episodes = Layout(path).episodes
    return episodes.is_dir() and any(p.name.endswith(SUFFIX) for p in episodes.iterdir())
