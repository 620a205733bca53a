from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from robot_rl.core.errors import ConfigError, ContractError, StorageError
from robot_rl.core.types import Source
from robot_rl.data.disk.failing_disk import FailingDisk
from robot_rl.data.exchange.lerobot import format as lf
from robot_rl.data.exchange.lerobot.exporting import export_lerobot
from robot_rl.data.exchange.lerobot.stats import of_images, of_numbers
from robot_rl.data.exchange.lerobot.verify import Expected, thumbnail, verify
from robot_rl.data.exchange.lerobot.video import VideoWriter, frame_numbers, read_frames
from robot_rl.data.store.episode_reader import EpisodeReader
from robot_rl.data.store.episode_store import EpisodeStore

pytest.importorskip("lerobot", reason="the extra lerobot is not installed")

from robot_rl.data.exchange.lerobot.library import arrow, library, open_dataset
from robot_rl.data.exchange.lerobot.writer import DatasetWriter

WRIST = "observation.images.wrist"
SIDE = "observation.images.side"
STARTS = (0, 3, 7, 12)


@pytest.fixture(scope="module")
def made(recorded, tmp_path_factory):
    """The four episodes as videos; for reading."""
    root = tmp_path_factory.mktemp("made") / "set"
    report = export_lerobot(recorded, root, repo_id="me/set")
    return root, report


@pytest.fixture(scope="module")
def opened(made, tmp_path_factory):
    return open_dataset(made[0], "me/set", tmp_path_factory.mktemp("cache"))


@pytest.fixture
def pictured(recorded, film):
    """A reader of one episode of two steps."""
    return type(recorded)(recorded.spec, [film(2)])


def of_spec(reader, **overrides):
    """The same episodes under a spec whose action differs."""
    spec = reader.spec
    action = dataclasses.replace(spec.task.action, **overrides)
    spec = dataclasses.replace(spec, task=dataclasses.replace(spec.task, action=action))
    return type(reader)(spec, reader.saved.values())


# what is written


def test_report_counts_episodes_frames_and_bytes(made):
    root, report = made
    assert (report.episodes, report.frames) == (4, 18)
    assert report.bytes == sum(p.stat().st_size for p in root.rglob("*") if p.is_file())


def test_loader_sees_lengths_rate_task_and_features(opened):
    assert (opened.num_episodes, opened.num_frames, opened.fps) == (4, 18, 20)
    assert opened.meta.robot_type == "fr3"
    assert opened[0]["task"] == "plug it in"
    assert opened.meta.episodes["length"] == [3, 4, 5, 6]
    assert opened.meta.episodes["dataset_from_index"] == list(STARTS)
    assert opened.features["observation.state"]["names"] == ["episode", "instant"]
    assert opened.meta.video_keys == [WRIST, SIDE]
    assert opened.features[WRIST]["info"]["video.codec"] == "av1"


def test_frame_is_observation_and_action_of_one_step(opened):
    # Episode 2 begins at frame 7, so frame 8 is its step 1, the one that a person drove.
    item = opened[8]
    assert (int(item["episode_index"]), int(item["frame_index"])) == (2, 1)
    assert item["observation.state"].tolist() == [3.0, 2.0]
    np.testing.assert_array_equal(item["action"], np.array([0.1, 0.02, 0.002], np.float32))
    assert item["timestamp"].item() == np.float32(0.05)
    assert item["next.reward"].item() == 2.0
    assert item["complementary_info.is_intervention"].item() is True
    assert item["robot_rl.source"].item() == Source.HUMAN


def test_done_and_success_stand_at_the_last_step_alone(opened):
    # Outcomes by episode: unknown, success, failure, unknown.
    success = np.array([opened.hf_dataset[i]["next.success"].item() for i in range(18)])
    done = np.array([opened.hf_dataset[i]["next.done"].item() for i in range(18)])
    assert np.flatnonzero(success).tolist() == [6]
    assert np.flatnonzero(done).tolist() == [2, 6, 11, 17]


