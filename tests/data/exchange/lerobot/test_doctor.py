from __future__ import annotations

import dataclasses
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from robot_rl.core.errors import StorageError
from robot_rl.data.disk.failing_disk import FailingDisk
from robot_rl.data.exchange.lerobot.doctor import (
    examine_lerobot,
    longest_verified_prefix,
    repair_lerobot,
)
from robot_rl.data.exchange.lerobot.examination.damage import Kind
from robot_rl.data.exchange.lerobot.exporting import export_lerobot
from robot_rl.data.exchange.lerobot.importing import LeRobotSource
from robot_rl.data.exchange.lerobot.sidecar import EPISODES_FILE, SPEC_FILE

pytest.importorskip("lerobot")
import pyarrow as pa
import pyarrow.parquet as pq

CAMERA = "observation.images.wrist"
DATA = "data/chunk-000/file-000.parquet"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"
VIDEO = f"videos/{CAMERA}/chunk-000/file-000.mp4"
FRAMES = 34
"""Of 6, 7, 8, 6, 7 in the 5 episodes of the recorder: they start at 0, 6, 13, 21, 27."""


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Datasets of lerobot's own writer; "killed" was killed before it was finalised."""
    folder = tmp_path_factory.mktemp("recorded")
    recorder = Path(__file__).with_name("recorder.py")
    with subprocess.Popen(
        [sys.executable, str(recorder), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            # Meanwhile this process loads it as well: both take seconds.
            importlib.import_module("lerobot.datasets.lerobot_dataset")
            assert process.stdout is not None
            assert process.stdout.readline() == b"saved\n"
        finally:
            process.send_signal(signal.SIGKILL)
    return {path.name: path for path in folder.iterdir()}


@pytest.fixture
def root(sessions: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(sessions["video"], tmp_path / "set"))


@pytest.fixture
def blind(sessions: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(sessions["blind"], tmp_path / "blind"))


def change(path: Path, edit: Callable[[pa.Table], pa.Table]) -> None:
    table = edit(pq.read_table(path))
    pq.write_table(table, path)


def put(path: Path, column: str, row: int, value: Any) -> None:
    """Change one value of a parquet file."""

    def edit(table: pa.Table) -> pa.Table:
        values = table.column(column).to_pylist()
        values[row] = value
        kind = table.schema.field(column)
        return table.set_column(
            table.column_names.index(column), kind, pa.array(values, kind.type)
        )

    change(path, edit)


def keep(path: Path, rows: list[int]) -> None:
    change(path, lambda table: table.take(rows))


def set_json(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def set_info(root: Path, **values: Any) -> None:
    set_json(root / "meta/info.json", lambda info: info.update(values))


def cut(path: Path, left: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(left * len(data))])


def scramble(path: Path, start: float, stop: float) -> None:
    data = bytearray(path.read_bytes())
    span = slice(int(start * len(data)), int(stop * len(data)))
    data[span] = bytes((37 * i + 11) % 251 for i in range(len(data[span])))
    path.write_bytes(bytes(data))


def film(path: Path, frames: int, *, height: int = 64, width: int = 96, fps: int = 10) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for number in range(frames):
            picture = np.full((height, width, 3), number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode())


def shrink_action(root: Path) -> None:
    def edit(table: pa.Table) -> pa.Table:
        short = pa.array([row[:1] for row in table.column("action").to_pylist()])
        return table.set_column(table.column_names.index("action"), "action", short)

    change(root / DATA, edit)


def link_outside(root: Path, name: str) -> None:
    outside = root.parent / "outside"
    shutil.move(root / name, outside)
    (root / name).symlink_to(outside)


def drop_feature_stats(root: Path) -> None:
    set_json(root / "meta/stats.json", lambda stats: stats.pop("action"))


def point_to(root: Path, column: str, file: int) -> None:
    put(root / EPISODES, column, 3, file)


def leave_images(root: Path) -> None:
    folder = root / "images" / CAMERA / "episode-000005"
    folder.mkdir(parents=True)
    (folder / "frame-000000.png").write_bytes(b"half a picture")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """A damage, and what must be said: its name, the file, and how many episodes stay whole."""

    damage: Callable[[Path], object]
    kind: Kind
    path: str
    whole: int
    episode: str = ""


INFO = "meta/info.json"
CASES = {
    "no_info": Case(damage=lambda r: (r / INFO).unlink(), kind=Kind.NO_INFO, path=INFO, whole=0),
    "half_info": Case(damage=lambda r: cut(r / INFO, 0.5), kind=Kind.NO_INFO, path=INFO, whole=0),
    "no_fps": Case(damage=lambda r: set_info(r, fps=0), kind=Kind.NO_INFO, path=INFO, whole=0),
    "v2.1": Case(
        damage=lambda r: set_info(r, codebase_version="v2.1"),
        kind=Kind.VERSION,
        path=INFO,
        whole=0,
    ),
    "data_without_footer": Case(
        damage=lambda r: cut(r / DATA, 0.7), kind=Kind.NO_FOOTER, path=DATA, whole=0
    ),
    "episodes_without_footer": Case(
        damage=lambda r: cut(r / EPISODES, 0.7), kind=Kind.NO_FOOTER, path=EPISODES, whole=0
    ),
    "empty_data": Case(
        damage=lambda r: (r / DATA).write_bytes(b""),
        kind=Kind.BROKEN_PARQUET,
        path=DATA,
        whole=0,
    ),
    "head_lost": Case(
        damage=lambda r: (r / DATA).write_bytes((r / DATA).read_bytes()[2000:]),
        kind=Kind.BROKEN_PARQUET,
        path=DATA,
        whole=0,
    ),
    "no_episodes": Case(
        damage=lambda r: (r / EPISODES).unlink(),
        kind=Kind.NO_EPISODES,
        path="meta/episodes",
        whole=0,
    ),
    "gap": Case(
        damage=lambda r: keep(r / EPISODES, [0, 1, 3, 4]),
        kind=Kind.EPISODE_INDEX,
        path=EPISODES,
        whole=2,
        episode="2",
    ),
    "twice": Case(
        damage=lambda r: keep(r / EPISODES, [0, 1, 1, 2, 3, 4]),
        kind=Kind.EPISODE_INDEX,
        path=EPISODES,
        whole=2,
        episode="2",
    ),
    "count_in_info": Case(
        damage=lambda r: set_info(r, total_episodes=9),
        kind=Kind.COUNT,
        path=INFO,
        whole=5,
    ),
    "rows_lost": Case(
        damage=lambda r: keep(r / DATA, list(range(30))),
        kind=Kind.COUNT,
        path=DATA,
        whole=4,
        episode="4",
    ),
    "last_episodes_rows_lost": Case(
        damage=lambda r: keep(r / DATA, list(range(27))),
        kind=Kind.COUNT,
        path="data",
        whole=4,
    ),
    "range": Case(
        damage=lambda r: put(r / EPISODES, "dataset_from_index", 2, 14),
        kind=Kind.INDEX_RANGE,
        path=EPISODES,
        whole=2,
        episode="2",
    ),
    "index": Case(
        damage=lambda r: put(r / DATA, "index", 22, 900),
        kind=Kind.INDEX_RANGE,
        path=DATA,
        whole=3,
        episode="3",
    ),
    "frame_index": Case(
        damage=lambda r: put(r / DATA, "frame_index", 15, 3),
        kind=Kind.FRAME_INDEX,
        path=DATA,
        whole=2,
        episode="2",
    ),
    "timestamp": Case(
        damage=lambda r: put(r / DATA, "timestamp", 8, 0.2002),
        kind=Kind.TIMESTAMP,
        path=DATA,
        whole=1,
        episode="1",
    ),
    "video_drift": Case(
        damage=lambda r: put(r / EPISODES, f"videos/{CAMERA}/from_timestamp", 3, 2.1003),
        kind=Kind.TIMESTAMP,
        path=EPISODES,
        whole=3,
        episode="3",
    ),
    "video_time_nan": Case(
        damage=lambda r: put(r / EPISODES, f"videos/{CAMERA}/to_timestamp", 1, float("nan")),
        kind=Kind.TIMESTAMP,
        path=EPISODES,
        whole=1,
        episode="1",
    ),
    "no_video": Case(
        damage=lambda r: (r / VIDEO).unlink(), kind=Kind.NO_VIDEO, path=VIDEO, whole=0
    ),
    "short_video": Case(
        damage=lambda r: film(r / VIDEO, 25),
        kind=Kind.VIDEO_SHORT,
        path=VIDEO,
        whole=3,
        episode="3",
    ),
    "no_film": Case(
        damage=lambda r: (r / VIDEO).write_bytes(b"not a film" * 100),
        kind=Kind.VIDEO_BROKEN,
        path=VIDEO,
        whole=0,
    ),
    "small_video": Case(
        damage=lambda r: film(r / VIDEO, FRAMES, height=48),
        kind=Kind.VIDEO_FORMAT,
        path=VIDEO,
        whole=0,
    ),
    "fast_video": Case(
        damage=lambda r: film(r / VIDEO, FRAMES, fps=25),
        kind=Kind.VIDEO_FORMAT,
        path=VIDEO,
        whole=0,
    ),
    "no_tasks": Case(
        damage=lambda r: (r / "meta/tasks.parquet").unlink(),
        kind=Kind.TASKS,
        path="meta/tasks.parquet",
        whole=0,
    ),
    "task_out_of_range": Case(
        damage=lambda r: put(r / DATA, "task_index", 33, 2),
        kind=Kind.TASKS,
        path=DATA,
        whole=4,
        episode="4",
    ),
    "shape": Case(damage=shrink_action, kind=Kind.FEATURE, path=DATA, whole=0),
    "dtype": Case(
        damage=lambda r: set_json(
            r / INFO, lambda info: info["features"]["action"].update(dtype="int64")
        ),
        kind=Kind.FEATURE,
        path=DATA,
        whole=0,
    ),
    "width": Case(
        damage=lambda r: set_json(
            r / INFO, lambda info: info["features"]["action"].update(dtype="float64")
        ),
        kind=Kind.FEATURE,
        path=DATA,
        whole=5,
    ),
    "no_column": Case(
        damage=lambda r: change(r / DATA, lambda table: table.drop_columns(["next.reward"])),
        kind=Kind.FEATURE,
        path=DATA,
        whole=0,
    ),
    "nan": Case(
        damage=lambda r: put(r / DATA, "observation.state", 10, [0.0, float("nan"), 0.0]),
        kind=Kind.NOT_FINITE,
        path=DATA,
        whole=1,
        episode="1",
    ),
    "null": Case(
        damage=lambda r: put(r / DATA, "next.reward", 28, None),
        kind=Kind.NOT_FINITE,
        path=DATA,
        whole=4,
        episode="4",
    ),
    "no_stats": Case(
        damage=lambda r: (r / "meta/stats.json").unlink(),
        kind=Kind.STATS,
        path="meta/stats.json",
        whole=5,
    ),
    "stats_without_feature": Case(
        damage=drop_feature_stats, kind=Kind.STATS, path="meta/stats.json", whole=5
    ),
    "negative_std": Case(
        damage=lambda r: set_json(
            r / "meta/stats.json", lambda stats: stats["next.reward"].update(std=[-1.0])
        ),
        kind=Kind.STATS,
        path="meta/stats.json",
        whole=5,
    ),
    "absolute_template": Case(
        damage=lambda r: set_info(r, data_path="/etc/{chunk_index:03d}-{file_index}.parquet"),
        kind=Kind.UNSAFE_PATH,
        path=INFO,
        whole=0,
    ),
    "climbing_template": Case(
        damage=lambda r: set_info(r, video_path="../{video_key}/{chunk_index}/{file_index}.mp4"),
        kind=Kind.UNSAFE_PATH,
        path=INFO,
        whole=0,
    ),
    "format_template": Case(
        damage=lambda r: set_info(r, data_path="{chunk_index.__class__}/{file_index:9999999d}"),
        kind=Kind.UNSAFE_PATH,
        path=INFO,
        whole=0,
    ),
    "linked_data": Case(
        damage=lambda r: link_outside(r, DATA), kind=Kind.UNSAFE_PATH, path=DATA, whole=0
    ),
    "linked_folder": Case(
        damage=lambda r: link_outside(r, "data"), kind=Kind.UNSAFE_PATH, path="data", whole=0
    ),
    "linked_video": Case(
        damage=lambda r: link_outside(r, VIDEO), kind=Kind.UNSAFE_PATH, path=VIDEO, whole=0
    ),
    "data_file_not_there": Case(
        damage=lambda r: point_to(r, "data/file_index", 7),
        kind=Kind.WRONG_FILE,
        path="data/chunk-000/file-007.parquet",
        whole=3,
    ),
    "negative_file": Case(
        damage=lambda r: point_to(r, "data/file_index", -1),
        kind=Kind.WRONG_FILE,
        path=EPISODES,
        whole=3,
        episode="3",
    ),
    "video_file_not_there": Case(
        damage=lambda r: point_to(r, f"videos/{CAMERA}/chunk_index", 2),
        kind=Kind.NO_VIDEO,
        path=f"videos/{CAMERA}/chunk-002/file-000.mp4",
        whole=3,
    ),
    "images": Case(damage=leave_images, kind=Kind.LEFTOVER, path="images", whole=5),
}


@pytest.mark.parametrize("name", ["video", "blind"])
def test_a_whole_dataset_has_no_findings(sessions: dict[str, Path], name: str) -> None:
    assert examine_lerobot(sessions[name]) == []
    assert longest_verified_prefix(sessions[name]) == 5


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_damage_is_called_by_its_name_and_its_file(case: Case, root: Path) -> None:
    case.damage(root)
    findings = examine_lerobot(root)
    named = [f for f in findings if f.problem.startswith(f"{case.kind}: ")]
    assert (root / case.path, case.episode) in [(f.path, f.episode) for f in named], findings
    assert all(f.remedy for f in findings)
    assert longest_verified_prefix(root) == case.whole
    if case.whole:
        assert f"the first {case.whole} of " in named[0].remedy


def test_every_kind_of_damage_is_tried() -> None:
    assert {case.kind for case in CASES.values()} == set(Kind)


def test_the_finding_says_what_was_found_and_what_was_expected(root: Path) -> None:
    put(root / DATA, "timestamp", 8, 0.25)
    (finding,) = examine_lerobot(root)
    assert finding.problem == (
        "drifted timestamps: episode 1: frame 2 is at 0.250000 s, expected 0.200000 s"
    )
    assert "the first 1 of 5 episodes are whole" in finding.remedy


def test_an_old_version_names_its_converter(root: Path) -> None:
    set_info(root, codebase_version="v2.1")
    (finding,) = examine_lerobot(root)
    assert "convert_dataset_v21_to_v30" in finding.problem


@pytest.mark.parametrize("decode", [True, False])
def test_a_video_cut_short_loses_only_the_episodes_behind_the_cut(
    root: Path, decode: bool
) -> None:
    cut(root / VIDEO, 0.8)
    assert 0 < longest_verified_prefix(root, decode=decode) < 5


def test_rot_inside_a_video_is_found_only_by_decoding(root: Path) -> None:
    scramble(root / VIDEO, 0.9, 1.0)
    assert longest_verified_prefix(root, decode=False) == 5
    findings = examine_lerobot(root)
    assert [f.problem.split(":")[0] for f in findings] == [Kind.VIDEO_BROKEN]


def test_a_video_may_hold_more_frames_than_the_episodes_need(root: Path) -> None:
    film(root / VIDEO, FRAMES + 6)
    assert examine_lerobot(root) == []


def test_rot_inside_a_parquet_file_does_not_raise(blind: Path) -> None:
    for tenth in range(10):
        work = Path(shutil.copytree(blind, blind.parent / f"rot{tenth}"))
        scramble(work / DATA, tenth / 10, (tenth + 1) / 10)
        assert examine_lerobot(work), tenth


def test_metadata_of_another_sort_is_named_and_does_not_raise(root: Path) -> None:
    for content in ("[]", "null", '{"codebase_version": "v3.0", "fps": 1e999}', "[" * 100_000):
        (root / "meta/info.json").write_text(content)
        (finding,) = examine_lerobot(root)
        assert finding.problem.startswith(Kind.NO_INFO)


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(root: Path) -> None:
    (root / DATA).unlink()
    os.mkfifo(root / DATA)
    assert longest_verified_prefix(root) == 0


def test_nothing_outside_is_opened(root: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "trap.parquet")  # opening it would hang
    set_info(root, data_path="../trap.parquet")
    (finding,) = [f for f in examine_lerobot(root) if f.problem.startswith(Kind.UNSAFE_PATH)]
    assert "'../trap.parquet'" in finding.problem


def test_a_killed_recording_is_diagnosed(sessions: dict[str, Path], tmp_path: Path) -> None:
    root = sessions["killed"]
    findings = {f.problem.split(":")[0]: f for f in examine_lerobot(root)}
    assert findings[Kind.NO_FOOTER].path == root / DATA
    assert findings[Kind.NO_EPISODES].path == root / "meta/episodes"
    assert "the first 0 of 5 episodes are whole" in findings[Kind.NO_FOOTER].remedy
    with pytest.raises(StorageError, match="no whole episode"):
        repair_lerobot(root, tmp_path / "repaired")


def test_an_unfinished_file_that_no_episode_needs_costs_no_episode(blind: Path) -> None:
    # What a killed `resume` leaves: lerobot then opens none of the old episodes either.
    unfinished = blind / "data/chunk-000/file-001.parquet"
    unfinished.write_bytes(b"PAR1" + bytes(500))
    (finding,) = examine_lerobot(blind)
    assert (finding.path, finding.problem.split(":")[0]) == (unfinished, Kind.NO_FOOTER)
    assert repair_lerobot(blind, blind.parent / "repaired") == 5
    assert examine_lerobot(blind.parent / "repaired") == []


def tree(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_repair_writes_the_whole_episodes_and_leaves_the_original(
    root: Path, tmp_path: Path
) -> None:
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    put(root / DATA, "observation.state", 22, [0.0, float("inf"), 0.0])
    leave_images(root)
    before = tree(root)
    repaired = tmp_path / "new" / "repaired"
    assert repair_lerobot(root, repaired) == 3
    assert tree(root) == before
    assert examine_lerobot(repaired) == []
    assert [path.name for path in repaired.parent.iterdir()] == ["repaired"]
    opened: Any = LeRobotDataset("local/repaired", root=repaired, video_backend="pyav")
    assert (opened.num_episodes, opened.num_frames) == (3, 21)
    last = opened[20]  # frame 7 of episode 2
    assert last["observation.state"].tolist() == [2.0, 7.0, 0.5]
    assert last["task"] == "pull"
    assert abs(float(last[CAMERA].mean()) * 255 - 142) < 3
    stats = json.loads((repaired / "meta/stats.json").read_text())
    # Episodes of 6, 7 and 8 frames: 0*6 + 1*7 + 2*8 = 23 over 21 frames.
    assert stats["observation.state"]["mean"][0] == pytest.approx(23 / 21)
    assert stats["observation.state"]["count"] == [21]
    assert stats["index"]["max"] == [20.0]
    assert np.asarray(stats[CAMERA]["mean"]).shape == (3, 1, 1)


def test_repair_computes_the_statistics_as_lerobot_does(
    sessions: dict[str, Path], root: Path, tmp_path: Path
) -> None:
    (root / "meta/stats.json").unlink()
    repair_lerobot(root, tmp_path / "repaired")
    ours = json.loads((tmp_path / "repaired/meta/stats.json").read_text())
    theirs = json.loads((sessions["video"] / "meta/stats.json").read_text())
    assert set(ours) == set(theirs)
    for key, stats in theirs.items():
        assert set(ours[key]) == set(stats)
        for name in ("min", "max", "mean", "std", "count"):
            np.testing.assert_allclose(ours[key][name], stats[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("rows", "kept"), [(5, 3), (2, None)])
def test_repair_keeps_the_sidecar_of_our_export_if_it_has_every_episode(
    blind: Path, rows: int, kept: int | None
) -> None:
    (blind / EPISODES_FILE).parent.mkdir()
    (blind / SPEC_FILE).write_text("{}")
    pq.write_table(
        pa.table({"id": [f"episode {row}" for row in range(rows)]}), blind / EPISODES_FILE
    )
    put(blind / DATA, "next.reward", 21, float("nan"))
    repaired = blind.parent / "repaired"
    assert repair_lerobot(blind, repaired) == 3
    assert (repaired / SPEC_FILE).exists() == (kept is not None)
    if kept:
        ids = pq.read_table(repaired / EPISODES_FILE).column("id").to_pylist()
        assert ids == ["episode 0", "episode 1", "episode 2"]


def test_our_own_export_is_whole_and_is_imported_after_repair(
    recorded: Any, tmp_path: Path
) -> None:
    root, repaired = tmp_path / "set", tmp_path / "repaired"
    export_lerobot(recorded, root, repo_id="me/set")
    assert examine_lerobot(root) == []
    put(root / DATA, "frame_index", 8, 7)  # of episode 2, which begins at frame 7
    assert repair_lerobot(root, repaired) == 2
    assert examine_lerobot(repaired) == []
    imported = list(LeRobotSource(repaired).episodes())
    assert [len(episode) for episode in imported] == [3, 4]
    for theirs, ours in zip(imported, recorded.saved.values(), strict=False):
        np.testing.assert_array_equal(theirs.action, ours.action)


def test_repair_refuses_a_target_that_is_there_or_inside(root: Path) -> None:
    with pytest.raises(StorageError, match="already"):
        repair_lerobot(root, root.parent)
    with pytest.raises(StorageError, match="within"):
        repair_lerobot(root, root / "repaired")


@pytest.mark.parametrize("operation", [1, 5, 12, 20])
def test_a_disk_that_fails_leaves_no_target(blind: Path, operation: int) -> None:
    repaired = blind.parent / "repaired"
    with pytest.raises(StorageError):
        repair_lerobot(blind, repaired, disk=FailingDisk(operation))
    assert [path.name for path in blind.parent.iterdir()] == ["blind"]
