from __future__ import annotations

import importlib.util

import pytest

from robot_rl.data.store.episode_reader import EpisodeReader

needs_lerobot = pytest.mark.skipif(
    importlib.util.find_spec("lerobot") is None, reason="needs the lerobot extra"
)


@pytest.fixture
def damaged(store):
    (episode,) = (store / "episodes").glob("online-1*")
    content = bytearray(episode.read_bytes())
    content[len(content) // 2] ^= 0xFF
    episode.write_bytes(content)
    return store


def files(store):
    return {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}


def test_a_whole_store_is_healthy(data, store):
    said = data("doctor", store)
    assert said.status == 0
    assert f"{store}: nothing is wrong" in said.out


def test_damage_is_named_with_the_command_that_repairs_and_nothing_is_changed(data, damaged):
    before = files(damaged)
    said = data("doctor", damaged)
    assert said.status == 1
    assert f"{damaged}: 1 finding" in said.out
    assert "episode online-1: " in said.out
    assert f"repair it: robot-rl data doctor {damaged} --repair" in said.out
    assert files(damaged) == before


def test_repair_keeps_what_is_whole_and_says_what_it_did(data, damaged):
    said = data("doctor", damaged, "--repair")
    assert said.status == 0, said.out
    assert "online-1" in said.out
    assert "nothing is wrong" in said.out
    reader = EpisodeReader(damaged)
    assert {"online-0", "online-2"} <= set(reader.ids())
    assert all(reader.verify(episode_id) for episode_id in reader.ids())


def test_a_runs_folder_is_examined_store_by_store(data, make_store, tmp_path):
    demos, online = make_store(name="demos"), make_store(name="online")
    said = data("doctor", tmp_path)
    assert said.status == 0
    assert f"{demos}: nothing is wrong" in said.out
    assert f"{online}: nothing is wrong" in said.out


def test_a_store_without_its_manifest_is_examined(data, store):
    (store / "manifest.jsonl").unlink()
    said = data("doctor", store)
    assert said.status == 1
    assert "manifest.jsonl" in said.out


@pytest.fixture
def broken(tmp_path):
    """A LeRobot folder of which nothing is whole."""
    path = tmp_path / "set"
    (path / "meta").mkdir(parents=True)
    (path / "meta/info.json").write_text("{")
    return path


@needs_lerobot
def test_a_broken_lerobot_folder_is_diagnosed_with_the_command_that_repairs(data, refused, broken):
    said = data("doctor", broken)
    assert said.status == 1
    assert "info.json" in said.out
    assert f"robot-rl data doctor {broken} --repair --into NEW" in said.out
    assert "--repair --into NEW" in refused("doctor", broken, "--repair")


@pytest.mark.slow
@needs_lerobot
def test_a_lerobot_folder_of_which_nothing_is_whole_is_left_as_it_is(refused, broken, tmp_path):
    said = refused("doctor", broken, "--repair", "--into", tmp_path / "new")
    assert "no whole episode" in said
    assert [p.name for p in tmp_path.iterdir()] == ["set"]
    assert (broken / "meta/info.json").read_text() == "{"


def test_only_lerobot_is_repaired_into_a_copy(refused, store, tmp_path):
    assert "--into is for LeRobot" in refused(
        "doctor", store, "--repair", "--into", tmp_path / "x"
    )
