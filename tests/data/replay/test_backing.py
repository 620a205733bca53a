from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from robot_rl.core.errors import StorageError
from robot_rl.data.replay.replay_buffer import ReplayBuffer

CAMERA = "observation.images.wrist"


def test_a_backed_buffer_holds_what_one_in_memory_holds(make_spec, make_episode, tmp_path):
    buffers = [ReplayBuffer(10, make_spec(), 3, backing=path) for path in (None, tmp_path)]
    for buffer in buffers:
        for episode in range(4):
            buffer.add_episode(make_episode(6, episode=episode))

    one, other = (buffer.windows(np.arange(len(buffer)), 3, 0.9) for buffer in buffers)
    assert buffers[0].state == buffers[1].state
    np.testing.assert_array_equal(one.images[CAMERA], other.images[CAMERA])
    np.testing.assert_array_equal(one.next_images[CAMERA], other.next_images[CAMERA])
    assert one.images[CAMERA].min() >= 1


def test_the_folder_is_empty_all_the_time(make_spec, make_episode, tmp_path):
    buffer = ReplayBuffer(10, make_spec(), 3, backing=tmp_path)
    buffer.add_episode(make_episode(6))

    assert list(tmp_path.iterdir()) == []


def test_images_lie_on_disk_and_take_space_only_when_written(make_spec, tmp_path):
    before = shutil.disk_usage(tmp_path).free
    # 100,000 frames of 2 x 3 x 3 bytes: 1.8 MB, sparse.
    buffer = ReplayBuffer(100_000, make_spec(), 3, backing=tmp_path)

    maps = Path("/proc/self/maps").read_text()
    assert str(tmp_path) in maps
    assert before - shutil.disk_usage(tmp_path).free < 1_800_000
    assert buffer.nbytes > 1_800_000


def test_too_little_room_is_said_before_anything_is_made(make_spec, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1_000))

    with pytest.raises(StorageError, match=r"needs 0\.00 GB.*lower the capacity"):
        ReplayBuffer(100, make_spec(), 3, backing=tmp_path)


def test_a_missing_folder_is_said_with_the_remedy(make_spec, tmp_path):
    with pytest.raises(StorageError, match="mkdir -p"):
        ReplayBuffer(10, make_spec(), 3, backing=tmp_path / "absent")
