from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from robot_rl.data.store.episode_reader import EpisodeReader
from robot_rl.data.store.episode_store import EpisodeStore


def test_delete_says_what_brings_it_back_and_undo_does(data, store):
    said = data("delete", store, "online-0", "online-2")
    assert said.status == 0
    assert f"deleted online-0; take it back: robot-rl data undo {store} online-0" in said.out
    assert EpisodeReader(store).ids() == ["online-1"]
    again = data("undo", store, "online-0")
    assert again.status == 0
    assert "undone: " in again.out
    assert "online-0" in again.out
    assert EpisodeReader(store).ids() == ["online-0", "online-1"]


def test_undo_takes_back_the_newest_first_and_as_many_as_asked(data, store):
    data("delete", store, "online-0")
    data("delete", store, "online-2")
    assert "online-2" in data("undo", store).out
    data("delete", store, "online-1")
    assert data("undo", store, "--times", "2").status == 0
    assert EpisodeReader(store).ids() == ["online-0", "online-1", "online-2"]


def test_undo_without_anything_to_undo_is_an_error(refused, store):
    assert "StorageError" in refused("undo", store)
    assert "--times: got 0" in refused("undo", store, "--times", "0")


def test_one_unknown_episode_deletes_none(refused, store):
    refused("delete", store, "online-0", "online-9")
    assert "name the episodes to delete" in refused("delete", store)
    assert len(EpisodeReader(store)) == 3


def test_a_deleted_episode_is_named_as_such(data, refused, store):
    data("delete", store, "online-0")
    assert "'online-0' is deleted; bring it back: robot-rl data undo" in refused(
        "delete", store, "online-0"
    )


def test_a_store_that_is_written_to_is_not_changed(refused, store, make_spec):
    with EpisodeStore(store, make_spec(images=False)):
        assert "StorageError" in refused("delete", store, "online-0")
    assert len(EpisodeReader(store)) == 3


def test_purge_asks_nobody_and_removes_nothing_without_a_terminal(data, store):
    data("delete", store, "online-1")
    said = data("purge", store)
    assert said.status == 1
    assert "online-1: 20 steps, " in said.out
    assert "remove 1 episode (" in said.err
    assert "say --yes" in said.err
    assert EpisodeReader(store).deleted() == ["online-1"]


def test_purge_removes_deleted_episodes_and_says_how_much(data, store):
    data("delete", store, "online-1")
    size = EpisodeReader(store).entry("online-1").bytes
    before = sum(f.stat().st_size for f in store.rglob("*") if f.is_file())
    said = data("purge", store, "--yes")
    assert said.status == 0
    assert "removed for good: online-1; " in said.out
    after = sum(f.stat().st_size for f in store.rglob("*") if f.is_file())
    # The manifest grows by a line of the purge.
    assert before - after > size - 500
    assert EpisodeReader(store).deleted() == []


def test_purge_of_nothing_is_no_error(data, store):
    said = data("purge", store)
    assert said.status == 0
    assert "nothing to purge" in said.out


@pytest.mark.parametrize(("answer", "left"), [(b"n\n", ["online-1"]), (b"y\n", [])])
def test_purge_obeys_the_answer_of_a_person(data, store, answer, left):
    data("delete", store, "online-1")
    own, other = pty.openpty()
    code = "import sys; from robot_rl.app.main import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "data", "purge", str(store)],
        stdin=other,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    os.write(own, answer)
    out, err = process.communicate(timeout=60)
    os.close(own)
    os.close(other)
    assert b"for good, beyond undo?" in err
    assert process.returncode == (1 if left else 0)
    assert (b"nothing was removed" in out) == bool(left)
    assert EpisodeReader(store).deleted() == left
