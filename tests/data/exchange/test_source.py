from __future__ import annotations

import dataclasses
import fcntl
import os
from pathlib import Path

import pytest

from robot_rl.core.errors import ContractError, StorageError
from robot_rl.data.disk.failing_disk import FailingDisk
from robot_rl.data.exchange.aside import made_aside
from robot_rl.data.exchange.source import import_into
from robot_rl.data.store.episode_reader import EpisodeReader


class Listed:
    """A source of the episodes of a list; after `good` of them it breaks."""

    def __init__(self, spec, episodes, good=99):
        self.spec, self._episodes, self._good = spec, episodes, good

    def __len__(self):
        return len(self._episodes)

    def episodes(self):
        for number, episode in enumerate(self._episodes):
            if number == self._good:
                raise StorageError("the file ends here")
            yield episode


@pytest.fixture
def source(recording_spec, make_episode):
    return Listed(recording_spec, [make_episode(3 + n, episode=n) for n in range(3)])


def test_import_makes_a_store_of_equal_episodes_in_order(source, tmp_path, same_episode):
    told: list[tuple[int, int]] = []
    target = tmp_path / "deep" / "store"
    assert import_into(source, target, lambda done, total: told.append((done, total))) == 3
    reader = EpisodeReader(target)
    assert reader.spec == source.spec
    assert reader.ids() == ["episode-0", "episode-1", "episode-2"]
    for read, given in zip(reader, source.episodes(), strict=True):
        same_episode(read, given)
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert os.listdir(target.parent) == ["store"]


def test_import_into_a_name_that_is_taken_is_refused_and_changes_nothing(source, tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "mine").write_text("mine")
    with pytest.raises(StorageError, match="is there already"):
        import_into(source, tmp_path / "store")
    assert (tmp_path / "store" / "mine").read_text() == "mine"


def test_source_that_breaks_off_leaves_nothing(source, tmp_path):
    broken = Listed(source.spec, list(source.episodes()), good=2)
    with pytest.raises(StorageError, match="the file ends here"):
        import_into(broken, tmp_path / "store")
    assert os.listdir(tmp_path) == []


def test_source_without_episodes_is_refused(source, tmp_path):
    with pytest.raises(StorageError, match="gave 0 episodes"):
        import_into(Listed(source.spec, []), tmp_path / "store")
    assert os.listdir(tmp_path) == []


def test_episode_of_another_spec_is_refused_and_leaves_nothing(source, tmp_path):
    first = next(source.episodes())
    other = dataclasses.replace(
        first, metadata=dataclasses.replace(first.metadata, contract="other")
    )
    with pytest.raises(ContractError, match="other"):
        import_into(Listed(source.spec, [other]), tmp_path / "store")
    assert os.listdir(tmp_path) == []


def test_whatever_operation_fails_the_store_is_absent_or_whole(source, tmp_path):
    short = Listed(source.spec, list(source.episodes())[:1])
    counting = FailingDisk()
    import_into(short, tmp_path / "counted", disk=counting)
    count = len(counting.operations)
    assert count > 20
    for fail_at in range(1, count + 1):
        target = tmp_path / f"store-{fail_at}"
        with pytest.raises(StorageError):
            import_into(short, target, disk=FailingDisk(fail_at))
        if target.exists():
            assert EpisodeReader(target).ids() == ["episode-0"]
        assert not list(tmp_path.glob(".tmp-*"))
    # Only the last one, after the rename, may leave a store.
    assert len(list(tmp_path.glob("store-*"))) <= 1


def test_what_a_killed_import_left_is_removed_by_the_next(source, tmp_path):
    left = tmp_path / ".tmp-store-unfinished"
    (left / "store" / "episodes").mkdir(parents=True)
    (left / "store" / "manifest.jsonl").write_text("half a li")
    assert import_into(source, tmp_path / "store") == 3
    assert os.listdir(tmp_path) == ["store"]


def test_two_imports_to_one_name_at_a_time_are_refused(source, tmp_path):
    work = tmp_path / ".tmp-store-unfinished"
    work.mkdir()
    descriptor = os.open(work, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        with pytest.raises(StorageError, match="another process is writing"):
            import_into(source, tmp_path / "store")
    finally:
        os.close(descriptor)
    assert import_into(source, tmp_path / "store") == 3


def test_name_taken_meanwhile_is_not_overwritten(tmp_path):
    def publish(target: Path) -> None:
        with made_aside(target, FailingDisk()) as folder:
            folder.mkdir()
            target.mkdir()

    with pytest.raises(StorageError, match="is there already"):
        publish(tmp_path / "store")
    assert os.listdir(tmp_path) == ["store"]
