from __future__ import annotations

import json
import logging
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Picture

from robot_rl.core.errors import ContractError, StorageError
from robot_rl.core.types import Outcome, Source
from robot_rl.data.exchange.lerobot.exporting import export_lerobot
from robot_rl.data.exchange.lerobot.importing import LeRobotSource
from robot_rl.data.exchange.source import import_into
from robot_rl.data.store.episode_reader import EpisodeReader

pytest.importorskip("lerobot", reason="the extra lerobot is not installed")

from robot_rl.data.exchange.lerobot.library import arrow, library

WRIST = "observation.images.wrist"
SIDE = "observation.images.side"
DATA = "data/chunk-000/file-000.parquet"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"


@pytest.fixture(scope="module")
def exported(recorded, tmp_path_factory) -> dict[str, Path]:
    """The recorder's four episodes, with exact images and as videos; for reading."""
    folder = tmp_path_factory.mktemp("exported")
    for name, video in (("images", False), ("video", True)):
        export_lerobot(recorded, folder / name, repo_id="me/set", video=video)
    return {path.name: path for path in folder.iterdir()}


@pytest.fixture
def copy_of(exported, tmp_path) -> Callable[[str], Path]:
    """Copies a dataset to be changed; `foreign` is the one with videos and without sidecar."""

    def copy(name: str) -> Path:
        root = Path(shutil.copytree(exported[name.replace("foreign", "video")], tmp_path / name))
        if name == "foreign":
            shutil.rmtree(root / "robot_rl")
        return root

    return copy


@pytest.fixture(scope="module")
def alien(tmp_path_factory) -> Path:
    """Two episodes of 3 and 2 steps at 10 Hz by lerobot's own writer, with its own conventions."""
    root = tmp_path_factory.mktemp("alien") / "alien"
    features: dict[str, Any] = {
        "observation.state": {
            "dtype": "float64",
            "shape": (2,),
            "names": {"motors": ["pan", "tilt"]},
        },
        "observation.gripper": {"dtype": "float32", "shape": (1,), "names": None},
        "observation.image": {
            "dtype": "image",
            "shape": (3, 4, 6),
            "names": ["channels", "height", "width"],
        },
        "observation.count": {"dtype": "int64", "shape": (1,), "names": None},
        "action": {"dtype": "float32", "shape": (2,), "names": None},
        "next.reward": {"dtype": "float32", "shape": (1,), "names": None},
        "next.success": {"dtype": "bool", "shape": (1,), "names": None},
    }
    made = library().lerobot.LeRobotDataset.create(
        "me/alien", 10, features, root=root, robot_type="so100", use_videos=False
    )
    for episode, steps in enumerate((3, 2)):
        for t in range(steps):
            made.add_frame(
                {
                    "observation.state": np.array([episode, t + 0.5]),
                    "observation.gripper": np.array([t], np.float32),
                    "observation.image": np.full((4, 6, 3), 10 * episode + t, np.uint8),
                    "observation.count": np.array([t]),
                    "action": np.array([-4.0 + t, 0.0], np.float32),
                    "next.reward": np.array([t / 2], np.float32),
                    "next.success": np.array([episode == 1 and t == 1]),
                    "task": "stack the cups",
                }
            )
        made.save_episode()
    made.finalize()
    return root


def edit_info(root: Path, **changes: Any) -> None:
    info = json.loads((root / "meta/info.json").read_text())
    (root / "meta/info.json").write_text(json.dumps({**info, **changes}))


def edit_table(path: Path, column: str, change: Callable[[list[Any]], list[Any]]) -> None:
    pa, parquet = arrow()
    table = parquet.read_table(path)
    index = table.schema.get_field_index(column)
    field = table.schema.field(index)
    changed = pa.array(change(table[column].to_pylist()), field.type)
    parquet.write_table(table.set_column(index, field, changed), path)


# there and back


def test_export_with_images_comes_back_bit_by_bit(exported, recorded, same_episode):
    source = LeRobotSource(exported["images"])
    assert source.spec == recorded.spec
    assert len(source) == 4
    for here, there in zip(source.episodes(), recorded.saved.values(), strict=True):
        same_episode(here, there)


