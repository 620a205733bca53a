from __future__ import annotations

import numpy as np
import pytest

from robot_rl.core.errors import StorageError
from robot_rl.core.types import Outcome
from robot_rl.data.disk.failing_disk import FailingDisk
from robot_rl.data.store.episode_reader import EpisodeReader
from robot_rl.data.store.label import Label


def snapshot(path):
    return {p: (p.stat().st_mtime_ns, p.is_file() and p.read_bytes()) for p in path.rglob("*")}


def test_a_reader_beside_a_writer_sees_what_was_saved_at_its_last_refresh(
    open_store, make_episode, path, equal
):
    with open_store() as store:
        store.append(make_episode(2))
        reader = EpisodeReader(path)
        store.append(make_episode(3, episode=1))
        store.delete("episode-0")

        assert reader.ids() == ["episode-0"]
        assert equal(reader.read("episode-0"), make_episode(2))
        reader.refresh()
        assert reader.ids() == ["episode-1"]
        assert reader.deleted() == ["episode-0"]
        store.undo()
        reader.refresh()
        assert reader.ids() == ["episode-0", "episode-1"]
        assert [len(episode) for episode in reader] == [2, 3]


def test_a_reader_changes_nothing(open_store, make_episode, path):
    with open_store() as store:
        store.append(make_episode(2))
        store.add_label(
            "episode-0", Label(name="a", values=np.zeros(2, np.float32), made_by="ann")
        )
        store.append(make_episode(2, episode=1))
        store.delete("episode-1")
    (path / "lock").unlink()
    (path / "episodes/.tmp-x").touch()
    before = snapshot(path)
    reader = EpisodeReader(path)

    assert len(list(reader)) == len(reader) == 1
    assert reader.verify("episode-0")
    assert reader.verify("episode-1")
    assert reader.label("episode-0", "a").made_by == "ann"
    reader.refresh()
    assert snapshot(path) == before


def test_an_entry_tells_what_a_list_needs_without_the_file(open_store, make_episode, path):
    with open_store() as store:
        store.append(make_episode(5, human=(1, 2, 4), outcome=Outcome.FAILURE))
    file = path / "episodes/episode-0.zarr.zip"
    size = file.stat().st_size
    file.unlink()

    entry = EpisodeReader(path).entry("episode-0")
    assert (entry.id, entry.steps, entry.bytes) == ("episode-0", 5, size)
    assert (entry.human_steps, entry.interventions) == (3, 2)
    assert entry.outcome is Outcome.FAILURE
    assert not entry.interrupted


def test_what_was_purged_meanwhile_is_said_to_be_gone(open_store, make_episode, path):
    with open_store() as store:
        for number in (0, 1):
            store.append(make_episode(2, episode=number))
        reader = EpisodeReader(path)
        store.delete("episode-0")
        store.purge()

        with pytest.raises(StorageError, match=r"'episode-0' was purged .* gone for good"):
            reader.read("episode-0")
        assert reader.ids() == ["episode-1"]


def test_a_line_that_a_failing_disk_took_back_is_forgotten(open_store, make_episode, path):
    readers = []

    class SyncFailsOnce(FailingDisk):
        failing = False

        def write(self, descriptor: int, data: bytes) -> None:
            super().write(descriptor, data)
            if self.failing and b'"kind":"saved"' in data:
                # Written, not yet on the medium: a reader may look just now.
                readers.append(EpisodeReader(path))
                self.failing = False
                self.fail_at = len(self.operations) + 1

    disk = SyncFailsOnce()
    with open_store(disk=disk) as store:
        store.append(make_episode(2))
        disk.failing = True
        with pytest.raises(StorageError, match="was not saved"):
            store.append(make_episode(2, episode=1))
        (reader,) = readers
        assert reader.ids() == ["episode-0", "episode-1"]
        reader.refresh()
        assert reader.ids() == ["episode-0"]
        # Of the same length as the line that was taken back.
        store.append(make_episode(2, episode=2))
        reader.refresh()
        assert reader.ids() == ["episode-0", "episode-2"]


def test_a_store_that_is_gone_is_said_to_be(open_store, path):
    open_store().close()
    reader = EpisodeReader(path)
    (path / "manifest.jsonl").unlink()

    with pytest.raises(StorageError, match="expected a store of episodes"):
        reader.refresh()
