"""A store in memory, and how two episodes are compared."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from robot_rl.core.episode import Episode
from robot_rl.data.disk.failing_disk import FailingDisk
from robot_rl.data.store.episode_store import EpisodeStore
from robot_rl.data.store.format.episode_zarr import episode_members


@pytest.fixture
def tmp_path(tmp_path):
    """In memory where that can be had: the tests here make thousands of files."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as path:
        yield Path(path)


@pytest.fixture
def path(tmp_path) -> Path:
    """Where `open_store` opens its store."""
    return tmp_path / "store"


@pytest.fixture
def open_store(path, recording_spec) -> Callable[..., EpisodeStore]:
    """On a disk that does not wait for the medium."""

    def opened(spec=recording_spec, **options) -> EpisodeStore:
        return EpisodeStore(path, spec, **{"disk": FailingDisk(), **options})

    return opened


@pytest.fixture
def equal(recording_spec) -> Callable[[Episode, Episode], bool]:
    """Bit by bit: the encoding holds every field."""

    def equal(one: Episode, other: Episode) -> bool:
        members = [dict(episode_members(e, recording_spec)) for e in (one, other)]
        return members[0] == members[1]

    return equal