def test_export_with_video_comes_back_bit_by_bit_but_for_the_compression(
    exported, recorded, same_episode, decipher
):
    def near(mine, theirs):
        assert mine.dtype == np.uint8
        squared = (mine.astype(float) - theirs) ** 2
        assert 10 * np.log10(255**2 / squared.mean()) > 27
        # The last observation is no frame: it lies in the sidecar, exact.
        return np.array_equal(mine[-1], theirs[-1])

    source = LeRobotSource(exported["video"])
    for number, (here, there) in enumerate(
        zip(source.episodes(), recorded.saved.values(), strict=True)
    ):
        same_episode(here, there, images=near)
        for camera, key in enumerate((WRIST, SIDE)):
            told = [decipher(image) for image in here.images[key]]
            assert told == [(camera, number, t) for t in range(len(here) + 1)]


def test_import_makes_a_store_of_it(exported, recorded, tmp_path, same_episode):
    assert import_into(LeRobotSource(exported["images"]), tmp_path / "store") == 4
    reader = EpisodeReader(tmp_path / "store")
    assert reader.spec == recorded.spec
    for episode in reader:
        same_episode(episode, recorded.saved[episode.episode_id])


def test_names_that_contradict_the_sidecar_are_refused(exported):
    LeRobotSource(exported["images"], robot="fr3", task="plug")
    with pytest.raises(ContractError, match=r"fr3.*given were.*ur5"):
        LeRobotSource(exported["images"], robot="ur5")


def test_sidecar_of_other_numbers_is_refused(copy_of):
    root = copy_of("images")
    edit_table(root / DATA, "next.reward", lambda rows: [*rows[:-1], 9.0])
    with pytest.raises(StorageError, match=r"robot_rl.*episode 3 are not those"):
        list(LeRobotSource(root).episodes())


def test_sidecar_of_other_episodes_is_refused(copy_of):
    root = copy_of("images")
    _, parquet = arrow()
    path = root / "robot_rl/episodes.parquet"
    parquet.write_table(parquet.read_table(path), path)  # One row group instead of four.
    with pytest.raises(StorageError, match=r"1 episodes in the sidecar; expected 4.*doctor"):
        LeRobotSource(root)


def test_sidecar_from_before_there_were_latents_is_read(copy_of, recorded):
    root = copy_of("images")
    _, parquet = arrow()
    path = root / "robot_rl/episodes.parquet"
    table = parquet.read_table(path).drop_columns(["latent"])
    with parquet.ParquetWriter(path, table.schema) as writer:
        for row in range(len(table)):
            writer.write_table(table.slice(row, 1))
    found = list(LeRobotSource(root).episodes())
    assert [e.latent.shape for e in found] == [(3, 0), (4, 0), (5, 0), (6, 0)]
    assert [e.latent.shape[1] for e in recorded.saved.values()] == [0, 2, 0, 2]


@pytest.mark.parametrize("file", ["spec.json", "episodes.parquet"])
def test_damaged_sidecar_is_named(copy_of, file):
    root = copy_of("images")
    path = root / "robot_rl" / file
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(StorageError, match="robot_rl"):
        LeRobotSource(root)


# datasets of others


def test_own_dataset_without_sidecar_is_imported_like_anybodys(copy_of, recorded, decipher):
    source = LeRobotSource(copy_of("foreign"))
    assert (source.spec.robot, source.spec.task.name) == ("fr3", "plug it in")
    for number, (here, there) in enumerate(
        zip(source.episodes(), recorded.saved.values(), strict=True)
    ):
        np.testing.assert_array_equal(here.reward, there.reward)
        assert (here.source == Source.DEMO).all()
        assert [decipher(i)[2] for i in here.images[SIDE]] == [*range(len(here)), len(here) - 1]
        assert here.episode_id == f"lerobot-{number:06d}"


