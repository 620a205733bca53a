from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest

from robot_rl.data.disk.crash_disk import CrashDisk, lay_out


@pytest.fixture
def disk(tmp_path) -> CrashDisk:
    return CrashDisk(tmp_path)


def write(disk: CrashDisk, path: Path, data: bytes, *, sync: bool) -> None:
    descriptor = disk.open_new(path)
    disk.write(descriptor, data)
    if sync:
        disk.sync(descriptor)
    os.close(descriptor)


def after_all(disk: CrashDisk, unsynced="lost"):
    return disk.state_after(len(disk.operations), unsynced)


def test_the_files_themselves_are_written_as_by_any_disk(disk, tmp_path):
    disk.make_dir(tmp_path / "a")
    write(disk, tmp_path / "a/x", b"one", sync=False)
    disk.rename(tmp_path / "a/x", tmp_path / "a/y")

    assert (tmp_path / "a/y").read_bytes() == b"one"
    assert after_all(disk, "kept") == {"a": None, "a/y": b"one"}


def test_what_nobody_waited_for_is_lost(disk, tmp_path):
    write(disk, tmp_path / "x", b"one", sync=False)

    assert after_all(disk) == {}


def test_a_synced_name_of_an_unsynced_file_is_an_empty_file(disk, tmp_path):
    write(disk, tmp_path / ".tmp", b"one", sync=False)
    disk.rename(tmp_path / ".tmp", tmp_path / "x")
    disk.sync_dir(tmp_path)

    assert after_all(disk) == {"x": b""}


def test_a_synced_file_without_a_synced_name_is_lost(disk, tmp_path):
    write(disk, tmp_path / "x", b"one", sync=True)

    assert after_all(disk) == {}


def test_file_and_name_both_synced_are_there(disk, tmp_path):
    write(disk, tmp_path / ".tmp", b"one", sync=True)
    disk.rename(tmp_path / ".tmp", tmp_path / "x")
    before = len(disk.operations)
    disk.sync_dir(tmp_path)

    assert disk.state_after(before) == {}
    assert after_all(disk) == {"x": b"one"}


def test_a_file_in_a_folder_whose_name_is_lost_is_lost(disk, tmp_path):
    disk.make_dir(tmp_path / "a")
    write(disk, tmp_path / "a/x", b"one", sync=True)
    disk.sync_dir(tmp_path / "a")
    assert after_all(disk) == {}

    disk.sync_dir(tmp_path)
    assert after_all(disk) == {"a": None, "a/x": b"one"}


def test_a_replaced_file_is_the_old_one_until_the_directory_is_synced(tmp_path):
    (tmp_path / "x").write_bytes(b"old")
    disk = CrashDisk(tmp_path)
    write(disk, tmp_path / ".tmp", b"new", sync=True)
    disk.rename(tmp_path / ".tmp", tmp_path / "x")

    assert after_all(disk) == {"x": b"old"}
    disk.sync_dir(tmp_path)
    assert after_all(disk) == {"x": b"new"}


def test_an_unlinked_file_is_back_until_the_directory_is_synced(tmp_path):
    (tmp_path / "x").write_bytes(b"old")
    disk = CrashDisk(tmp_path)
    disk.unlink(tmp_path / "x")

    assert not (tmp_path / "x").exists()
    assert after_all(disk) == {"x": b"old"}
    disk.sync_dir(tmp_path)
    assert after_all(disk) == {}


def test_appended_lines_come_back_up_to_the_last_sync(tmp_path):
    (tmp_path / "x").write_bytes(b"one.")
    disk = CrashDisk(tmp_path)
    descriptor = os.open(tmp_path / "x", os.O_WRONLY | os.O_APPEND)
    disk.write(descriptor, b"two.")
    disk.sync(descriptor)
    disk.write(descriptor, b"three.")
    states = [disk.state_after(n)["x"] for n in range(disk.start, len(disk.operations) + 1)]
    os.close(descriptor)

    assert states == [b"one.", b"one.", b"one.two.", b"one.two."]
    assert after_all(disk, "kept") == {"x": b"one.two.three."}


def test_a_cut_file_has_its_old_length_until_it_is_synced(tmp_path):
    (tmp_path / "x").write_bytes(b"abcdef")
    disk = CrashDisk(tmp_path)
    descriptor = os.open(tmp_path / "x", os.O_WRONLY)
    disk.truncate(descriptor, 2)
    assert after_all(disk) == {"x": b"abcdef"}
    disk.sync(descriptor)
    os.close(descriptor)

    assert after_all(disk) == {"x": b"ab"}


def test_renaming_a_folder_takes_its_files_along(disk, tmp_path):
    disk.make_dir(tmp_path / ".tmp")
    write(disk, tmp_path / ".tmp/x", b"one", sync=True)
    disk.sync_dir(tmp_path / ".tmp")
    disk.rename(tmp_path / ".tmp", tmp_path / "a")
    disk.sync_dir(tmp_path)

    assert after_all(disk) == {"a": None, "a/x": b"one"}


def test_a_removed_tree_is_back_whole_until_the_directory_is_synced(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/x").write_bytes(b"one")
    disk = CrashDisk(tmp_path)
    whole = after_all(disk)
    disk.remove_tree(tmp_path / "a")

    assert list(tmp_path.iterdir()) == []
    assert whole == {"a": None, "a/b": None, "a/b/x": b"one"}
    assert after_all(disk) == whole
    disk.sync_dir(tmp_path)
    assert after_all(disk) == {}


def test_a_file_made_past_the_disk_is_known_from_its_first_write(disk, tmp_path):
    descriptor = os.open(tmp_path / "x", os.O_WRONLY | os.O_CREAT)
    disk.write(descriptor, b"one")
    disk.sync(descriptor)
    os.close(descriptor)
    assert after_all(disk) == {}

    disk.sync_dir(tmp_path)
    assert after_all(disk) == {"x": b"one"}


def test_a_folder_made_past_the_disk_is_known_from_the_first_file_in_it(disk, tmp_path):
    (tmp_path / "a").mkdir()
    write(disk, tmp_path / "a/x", b"one", sync=True)
    disk.sync_dir(tmp_path / "a")
    assert after_all(disk, "kept") == {"a": None, "a/x": b"one"}

    assert after_all(disk) == {}


def test_chance_keeps_loses_tears_and_zeroes_but_never_what_was_synced(tmp_path):
    (tmp_path / "x").write_bytes(b"one.")
    disk = CrashDisk(tmp_path)
    descriptor = os.open(tmp_path / "x", os.O_WRONLY | os.O_APPEND)
    disk.write(descriptor, b"AB")
    disk.write(descriptor, b"CD")
    os.close(descriptor)
    random = Random(1)

    seen = {bytes(after_all(disk, random)["x"] or b"") for _ in range(1_000)}

    assert all(state.startswith(b"one.") for state in seen)
    assert {b"one.", b"one.AB", b"one.ABCD", b"one.A", b"one.\0\0", b"one.\0\0CD"} <= seen
    assert b"one.ABCDE" not in seen


def test_a_tree_is_laid_out_as_it_says(tmp_path):
    lay_out({"a": None, "a/x": b"one", "b": None, "y": b""}, tmp_path)

    assert (tmp_path / "a/x").read_bytes() == b"one"
    assert (tmp_path / "b").is_dir()
    assert (tmp_path / "y").read_bytes() == b""
