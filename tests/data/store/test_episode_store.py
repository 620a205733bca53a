from __future__ import annotations

import dataclasses
import errno
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import zarr

from robot_rl.core.errors import ContractError, StorageError
from robot_rl.data.disk.failing_disk import FailingDisk
from robot_rl.data.store.episode_store import EpisodeStore
from robot_rl.data.store.episode_zarr import encode_episode

CAMERA = "observation.images.wrist"
HERE = Path(__file__).parent


@pytest.fixture
def tmp_path(tmp_path):
    """In memory where that can be had: the tests below make tens of thousands of files."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as path:
        yield Path(path)


@pytest.fixture
def open_store(tmp_path, contract):
    def opened(**options) -> EpisodeStore:
        return EpisodeStore(tmp_path / "store", contract, **{"disk": FailingDisk(), **options})

    return opened


def equal(one, other) -> bool:
    """Bit by bit: the encoding holds every field."""
    return encode_episode(one) == encode_episode(other)


def test_what_was_saved_is_read_back_bit_by_bit(open_store, make_episode):
    episode = make_episode(40, human=(3, 4), terminated=False, truncated=True)
    with open_store() as store:
        store.append(episode)

    with open_store() as store:
        read = store.read("episode-0")

    for field in dataclasses.fields(episode):
        want, got = getattr(episode, field.name), getattr(read, field.name)
        if isinstance(want, dict):
            assert list(want) == list(got)
            for key in want:
                np.testing.assert_array_equal(want[key], got[key], strict=True)
        elif isinstance(want, np.ndarray):
            np.testing.assert_array_equal(want, got, strict=True)
            assert got.flags.writeable
        else:
            assert want == got, field.name


def test_order_of_saving_is_kept_whatever_the_names(open_store, make_episode):
    with open_store() as store:
        for number in (5, 1, 12):
            store.append(make_episode(2, episode=number))

    with open_store() as store:
        assert store.ids() == ["episode-5", "episode-1", "episode-12"]
        assert [e.episode_id for e in store] == store.ids()
        assert len(store) == 3


def test_plain_zarr_opens_every_column(open_store, make_episode, make_spec, tmp_path):
    episode = make_episode(40)
    with open_store(observation=make_spec()) as store:
        store.append(episode)

    group = zarr.open_group(tmp_path / "store/episodes/episode-0.zarr", mode="r")

    columns = {name: array[...] for name, array in group.arrays()}
    assert len(columns) == 9 + 3 + 2 + 1
    for name, column in columns.items():
        want = {**episode.vectors, **episode.images}.get(name, getattr(episode, name, None))
        np.testing.assert_array_equal(column, want, strict=True)
    assert group[CAMERA].chunks == (32, 2, 3, 3)
    assert group["action"].chunks == (40, 3)
    assert group["observation.wrench"].attrs["unit"] == "N"
    assert group["stamps_ns"].attrs["unit"] == "ns"
    assert group.attrs["outcome"] == "SUCCESS"
    assert group.attrs["metadata"]["operator"] == "ann"


def test_a_saved_id_never_changes(open_store, make_episode):
    with open_store() as store:
        store.append(make_episode(2))
        with pytest.raises(StorageError, match="already saved"):
            store.append(make_episode(3))
        assert len(store.read("episode-0")) == 2


@pytest.mark.parametrize("name", ["", "../outside", ".hidden", "a/b", "a b", "x" * 201])
def test_an_id_that_cannot_be_a_file_name_is_refused(open_store, make_episode, name):
    with open_store() as store, pytest.raises(ContractError, match="episode id"):
        store.append(make_episode(2, episode_id=name))


def test_other_contract_is_refused_at_opening_and_at_saving(open_store, make_episode, tmp_path):
    with open_store() as store:
        episode = make_episode(2)
        other = dataclasses.replace(episode.metadata, contract="another")
        with pytest.raises(ContractError, match="another"):
            store.append(dataclasses.replace(episode, metadata=other))

    with pytest.raises(ContractError, match="use another directory"):
        EpisodeStore(tmp_path / "store", "another")


def test_second_writer_is_told_who_has_the_store(open_store):
    with open_store(), pytest.raises(StorageError, match=f"open in process {os.getpid()}"):
        open_store()

    open_store().close()


def test_unknown_id_names_the_nearest(open_store, make_episode):
    with open_store() as store:
        store.append(make_episode(2))
        with pytest.raises(StorageError, match="did you mean 'episode-0'"):
            store.read("episode0")


def test_everything_is_synced_before_it_is_named(open_store, make_episode):
    disk = FailingDisk()
    with open_store(disk=disk) as store:
        disk.operations.clear()
        store.append(make_episode(2))

    operations = disk.operations
    rename = next(i for i, (name, _) in enumerate(operations) if name == "rename")
    target = operations[rename][1]
    made = [path for name, path in operations[:rename] if name in ("make_dir", "open_new")]
    synced = [path for name, path in operations[:rename] if name == "sync"]
    assert len(made) == 1 + 1 + 15 * 3  # root, its document, 15 columns of folder and two files
    assert sorted(made) == sorted(synced)
    assert all("/.tmp-" in path for path in made)
    # A file's last write comes before its sync, and after the rename: parent, line, line's sync.
    assert [name for name, _ in operations[rename:]] == ["rename", "sync", "write", "sync"]
    manifest = str(Path(target).parents[1] / "manifest.jsonl")
    assert [path for _, path in operations[rename:]] == [
        target,
        str(Path(target).parent),
        manifest,
        manifest,
    ]


def test_torn_last_line_is_cut_off_and_its_episode_kept_as_an_orphan(
    open_store, make_episode, tmp_path
):
    with open_store() as store:
        store.append(make_episode(2))
        store.append(make_episode(2, episode=1))
    manifest = tmp_path / "store/manifest.jsonl"
    manifest.write_bytes(manifest.read_bytes()[:-5])

    with open_store() as store:
        assert store.ids() == ["episode-0"]
        assert store.orphans == ["episode-1.zarr"]
        store.append(make_episode(3, episode=1))

    with open_store() as store:
        assert [len(e) for e in store] == [2, 3]
        assert store.orphans == ["episode-1.zarr"]


def test_orphans_of_one_name_are_all_kept(open_store, make_episode, tmp_path):
    manifest = tmp_path / "store/manifest.jsonl"
    open_store().close()
    empty = manifest.read_bytes()
    for steps in (2, 3):
        with open_store() as store:
            store.append(make_episode(steps))
        manifest.write_bytes(empty)

    with open_store() as store:
        assert store.orphans == ["episode-0-1.zarr", "episode-0.zarr"]
        assert store.ids() == []


def test_unfinished_folders_are_removed(open_store, make_episode, tmp_path):
    with open_store() as store:
        store.append(make_episode(2))
    left = tmp_path / "store/episodes/.tmp-episode-1.zarr-77"
    left.mkdir()
    (left / "zarr.json").write_text("{")

    with open_store() as store:
        assert store.ids() == ["episode-0"]
        assert store.orphans == []
    assert not left.exists()


def test_every_flipped_byte_or_lost_file_is_detected(open_store, make_episode, tmp_path):
    rng = random.Random(0)
    with open_store() as store:
        for number in (0, 1):
            store.append(make_episode(4, episode=number))
        files = sorted(p for p in (tmp_path / "store/episodes/episode-0.zarr").rglob("*.*"))
        files = [p for p in files if p.is_file()]
        for path in files:
            whole = path.read_bytes()
            flipped = bytearray(whole)
            flipped[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
            for damaged in (bytes(flipped), whole[:-1], b"", None):
                path.unlink() if damaged is None else path.write_bytes(damaged)
                assert not store.verify("episode-0"), path
                with pytest.raises(StorageError, match="episode-0"):
                    store.read("episode-0")
            path.write_bytes(whole)
        assert store.verify("episode-0")
        assert store.verify("episode-1")


def test_every_flipped_byte_of_the_manifest_is_detected(
    open_store, make_episode, tmp_path, contract
):
    with open_store() as store:
        store.append(make_episode(2))
        store.append(make_episode(2, episode=1))
    manifest = tmp_path / "store/manifest.jsonl"
    whole = manifest.read_bytes()
    # The last newline is left out: without it the line is one that was never acknowledged.
    for i in range(len(whole) - 1):
        manifest.write_bytes(whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :])
        with pytest.raises(StorageError, match=r"line \d is damaged"):
            open_store()


def test_an_episode_of_a_later_schema_is_refused(open_store, make_episode, tmp_path):
    path = tmp_path / "store/episodes/episode-0.zarr/zarr.json"
    with open_store() as store:
        store.append(make_episode(2))
        path.write_text(path.read_text().replace('"schema": 1', '"schema": 2'))
        assert not store.verify("episode-0")


@pytest.mark.parametrize("lasting", [False, True])
def test_full_disk_leaves_the_state_before_or_after_at_every_operation(
    open_store, make_episode, lasting
):
    first, second = make_episode(1, images=False), make_episode(1, episode=1, images=False)
    with open_store() as store:
        store.append(first)
    outcomes = set()
    for fail_at in range(1, 1_000):
        disk = FailingDisk(fail_at, lasting=lasting)
        name = f"episode-{fail_at}"
        second = dataclasses.replace(second, episode_id=name)
        failure = ""
        try:
            with open_store(disk=disk) as store:
                store.append(second)
        except StorageError as error:
            failure = str(error)
        reported = not failure
        assert reported or "No space left" in failure
        with open_store() as store:
            there = name in store.ids()
            assert there or not reported
            assert store.verify("episode-0")
            assert not there or equal(store.read(name), second)
        outcomes.add((reported, there))
        if not disk.failed:
            break
    # Reported implies there; a failure while tidying up after a failure may leave it there.
    assert (True, True) in outcomes
    assert (False, False) in outcomes
    assert fail_at > 60


def test_after_a_passing_failure_the_same_store_saves_the_same_episode(open_store, make_episode):
    episode = make_episode(1, images=False)
    probe = FailingDisk()
    with open_store(disk=probe) as store:
        opening = len(probe.operations)
        store.append(episode)
    operations = len(probe.operations)
    # Making files is much the same each time; the last eight rename, sync and list.
    for fail_at in [
        *range(opening + 1, operations - 8, 7),
        *range(operations - 8, operations + 1),
    ]:
        disk = FailingDisk()
        named = dataclasses.replace(episode, episode_id=f"episode-{fail_at}")
        with open_store(disk=disk) as store:
            disk.fail_at = len(disk.operations) + fail_at - opening
            with pytest.raises(StorageError):
                store.append(named)
            assert named.episode_id not in store.ids()
            store.append(named)
            assert equal(store.read(named.episode_id), named)


def test_what_a_failed_save_could_not_remove_is_set_aside_by_the_next(open_store, make_episode):
    class ListingAndRemovingFail(FailingDisk):
        dead = True

        def write(self, descriptor: int, data: bytes) -> None:
            if self.dead and data.startswith(b'{"id"'):
                raise OSError(errno.EIO, "no medium")
            super().write(descriptor, data)

        def remove_tree(self, path: Path) -> None:
            raise OSError(errno.EIO, "no medium")

    disk = ListingAndRemovingFail()
    with open_store(disk=disk) as store:
        with pytest.raises(StorageError, match="was not saved"):
            store.append(make_episode(2))
        disk.dead = False
        store.append(make_episode(3))

        assert [len(episode) for episode in store] == [3]
        assert store.orphans == ["episode-0.zarr"]


def test_a_store_in_doubt_says_so_until_it_is_opened_again(open_store, make_episode):
    class ManifestDies(FailingDisk):
        def write(self, descriptor: int, data: bytes) -> None:
            if data.startswith(b'{"id"'):
                self.fail_at, self._lasting = len(self.operations) + 1, True
            super().write(descriptor, data)

    with open_store(disk=ManifestDies()) as store:
        with pytest.raises(StorageError, match="was not saved"):
            store.append(make_episode(2))
        with pytest.raises(StorageError, match="open it again"):
            store.append(make_episode(2))

    with open_store() as store:
        assert store.ids() == []
        assert store.orphans == ["episode-0.zarr"]


def test_an_episode_whose_line_is_in_doubt_keeps_its_files(open_store, make_episode):
    class ManifestNeitherSyncsNorShrinks(FailingDisk):
        listing = False

        def write(self, descriptor: int, data: bytes) -> None:
            self.listing = data.startswith(b'{"id"')
            super().write(descriptor, data)

        def sync(self, descriptor: int) -> None:
            if self.listing:
                raise OSError(errno.EIO, "no medium")
            super().sync(descriptor)

        def truncate(self, descriptor: int, size: int) -> None:
            raise OSError(errno.EIO, "no medium")

    with (
        open_store(disk=ManifestNeitherSyncsNorShrinks()) as store,
        pytest.raises(StorageError, match="was not saved"),
    ):
        store.append(make_episode(2))

    # The line did reach the file: what it names must be there.
    with open_store() as store:
        assert [len(episode) for episode in store] == [2]


def test_killed_writers_lose_no_acknowledged_episode(tmp_path, make_episode, contract):
    path = tmp_path / "store"
    result = subprocess.run(
        [sys.executable, HERE / "crash_writer.py", path, HERE.parent / "conftest.py", "7"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    acknowledged = result.stdout.split()

    with EpisodeStore(path, contract) as store:
        assert len(acknowledged) >= 15
        assert set(acknowledged) <= set(store.ids())
        # At most one a kill may have been saved without anybody being told.
        assert len(store) - len(acknowledged) <= 15
        for episode in store:
            number = int(episode.episode_id.removeprefix("episode-"))
            assert equal(episode, make_episode(30, episode=number))
            assert all(column.all() for column in (*episode.vectors.values(), episode.reward))
        assert not list((path / "episodes").glob(".tmp-*"))