def test_foreign_features_become_a_spec(alien):
    spec = LeRobotSource(alien).spec
    assert spec.robot == "so100"
    assert (spec.task.name, spec.task.instruction) == ("stack the cups", "stack the cups")
    assert spec.task.horizon == 3
    vectors, images = spec.task.observation.vectors, spec.task.observation.images
    assert {key: v.names for key, v in vectors.items()} == {
        "observation.state": ("pan", "tilt"),
        "observation.gripper": ("0",),
    }
    assert all(v.unit == "" for v in vectors.values())
    assert (images["observation.image"].height, images["observation.image"].width) == (4, 6)
    action = spec.task.action
    assert (action.kind, action.names, action.period_s) == ("opaque", ("0", "1"), 0.1)
    # The first element reaches -4, the second never moves.
    assert action.scale == (4.0, 1.0)


def test_foreign_rows_become_an_episode(alien):
    first, second = LeRobotSource(alien, robot="arm", task="cups").episodes()
    assert first.action.tolist() == [[-1.0, 0.0], [-0.75, 0.0], [-0.5, 0.0]]
    assert first.vectors["observation.state"].tolist() == [[0, 0.5], [0, 1.5], [0, 2.5], [0, 2.5]]
    assert first.vectors["observation.gripper"].tolist() == [[0], [1], [2], [2]]
    assert second.images["observation.image"][:, 0, 0, 0].tolist() == [10, 11, 11]
    assert first.reward.tolist() == [0.0, 0.5, 1.0]
    assert first.stamps_ns.tolist() == [0, 10**8, 2 * 10**8, 3 * 10**8]
    assert (first.source == Source.DEMO).all()
    assert (first.outcome, first.terminated, first.truncated) == (Outcome.FAILURE, False, True)
    assert (second.outcome, second.terminated, second.truncated) == (Outcome.SUCCESS, True, False)
    assert (first.metadata.robot, first.metadata.task) == ("arm", "cups")


def test_foreign_dataset_becomes_a_store(alien, tmp_path):
    source = LeRobotSource(alien)
    assert import_into(source, tmp_path / "store") == 2
    assert EpisodeReader(tmp_path / "store").spec == source.spec


def test_columns_that_are_left_out_are_said(alien, caplog):
    with caplog.at_level(logging.WARNING):
        LeRobotSource(alien)
    assert "not imported: observation.count" in caplog.text


def test_given_scale_divides_and_must_reach(alien):
    source = LeRobotSource(alien, scale=(8.0, 2.0))
    assert source.spec.task.action.scale == (8.0, 2.0)
    assert next(source.episodes()).action[0].tolist() == [-0.5, 0.0]
    with pytest.raises(ContractError, match="'0' reaches 4, beyond its scale 3"):
        LeRobotSource(alien, scale=(3.0, 1.0))
    with pytest.raises(ContractError, match="scale has 1 elements"):
        LeRobotSource(alien, scale=(3.0,))


def test_without_success_the_outcome_is_unknown(copy_of):
    root = copy_of("foreign")
    info = json.loads((root / "meta/info.json").read_text())
    info["features"]["next.success"]["dtype"] = "bool"
    renamed = {k.replace("next.success", "next.judged"): v for k, v in info["features"].items()}
    edit_info(root, features=renamed)
    _, parquet = arrow()
    table = parquet.read_table(root / DATA).replace_schema_metadata(None)
    names = [n.replace("next.success", "next.judged") for n in table.column_names]
    parquet.write_table(table.rename_columns(names), root / DATA)
    episode = next(LeRobotSource(root).episodes())
    assert (episode.outcome, episode.terminated, episode.truncated) == (
        Outcome.UNKNOWN,
        False,
        True,
    )


def test_several_tasks_are_kept_in_the_metadata(alien, tmp_path):
    root = Path(shutil.copytree(alien, tmp_path / "cups"))
    edit_table(root / EPISODES, "tasks", lambda rows: [["pour"], ["stir"]])
    source = LeRobotSource(root)
    assert (source.spec.task.name, source.spec.task.instruction) == ("cups", "")
    assert [e.metadata.task for e in source.episodes()] == ["pour", "stir"]


