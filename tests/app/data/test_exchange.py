"""Out of a store and into another: the commands around what `robot_rl.data.exchange` does."""

from __future__ import annotations

import importlib.util
import json

import h5py
import numpy as np
import pytest

from robot_rl.app.data.importing import guess
from robot_rl.core.errors import ConfigError, StorageError
from robot_rl.core.types import Outcome
from robot_rl.data.log.recovery import read_log
from robot_rl.data.store.episode_reader import EpisodeReader

HAS_LEROBOT = importlib.util.find_spec("lerobot") is not None


@pytest.fixture
def filmed(make_store, make_episode):
    return make_store(make_episode("a"), make_episode("b", 12, human=(3, 4)))


def same(one, other):
    assert one.outcome == other.outcome
    for name in ("action", "reward", "source", "stamps_ns", "gate_reason"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for key, column in one.vectors.items():
        np.testing.assert_array_equal(column, other.vectors[key])
    for key, frames in one.images.items():
        np.testing.assert_array_equal(frames, other.images[key])


def test_mcap_is_one_file_an_episode_and_comes_back_bit_by_bit(data, filmed, tmp_path):
    said = data("export", filmed, tmp_path / "out", "--format", "mcap", "--images", "png")
    assert said.status == 0
    assert f"wrote 2 episodes to {tmp_path / 'out'}, " in said.out
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.mcap", "b.mcap"]
    said = data("import", tmp_path / "out", tmp_path / "again")
    assert f"{tmp_path / 'out'}: mcap by its look" in said.out
    assert "imported 2 episodes of plug_in with fr3" in said.out
    for one, other in zip(EpisodeReader(filmed), EpisodeReader(tmp_path / "again"), strict=True):
        same(one, other)


def test_what_is_exported_is_as_judged_and_as_labelled(data, filmed, tmp_path):
    data("relabel", filmed, "b", "--label", "failure", "--by", "ann")
    data("relabel", filmed, "--reward", "rlif")
    assert (
        data("export", filmed, tmp_path / "out", "--format", "mcap", "--reward", "rlif").status
        == 0
    )
    episode = read_log(tmp_path / "out/b.mcap").episode
    assert episode is not None
    assert episode.outcome == Outcome.FAILURE
    assert episode.reward.tolist() == [0, 0, -1] + [0] * 9


def test_a_reward_that_no_label_has_is_refused(refused, filmed, tmp_path):
    said = refused("export", filmed, tmp_path / "out", "--format", "mcap", "--reward", "rlif")
    assert "episode 'a' has no label 'rlif'" in said
    assert f"robot-rl data relabel {filmed} --reward rlif" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", ["mcap", "lerobot"])
def test_what_is_there_already_is_left_as_it_is(refused, filmed, tmp_path, form):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/note").write_text("mine")
    assert "is there already" in refused("export", filmed, tmp_path / "out", "--format", form)
    assert (tmp_path / "out/note").read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--format", "mcap", "--no-video"], "belong to --format lerobot"),
        (["--format", "mcap", "--repo-id", "me/x"], "belong to --format lerobot"),
        (["--format", "lerobot", "--images", "png"], "--images belongs to --format mcap"),
    ],
)
def test_options_of_the_other_format_are_refused(refused, filmed, tmp_path, words, message):
    assert message in refused("export", filmed, tmp_path / "out", *words)
    assert not (tmp_path / "out").exists()


def test_a_store_without_episodes_is_not_exported(refused, make_store, tmp_path):
    said = refused("export", make_store(), tmp_path / "out", "--format", "mcap")
    assert "has no episodes to export" in said


@pytest.mark.slow
@pytest.mark.skipif(not HAS_LEROBOT, reason="needs the lerobot extra")
def test_lerobot_goes_out_and_comes_back(data, filmed, tmp_path):
    said = data("export", filmed, tmp_path / "out", "--format", "lerobot", "--no-video")
    assert said.status == 0, said.err
    info = json.loads((tmp_path / "out/meta/info.json").read_text())
    assert info["total_episodes"] == 2
    assert data("doctor", tmp_path / "out").status == 0
    said = data("import", tmp_path / "out", tmp_path / "again")
    assert "lerobot by its look" in said.out
    for one, other in zip(EpisodeReader(filmed), EpisodeReader(tmp_path / "again"), strict=True):
        same(one, other)


def write_robomimic(path, steps=5):
    with h5py.File(path, "w") as file:
        demo = file.create_group("data/demo_0")
        demo["actions"] = np.linspace(-1, 1, 7 * steps).reshape(steps, 7)
        demo["obs/robot0_joint_pos"] = np.zeros((steps, 7))
        demo["next_obs/robot0_joint_pos"] = np.zeros((steps, 7))
        demo["rewards"] = np.arange(steps) == steps - 1
        demo["dones"] = np.arange(steps) == steps - 1
        demo.attrs["num_samples"] = steps
        file["data"].attrs["total"] = steps
        file["data"].attrs["env_args"] = json.dumps(
            {"env_name": "Can", "type": 1, "env_kwargs": {"control_freq": 20}}
        )


def test_robomimic_is_known_by_its_name_and_takes_its_options(data, tmp_path):
    write_robomimic(tmp_path / "demo.hdf5")
    said = data(
        "import", tmp_path / "demo.hdf5", tmp_path / "store", "--robot", "panda", "--task", "can"
    )
    assert said.status == 0, said.err
    assert f"{tmp_path / 'demo.hdf5'}: robomimic by its look" in said.out
    assert "imported 1 episode of can with panda" in said.out
    (episode,) = EpisodeReader(tmp_path / "store")
    assert len(episode) == 5
    assert episode.outcome == Outcome.SUCCESS


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ("d/meta/info.json", "lerobot"),
        ("d/metadata.yaml", "rosbag2"),
        ("d/x.mcap", "mcap"),
    ],
)
def test_a_folder_shows_what_it_is(tmp_path, made, expected):
    path = tmp_path / made
    path.parent.mkdir(parents=True)
    path.touch()
    assert guess(tmp_path / "d") == expected


def test_what_looks_like_nothing_is_asked_for(tmp_path):
    with pytest.raises(StorageError, match="no such file or folder"):
        guess(tmp_path / "absent")
    with pytest.raises(ConfigError, match="say what it is: --format"):
        guess(tmp_path)
    (tmp_path / "bag_0.db3").touch()
    with pytest.raises(ConfigError, match=f"name its folder: {tmp_path}"):
        guess(tmp_path / "bag_0.db3")


def test_an_option_of_another_format_is_refused(refused, filmed, tmp_path):
    (tmp_path / "demo.hdf5").touch()
    said = refused("import", tmp_path / "demo.hdf5", tmp_path / "new", "--topics", "t.yaml")
    assert "--topics is for mcap, rosbag2; this is robomimic" in said


def test_a_bag_needs_a_topic_map(refused, tmp_path):
    (tmp_path / "bag").mkdir()
    (tmp_path / "bag/metadata.yaml").touch()
    said = refused("import", tmp_path / "bag", tmp_path / "new")
    assert "write a topic map" in said
    assert "configs/topics/example.yaml" in said


def test_a_damaged_source_leaves_nothing_behind(refused, tmp_path):
    (tmp_path / "a.mcap").write_bytes(b"not an mcap file at all")
    assert "a.mcap" in refused("import", tmp_path / "a.mcap", tmp_path / "new")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mcap"]
