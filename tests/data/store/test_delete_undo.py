"""Deleting, undoing, labelling and purging, against a model of a few lines."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from robot_rl.core.errors import StorageError
from robot_rl.data.disk.failing_disk import FailingDisk
from robot_rl.data.store.episode_reader import EpisodeReader
from robot_rl.data.store.episode_store import EpisodeStore
from robot_rl.data.store.label import Label
from robot_rl.data.store.repair.doctor import examine


def label(version: int, name: str = "score") -> Label:
    return Label(name=name, values=np.full(1, version, np.int64), made_by="the model")


@pytest.fixture
def store(open_store, make_episode):
    with open_store() as store:
        for number in range(3):
            store.append(make_episode(2, episode=number))
        yield store


def test_a_deleted_episode_is_hidden_and_comes_back(store, equal, make_episode):
    store.delete("episode-1")

    assert store.ids() == ["episode-0", "episode-2"]
    assert store.deleted() == ["episode-1"]
    assert store.entry("episode-1").steps == 2
    with pytest.raises(StorageError, match=r"deleted; bring it back: robot-rl data undo .* epis"):
        store.read("episode-1")
    assert store.undo() == "delete of episode-1"
    assert store.ids() == ["episode-0", "episode-1", "episode-2"]
    assert equal(store.read("episode-1"), make_episode(2, episode=1))


def test_undo_goes_back_one_at_a_time_and_then_says_that_nothing_is_left(store):
    store.delete("episode-1")
    store.add_label("episode-0", label(1))
    store.delete("episode-2")

    assert [store.undo() for _ in range(3)] == [
        "delete of episode-2",
        "label 'score' version 1 of episode-0",
        "delete of episode-1",
    ]
    with pytest.raises(StorageError, match=r"no delete or label to undo; .* undone already"):
        store.undo()


def test_undo_of_one_episode_leaves_the_others(store):
    store.delete("episode-1")
    store.delete("episode-2")

    assert store.undo("episode-1") == "delete of episode-1"
    assert store.deleted() == ["episode-2"]
    with pytest.raises(StorageError, match="no delete or label of episode 'episode-1' to undo"):
        store.undo("episode-1")


@pytest.mark.parametrize("act", ["delete", "undo", "read", "verify", "labels", "entry"])
def test_an_unknown_id_changes_nothing_and_the_nearest_is_named(store, path, act):
    before = (path / "manifest.jsonl").read_bytes()

    with pytest.raises(StorageError, match=r"no episode 'episode_1'.*did you mean 'episode-1'"):
        getattr(store, act)("episode_1")
    assert (path / "manifest.jsonl").read_bytes() == before


def test_deleting_twice_is_an_error(store):
    store.delete("episode-1")

    with pytest.raises(StorageError, match=r"'episode-1' .* is deleted"):
        store.delete("episode-1")
    store.undo()
    assert store.deleted() == []


def test_ids_are_never_used_again(store, make_episode):
    for number in (1, 2):
        store.delete(f"episode-{number}")
    store.undo()
    store.purge()
    store.delete("episode-2")
    for number in range(3):
        with pytest.raises(StorageError, match="use another id"):
            store.append(make_episode(2, episode=number))


def test_nothing_is_removed_before_a_purge_and_only_the_deleted_by_it(store, path):
    files = {p.name for p in (path / "episodes").iterdir()}
    store.delete("episode-1")
    assert {p.name for p in (path / "episodes").iterdir()} == files

    assert store.purge() == ["episode-1"]
    assert {p.name for p in (path / "episodes").iterdir()} == files - {"episode-1.zarr.zip"}
    for act in (store.read, store.undo, store.delete, store.entry):
        with pytest.raises(StorageError, match="was purged"):
            act("episode-1")
    assert store.purge() == []


def test_a_purge_that_fails_anywhere_removes_all_or_nothing(open_store, make_episode, path):
    outcomes = set()
    for fail_at in range(1, 100):
        disk = FailingDisk(lasting=True)
        name = f"episode-{fail_at}"
        with open_store() as store:
            store.append(make_episode(1, episode=fail_at))
            store.add_label(name, label(1))
            store.delete(name)
        with open_store(disk=disk) as store:
            disk.fail_at = len(disk.operations) + fail_at
            try:
                purged, certain = store.purge(), True
            except StorageError as error:
                purged, certain = [], "nothing was changed" in str(error)
        with open_store() as store:
            kept = name in store.deleted()
            assert kept is not (name in purged) or not certain
            assert not kept or store.verify(name)
            store.purge()
        assert not [p for p in path.rglob("*.zarr.zip") if p.is_file()]
        outcomes.add(kept)
        if not disk.failed:
            break
    assert outcomes == {True, False}
    assert fail_at > 5


class AgainstAModel(RuleBasedStateMachine):
    """The model: what is hidden, and a stack of what can be undone."""

    kit: SimpleNamespace
    ids = st.integers(0, 5)

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(dir=self.kit.root)
        self.path = Path(self.folder.name) / "store"
        self.store = EpisodeStore(self.path, self.kit.spec, disk=FailingDisk())
        self.reader = EpisodeReader(self.path)
        self.saved: list[str] = []
        self.purged: set[str] = set()
        self.stack: list[tuple[str, int]] = []
        self.highest: dict[str, int] = {}

    def teardown(self) -> None:
        assert examine(self.path) == []
        self.store.close()
        self.folder.cleanup()

    def refused(self, act, *arguments) -> None:
        before = (self.path / "manifest.jsonl").read_bytes()
        with pytest.raises(StorageError):
            act(*arguments)
        assert (self.path / "manifest.jsonl").read_bytes() == before

    def hidden(self) -> list[str]:
        return [episode for episode, version in self.stack if version == 0]

    def name(self, number: int) -> str:
        return f"episode-{number}"

    @rule(number=ids)
    def append(self, number: int) -> None:
        episode = self.kit.make_episode(1 + number, episode=number)
        if self.name(number) in [*self.saved, *self.purged]:
            self.refused(self.store.append, episode)
        else:
            self.store.append(episode)
            self.saved.append(self.name(number))

    @rule(number=ids)
    def delete(self, number: int) -> None:
        name = self.name(number)
        if name not in self.saved or name in self.hidden():
            self.refused(self.store.delete, name)
        else:
            self.store.delete(name)
            self.stack.append((name, 0))

    @rule(number=ids)
    def add_label(self, number: int) -> None:
        name = self.name(number)
        if name not in self.saved or name in self.hidden():
            self.refused(self.store.add_label, name, label(1))
        else:
            self.highest[name] = self.highest.get(name, 0) + 1
            assert self.store.add_label(name, label(self.highest[name])) == self.highest[name]
            self.stack.append((name, self.highest[name]))

    @rule()
    def undo(self) -> None:
        if self.stack:
            self.stack.pop()
            self.store.undo()
        else:
            self.refused(self.store.undo)

    @rule(number=ids)
    def undo_of(self, number: int) -> None:
        name = self.name(number)
        mine = [operation for operation in self.stack if operation[0] == name]
        if mine:
            self.stack.remove(mine[-1])
            self.store.undo(name)
        else:
            self.refused(self.store.undo, name)

    @precondition(lambda self: len(self.hidden()) > 1)
    @rule()
    def purge(self) -> None:
        gone = self.hidden()
        assert self.store.purge() == gone
        self.purged.update(gone)
        self.saved = [name for name in self.saved if name not in gone]
        self.stack = [operation for operation in self.stack if operation[0] not in gone]

    @rule()
    def open_again(self) -> None:
        self.store.close()
        self.store = EpisodeStore(self.path, disk=FailingDisk())
        assert self.store.orphans == []

    @invariant()
    def both_agree_with_the_model(self) -> None:
        self.reader.refresh()
        visible = [name for name in self.saved if name not in self.hidden()]
        for store in (self.store, self.reader):
            assert store.ids() == visible
            assert store.deleted() == self.hidden()
            for name in self.saved:
                versions = [v for other, v in self.stack if other == name and v]
                assert store.labels(name) == ({"score": versions} if versions else {})
                assert all(store.label(name, "score", v).values == [v] for v in versions)
                assert store.entry(name).steps == 1 + int(name.removeprefix("episode-"))


def test_any_order_of_operations_agrees_with_the_model(tmp_path, recording_spec, make_episode):
    kit = SimpleNamespace(root=tmp_path, spec=recording_spec, make_episode=make_episode)
    machine = type("Machine", (AgainstAModel,), {"kit": kit}).TestCase()
    machine.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
    machine.runTest()