def test_no_hub_is_asked(alien, monkeypatch):
    def refuse(*_: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert len(list(LeRobotSource(alien).episodes())) == 2


# what is refused


@pytest.mark.parametrize("version", ["v2.1", "v2.0", "v4.0", None])
def test_other_versions_are_refused_with_what_helps(copy_of, version):
    root = copy_of("foreign")
    edit_info(root, codebase_version=version)
    with pytest.raises(StorageError, match=rf"info.json.*{version}.*v3.0.*data doctor {root}"):
        LeRobotSource(root)


def test_folder_that_is_no_dataset_is_refused_and_not_made(tmp_path):
    with pytest.raises(StorageError, match=r"info.json: no such file.*robot-rl data doctor"):
        LeRobotSource(tmp_path / "absent")
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize(
    "path",
    [
        "../{chunk_index}/{file_index}.mp4",
        "/etc/{chunk_index}/{file_index}.mp4",
        "videos/../../{chunk_index}{file_index}.mp4",
        "videos/{chunk_index.__class__}/{file_index}.mp4",
        "videos/{secret}.mp4",
        "videos/{chunk_index",
    ],
)
@pytest.mark.parametrize("name", ["video_path", "data_path"])
def test_path_out_of_the_dataset_is_refused(copy_of, name, path):
    root = copy_of("foreign")
    edit_info(root, **{name: path})
    with pytest.raises(StorageError, match=rf"{name}.*a path under the dataset"):
        LeRobotSource(root)


def test_camera_named_after_a_path_is_refused(copy_of):
    root = copy_of("foreign")
    features = json.loads((root / "meta/info.json").read_text())["features"]
    outside = "../../" + WRIST
    edit_info(root, features={outside if key == WRIST else key: f for key, f in features.items()})
    _, parquet = arrow()
    table = parquet.read_table(root / EPISODES)
    names = [n.replace(WRIST, outside) for n in table.column_names]
    parquet.write_table(table.rename_columns(names), root / EPISODES)
    (root.parent / WRIST / "chunk-000").mkdir(parents=True)
    video = root / f"videos/{WRIST}/chunk-000/file-000.mp4"
    shutil.copy(video, root.parent / WRIST / "chunk-000" / "file-000.mp4")
    with pytest.raises(StorageError, match="no link out of it"):
        LeRobotSource(root)


@pytest.mark.parametrize("file", [DATA, EPISODES, f"videos/{SIDE}/chunk-000/file-000.mp4"])
def test_link_out_of_the_dataset_is_refused(copy_of, tmp_path, file):
    root = copy_of("foreign")
    (root / file).rename(tmp_path / "elsewhere")
    (root / file).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match=r"leads to .*elsewhere; expected a file within"):
        LeRobotSource(root)


@pytest.mark.parametrize(
    "file", [DATA, EPISODES, "meta/tasks.parquet", f"videos/{SIDE}/chunk-000/file-000.mp4"]
)
def test_missing_file_is_named(copy_of, file):
    root = copy_of("foreign")
    (root / file).unlink()
    with pytest.raises(StorageError, match=r"no such file.*robot-rl data doctor") as refused:
        LeRobotSource(root)
    assert file.split("/chunk")[0] in str(refused.value)


@pytest.mark.parametrize("file", [DATA, EPISODES])
def test_torn_table_is_named(copy_of, file):
    root = copy_of("foreign")
    (root / file).write_bytes((root / file).read_bytes()[:-20])
    with pytest.raises(StorageError, match=rf"{Path(file).name}.*data doctor"):
        LeRobotSource(root)


def test_torn_video_is_named(copy_of):
    root = copy_of("foreign")
    path = root / f"videos/{SIDE}/chunk-000/file-000.mp4"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(StorageError, match=r"side.*mp4: not a readable video"):
        list(LeRobotSource(root).episodes())


def test_video_with_too_few_frames_is_named(copy_of):
    root = copy_of("foreign")
    edit_table(
        root / EPISODES,
        f"videos/{SIDE}/from_timestamp",
        lambda rows: [*rows[:-1], rows[-1] + 0.05],
    )
    with pytest.raises(StorageError, match=r"side.*no frame at 0.900000 s"):
        list(LeRobotSource(root).episodes())