@pytest.mark.slow
def test_hil_serl_reads_transitions_off_it(opened):
    buffer = pytest.importorskip("lerobot.rl.buffer", reason="lerobot came without its buffer")
    steps = buffer.ReplayBuffer._lerobotdataset_to_transitions(opened, ["observation.state"])
    assert [i for i, step in enumerate(steps) if step["done"]] == [2, 6, 11, 17]
    assert bool(steps[8]["complementary_info"]["is_intervention"])


def test_every_episode_begins_with_a_key_frame(made):
    import av

    with av.open(str(made[0] / f"videos/{WRIST}/chunk-000/file-000.mp4")) as container:
        packets = [p for p in container.demux(video=0) if p.pts is not None]
    keys = [i for i, packet in enumerate(packets) if packet.is_keyframe]
    assert set(STARTS) <= set(keys)


def test_hundreds_of_short_episodes_in_one_file_keep_every_frame(
    film, camera_spec, reader_of, tmp_path, barcode, decipher
):
    """A float that is added up episode by episode would drift past the loader's tolerance."""
    observation = dataclasses.replace(
        camera_spec.task.observation, images={WRIST: camera_spec.task.observation.images[WRIST]}
    )
    # At 29 frames a second no time but zero is a number that floats hold.
    action = dataclasses.replace(camera_spec.task.action, period_s=1 / 29)
    task = dataclasses.replace(camera_spec.task, observation=observation, action=action)
    spec = dataclasses.replace(camera_spec, task=task)

    metadata = dataclasses.replace(film(1).metadata, contract=spec.contract)
    like = [dataclasses.replace(film(steps), metadata=metadata) for steps in (1, 2, 3, 4)]

    def short(number):
        seen = np.stack([barcode(0, number, t) for t in range(number % 4 + 2)])
        name = f"short-{number}"
        return dataclasses.replace(like[number % 4], episode_id=name, images={WRIST: seen})

    episodes = [short(n) for n in range(310)]
    export_lerobot(reader_of(spec, episodes), tmp_path / "set", repo_id="me/set")
    (file,) = (tmp_path / "set" / "videos").rglob("*.mp4")
    _, parquet = arrow()
    table = parquet.read_table(tmp_path / "set/meta/episodes/chunk-000/file-000.parquet")
    begins_s = table[f"videos/{WRIST}/from_timestamp"].to_pylist()
    for number, begin_s in enumerate(begins_s):
        times_s = begin_s + np.arange(len(episodes[number])) / 29
        for t, image in enumerate(read_frames(file, times_s, 64, 64)):
            assert decipher(image) == (0, number, t)
    # 1 + 2 + 3 + 4 frames in 77 rounds, then 1 and 2.
    assert frame_numbers(file, 29) == list(range(773))


def test_files_are_split_at_episodes_and_stay_exact(recorded, tmp_path, monkeypatch, decipher):
    # 8 frames are 0.4 s: episodes of 3 and 4 share a file, those of 5 and 6 have their own.
    monkeypatch.setattr("robot_rl.data.exchange.lerobot.writer.MAX_FILE_S", 0.4)
    monkeypatch.setattr("robot_rl.data.exchange.lerobot.writer._MAX_DATA_MB", 1e-6)
    export_lerobot(recorded, tmp_path / "set", repo_id="me/set")
    for key in (WRIST, SIDE):
        videos = sorted((tmp_path / "set" / "videos" / key).rglob("*.mp4"))
        assert [len(frame_numbers(v, 20)) for v in videos] == [7, 5, 6]
    assert len(list((tmp_path / "set" / "data").rglob("*.parquet"))) == 4
    dataset = open_dataset(tmp_path / "set", "me/set", tmp_path / "cache")
    for frame, (episode, t) in {6: (1, 3), 7: (2, 0), 12: (3, 0), 17: (3, 5)}.items():
        item = dataset[frame]
        assert decipher(item[SIDE].numpy().transpose(1, 2, 0)) == (1, episode, t)


