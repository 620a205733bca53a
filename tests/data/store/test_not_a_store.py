"""What is said of a path where no store is, to whoever reads and whoever writes."""

from __future__ import annotations

import os

import pytest

from robot_rl.core.errors import StorageError
from robot_rl.data.store.episode_reader import EpisodeReader
from robot_rl.data.store.episode_store import EpisodeStore
from robot_rl.data.store.repair.doctor import examine


def nothing(path):
    pass


def empty(path):
    path.mkdir()


def mcap(path):
    path.write_bytes(b"\x89MCAP0\r\n")


def lerobot(path):
    (path / "meta").mkdir(parents=True)
    (path / "meta/info.json").write_text("{}")


def rosbag(path):
    path.mkdir()
    (path / "metadata.yaml").touch()
    (path / "bag_0.db3").touch()


def pictures(path):
    path.mkdir()
    (path / "a.png").touch()
    (path / "b.png").touch()


def headless(path):
    (path / "episodes").mkdir(parents=True)
    (path / "episodes/episode-0.zarr.zip").touch()


CASES = {
    nothing: "is not there; expected a store",
    empty: "is an empty folder; expected a store",
    mcap: r"is a file .*robot-rl data import \S+ STORE",
    lerobot: r"is a LeRobot data set; .*robot-rl data import \S+ STORE",
    rosbag: r"is a folder of recordings; .*robot-rl data import",
    pictures: r"is a folder of other things \(a.png, b.png\); .*Name another",
    headless: r"is a store without its manifest; .*robot-rl data doctor \S+ --repair",
}


def snapshot(path):
    return {p: p.read_bytes() if p.is_file() else None for p in [path, *path.rglob("*")]}


@pytest.mark.parametrize("make", CASES)
def test_readers_and_writers_without_a_spec_are_told_what_is_there(tmp_path, make):
    path = tmp_path / "x.mcap"
    make(path)
    before = snapshot(tmp_path)

    for opening in (EpisodeReader, EpisodeStore):
        with pytest.raises(StorageError, match=CASES[make]):
            opening(path)
    assert examine(path)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("make", [mcap, lerobot, rosbag, pictures, headless])
def test_a_store_is_not_begun_among_other_things(tmp_path, recording_spec, make):
    path = tmp_path / "x.mcap"
    make(path)
    before = snapshot(tmp_path)

    with pytest.raises(StorageError, match="expected a store"):
        EpisodeStore(path, recording_spec)
    assert snapshot(tmp_path) == before


def test_a_store_is_begun_in_an_empty_folder_and_where_a_beginning_was_killed(
    tmp_path, recording_spec
):
    for made in ((), ("episodes",), ("episodes", ".tmp-manifest.jsonl-1")):
        path = tmp_path / f"store-{len(made)}"
        path.mkdir()
        for name in made:
            (path / name).mkdir()
        with EpisodeStore(path, recording_spec) as store:
            assert store.ids() == []


def test_a_folder_of_stores_names_them(tmp_path, recording_spec):
    for name in ("demos", "online"):
        EpisodeStore(tmp_path / name, recording_spec).close()

    with pytest.raises(StorageError, match=r"folder of stores; .*one of them: demos, online"):
        EpisodeReader(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_a_storage_error(tmp_path, recording_spec):
    path = tmp_path / "store"
    EpisodeStore(path, recording_spec).close()
    (path / "manifest.jsonl").chmod(0)

    with pytest.raises(StorageError, match="Permission denied"):
        EpisodeReader(path)