def test_image_that_is_a_path_is_not_followed(copy_of, tmp_path):
    root = copy_of("images")
    shutil.rmtree(root / "robot_rl")
    secret = tmp_path / "secret.png"
    Picture.fromarray(np.zeros((64, 64, 3), np.uint8)).save(secret)
    edit_table(root / DATA, WRIST, lambda rows: [{"bytes": None, "path": str(secret)}, *rows[1:]])
    with pytest.raises(StorageError, match=r"image 0 of observation.images.wrist: it is not in"):
        list(LeRobotSource(root).episodes())


@pytest.mark.parametrize("column", ["action", "observation.state", "next.reward"])
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_number_that_is_not_finite_is_refused(alien, tmp_path, column, number):
    root = Path(shutil.copytree(alien, tmp_path / "set"))

    def spoil(rows: list[Any]) -> list[Any]:
        return [*rows[:-1], [number, 0.0] if isinstance(rows[-1], list) else number]

    edit_table(root / DATA, column, spoil)
    with pytest.raises(StorageError, match="not finite"):
        list(LeRobotSource(root).episodes())


def test_missing_number_is_refused(alien, tmp_path):
    root = Path(shutil.copytree(alien, tmp_path / "set"))
    edit_table(root / DATA, "next.reward", lambda rows: [None, *rows[1:]])
    with pytest.raises(StorageError, match=r"next.reward has .* with 1 missing"):
        list(LeRobotSource(root).episodes())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fps": 0}, "fps 0"),
        ({"fps": "fast"}, "fps 'fast'"),
        ({"features": {}}, "no features"),
        ({"features": {"action": {"dtype": "float32"}}}, "dtype and shape"),
        ({"total_frames": 19}, r"\(4, 19\)"),
        ({"total_episodes": 3}, r"\(3, 18\)"),
    ],
)
def test_metadata_that_cannot_be_are_refused(copy_of, changes, message):
    root = copy_of("foreign")
    edit_info(root, **changes)
    with pytest.raises(StorageError, match=message):
        LeRobotSource(root)


def test_rows_and_episodes_that_disagree_are_refused(copy_of):
    root = copy_of("foreign")
    edit_table(root / EPISODES, "dataset_from_index", lambda rows: [0, 4, *rows[2:]])
    with pytest.raises(
        StorageError, match=r"meta/episodes: .*\(1, 4, 7\) of 4; expected \(1, 3, 7\)"
    ):
        LeRobotSource(root)


def test_dataset_without_action_is_refused(copy_of):
    root = copy_of("foreign")
    features = json.loads((root / "meta/info.json").read_text())["features"]
    edit_info(root, features={**features, "action": {**features["action"], "dtype": "int64"}})
    with pytest.raises(StorageError, match="one vector of float numbers"):
        LeRobotSource(root)


def test_sidecar_without_its_features_is_refused(copy_of):
    root = copy_of("images")
    features = json.loads((root / "meta/info.json").read_text())["features"]
    edit_info(root, features={k: v for k, v in features.items() if k != "robot_rl.base_action"})
    with pytest.raises(StorageError, match="no feature 'robot_rl\\.base_action'"):
        LeRobotSource(root)


@pytest.mark.parametrize(
    ("column", "change"),
    [
        ("episode_index", lambda rows: [1, *rows[1:]]),
        ("frame_index", lambda rows: [rows[1], rows[0], *rows[2:]]),
        ("timestamp", lambda rows: [rows[0], rows[1] + 0.002, *rows[2:]]),
    ],
)
def test_rows_that_are_not_frame_after_frame_are_refused(alien, tmp_path, column, change):
    root = Path(shutil.copytree(alien, tmp_path / "set"))
    edit_table(root / DATA, column, change)
    with pytest.raises(
        StorageError, match=r"data: rows 0 to 3 of episode.*expected those of episode 0"
    ):
        list(LeRobotSource(root).episodes())


def test_doctor_finds_nothing_wrong_with_an_export(exported):
    doctor = pytest.importorskip("robot_rl.data.exchange.lerobot.doctor")
    assert [doctor.examine_lerobot(root) for root in exported.values()] == [[], []]