# statistics


def test_statistics_of_numbers_by_hand():
    values = np.array([[0.0, 5.0], [1.0, 5.0], [2.0, 5.0], [3.0, 5.0], [4.0, 5.0]], np.float32)
    flags = np.array([False, False, False, False, True])
    found = of_numbers({"a": values, "b": flags})
    assert found["a"]["mean"].tolist() == [2.0, 5.0]
    assert found["a"]["std"] == pytest.approx([np.sqrt(2), 0])
    assert found["a"]["q10"] == pytest.approx([0.4, 5])
    assert (found["b"]["min"], found["b"]["max"], found["b"]["mean"]) == ([0], [1], [0.2])
    assert found["b"]["count"] == [5]


def test_statistics_of_images_are_those_of_lerobot_where_it_is_exact():
    images = np.random.default_rng(0).integers(0, 256, (7, 20, 30, 3), np.uint8)
    ours = of_images(images, list(range(7)))
    lerobot = library().stats.get_feature_stats(
        images.transpose(0, 3, 1, 2), axis=(0, 2, 3), keepdims=True
    )
    for name, theirs in lerobot.items():
        if name == "count":
            assert ours[name] == theirs
            continue
        assert ours[name].shape == (3, 1, 1)
        # Its quantiles are those of histograms whose bins are 255 / 5000 wide.
        np.testing.assert_allclose(ours[name], theirs[0] / 255, rtol=1e-5, atol=1 / 255)


def test_large_images_are_thinned_as_lerobot_does():
    images = np.zeros((1, 320, 480, 3), np.uint8)
    # 480 / 150 is 3: every third pixel counts, and pixel (1, 1) does not.
    images[0, 1, 1] = 255
    images[0, 3, 3] = 100
    assert of_images(images, [0])["max"].reshape(-1) == pytest.approx(100 / 255)


def test_statistics_of_the_dataset_are_joined_over_episodes(opened):
    # The second element of the state counts the instants from 1: over 3, 4, 5 and 6 steps.
    instants = [i + 1 for steps in (3, 4, 5, 6) for i in range(steps)]
    state = opened.meta.stats["observation.state"]
    assert state["mean"][1] == pytest.approx(np.mean(instants))
    assert state["std"][1] == pytest.approx(np.std(instants))
    assert state["count"] == [18]
    assert opened.meta.stats[WRIST]["mean"].shape == (3, 1, 1)


# what LeRobot cannot hold


@pytest.mark.parametrize("period_s", [0.03, 1 / 29.97, 2.0])
def test_rate_that_is_no_whole_number_is_refused(pictured, tmp_path, period_s):
    with pytest.raises(ContractError, match="whole numbers alone"):
        export_lerobot(of_spec(pictured, period_s=period_s), tmp_path / "set", repo_id="me/set")
    assert os.listdir(tmp_path) == []


def test_period_written_with_few_digits_is_a_whole_rate(camera_spec):
    action = dataclasses.replace(camera_spec.task.action, period_s=0.033333)
    assert lf.frame_rate(action) == 30


def test_camera_too_small_for_video_is_refused_before_the_encoder_dies(
    recording_spec, make_episode, reader_of, tmp_path
):
    reader = reader_of(recording_spec, [make_episode()])
    with pytest.raises(ContractError, match=r"2 x 3 is too small.*video=False"):
        export_lerobot(reader, tmp_path / "set", repo_id="me/set")
    assert export_lerobot(reader, tmp_path / "set", repo_id="me/set", video=False).frames == 4


@pytest.mark.parametrize(
    "key", ["state", "observation.a/b", "observation...x", "observation.image"]
)
def test_key_that_lerobot_cannot_hold_is_refused(camera_spec, key):
    vectors = {key: camera_spec.task.observation.vectors["observation.wrench"]}
    observation = dataclasses.replace(camera_spec.task.observation, vectors=vectors)
    task = dataclasses.replace(camera_spec.task, observation=observation)
    with pytest.raises(ContractError, match="LeRobot"):
        lf.features(dataclasses.replace(camera_spec, task=task), video=True)


def test_number_that_is_not_finite_is_refused(pictured, film, tmp_path):
    episode = film(2)
    bad = dataclasses.replace(episode, reward=np.array([0, np.inf], np.float32))
    reader = type(pictured)(pictured.spec, [bad])
    with pytest.raises(ContractError, match=r"'episode-0': next.reward has a number"):
        export_lerobot(reader, tmp_path / "set", repo_id="me/set")
    assert os.listdir(tmp_path) == []


def test_store_without_episodes_is_refused(recorded, tmp_path):
    with pytest.raises(StorageError, match="no episode that is not deleted"):
        export_lerobot(type(recorded)(recorded.spec, []), tmp_path / "set", repo_id="me/set")


@pytest.mark.parametrize("repo_id", ["set", "a/b/c", "../set", ""])
def test_name_that_is_none_of_a_dataset_is_refused(recorded, tmp_path, repo_id):
    with pytest.raises(ConfigError, match="USER/DATASET"):
        export_lerobot(recorded, tmp_path / "set", repo_id=repo_id)


# whole or not at all


def test_target_that_exists_is_refused_and_not_touched(recorded, tmp_path):
    (tmp_path / "set").write_text("mine")
    with pytest.raises(StorageError, match="is there already"):
        export_lerobot(recorded, tmp_path / "set", repo_id="me/set")
    assert (tmp_path / "set").read_text() == "mine"


KILLED = """
import dataclasses, os, signal, sys
from pathlib import Path
from robot_rl.data.exchange.lerobot.exporting import export_lerobot
from robot_rl.data.store.episode_reader import EpisodeReader
def progress(done, total):
    if done == 2:
        os.kill(os.getpid(), signal.SIGKILL)
export_lerobot(EpisodeReader(sys.argv[1]), Path(sys.argv[2]), repo_id="me/set", progress=progress)
"""


@pytest.fixture(scope="module", autouse=True)
def killed(recorded, tmp_path_factory):
    """A process that is killed amid its export, and a store; it starts while others load."""
    folder = tmp_path_factory.mktemp("killed")
    with EpisodeStore(folder / "store", recorded.spec) as store:
        for episode in recorded.saved.values():
            store.append(episode)
        store.delete("episode-1")
    run = [sys.executable, "-c", KILLED, str(folder / "store"), str(folder / "out" / "set")]
    with subprocess.Popen(run) as process:
        yield process, folder


def test_killed_export_leaves_no_target_and_the_next_removes_what_it_left(killed):
    process, folder = killed
    assert process.wait(timeout=100) == -signal.SIGKILL
    target = folder / "out" / "set"
    assert os.listdir(target.parent) == [".tmp-set-unfinished"]
    report = export_lerobot(EpisodeReader(folder / "store"), target, repo_id="me/set")
    assert os.listdir(target.parent) == ["set"]
    # Episodes of 3, 5 and 6 steps: the deleted one is left out.
    assert (report.episodes, report.frames) == (3, 14)


def test_whatever_operation_fails_the_dataset_is_absent_or_whole(pictured, tmp_path):
    counting = FailingDisk()
    export_lerobot(pictured, tmp_path / "counted", repo_id="me/set", video=False, disk=counting)
    count = len(counting.operations)
    # Seven files and their folders, the name and its folder.
    assert counting.operations[-2][0] == "rename"
    for fail_at in (1, 2, count // 2, count - 2, count - 1):
        target = tmp_path / f"set-{fail_at}"
        with pytest.raises(StorageError, match="was not written"):
            export_lerobot(
                pictured, target, repo_id="me/set", video=False, disk=FailingDisk(fail_at)
            )
        assert not target.exists()
    with pytest.raises(StorageError, match="is there and whole"):
        export_lerobot(
            pictured, tmp_path / "last", repo_id="me/set", video=False, disk=FailingDisk(count)
        )
    assert not list(tmp_path.glob(".tmp-*"))


# the comparison


@pytest.fixture
def damage(made, recorded, tmp_path):
    """A copy of the dataset to damage, and a comparison with what it was made of."""
    root = Path(shutil.copytree(made[0], tmp_path / "set"))

    def compare():
        episodes = recorded.saved.values()
        expected = [Expected.of(e, lf.columns(e)) for e in episodes]
        verify(root, recorded.spec, "me/set", expected, tmp_path / "cache")

    return root, compare


def test_comparison_passes_what_was_written(damage):
    damage[1]()


def test_comparison_finds_cameras_that_changed_places(damage):
    root, compare = damage
    wrist, side = (root / "videos" / key for key in (WRIST, SIDE))
    wrist.rename(root / "videos" / "x")
    side.rename(wrist)
    (root / "videos" / "x").rename(side)
    with pytest.raises(StorageError, match=r"images.* differs by"):
        compare()


def test_comparison_finds_a_missing_frame(damage, recorded):
    root, compare = damage
    path = root / f"videos/{SIDE}/chunk-000/file-000.mp4"
    path.unlink()
    writer = VideoWriter(path, 20, 64, 64, library().configs.rgb_encoder_defaults())
    for episode in recorded.saved.values():
        writer.write(episode.images[SIDE][: len(episode) - (episode.episode_id == "episode-3")])
    writer.close()
    with pytest.raises(StorageError, match="other frames, expected 18"):
        compare()


def test_comparison_finds_one_changed_number(damage):
    root, compare = damage
    pa, parquet = arrow()
    path = root / "data/chunk-000/file-000.parquet"
    table = parquet.read_table(path)
    rewards = table["next.reward"].to_pylist()
    rewards[8] = float(np.nextafter(np.float32(rewards[8]), np.float32(9)))
    column = table.schema.get_field_index("next.reward")
    field = table.schema.field(column)
    parquet.write_table(table.set_column(column, field, pa.array(rewards, field.type)), path)
    with pytest.raises(StorageError, match="other numbers in episode 2"):
        compare()


def test_comparison_finds_episodes_that_begin_elsewhere(damage):
    root, compare = damage
    info = json.loads((root / "meta/info.json").read_text())
    info["total_frames"] = 17
    (root / "meta/info.json").write_text(json.dumps(info))
    with pytest.raises(StorageError, match="17"):
        compare()


def test_thumbnail_is_the_mean_of_cells_by_hand():
    image = np.zeros((16, 24, 3), np.uint8)
    image[:8, 8:16] = 64
    assert thumbnail(image)[..., 0].tolist() == [[0, 64, 0], [0, 0, 0]]
    # Smaller than a cell: one cell.
    assert thumbnail(image[:3, 8:9]).reshape(-1).tolist() == [64, 64, 64]


def test_noise_survives_the_comparison(film, camera_spec, reader_of, tmp_path):
    episode = film(3)
    noise = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), np.uint8)
    noisy = dataclasses.replace(episode, images={WRIST: noise, SIDE: 255 - noise})
    reader = reader_of(camera_spec, [noisy])
    assert export_lerobot(reader, tmp_path / "set", repo_id="me/set").frames == 3


def test_writer_refuses_an_episode_of_another_shape(camera_spec, film, tmp_path):
    episode = film(2)
    wrong = dataclasses.replace(episode, action=episode.action[:, :2])
    writer = DatasetWriter(tmp_path / "set", camera_spec, repo_id="me/set", video=False)
    with pytest.raises(ContractError, match="action"):
        writer.add(wrong)
    writer.abandon()


def test_encoding_leaves_the_thread_in_its_scheduling_class(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "v.mp4", 20, 64, 64, library().configs.rgb_encoder_defaults())
    before = os.sched_getscheduler(0)
    writer.write(np.zeros((3, 64, 64, 3), np.uint8))
    writer.close()
    assert os.sched_getscheduler(0) == before
