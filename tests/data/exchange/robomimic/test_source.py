"""Files as robomimic writes them, made with h5py. Each number says which demo and row it is of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from robot_rl.core.errors import StorageError
from robot_rl.core.types import Outcome, Source
from robot_rl.data.exchange.robomimic.source import RobomimicSource

OSC_POSE = {
    "type": "OSC_POSE",
    "input_max": 1,
    "input_min": -1,
    "output_max": [0.05, 0.05, 0.05, 0.5, 0.5, 0.5],
    "output_min": [-0.05, -0.05, -0.05, -0.5, -0.5, -0.5],
    "control_delta": True,
}
ENV = {
    "env_name": "Lift",
    "type": 1,
    "env_kwargs": {"robots": ["Panda"], "control_freq": 20, "controller_configs": OSC_POSE},
}
WRIST = "observation.images.wrist"


def observations(demo: int, rows: range) -> dict[str, np.ndarray]:
    base = np.array([10.0 * demo + row for row in rows])[:, None]
    images = np.zeros((len(rows), 2, 3, 3), np.uint8)
    images[:, 0] = base[:, :, None].astype(np.uint8)
    return {
        "object": base + np.arange(2),
        "robot0_joint_pos": base + np.zeros(7),
        "robot0_joint_vel": -base + np.zeros(7),
        "robot0_eef_pos": base + np.array([0.1, 0.2, 0.3]),
        "robot0_eef_quat": np.tile([0.0, 0.0, 0.6, 0.8], (len(rows), 1)),
        "robot0_gripper_qpos": np.tile([0.04, -0.04], (len(rows), 1)),
        "wrist_image": images,
    }


def write(
    path: Path,
    steps: tuple[int, ...] = (3, 2),
    *,
    env: dict[str, Any] | None = ENV,
    next_obs: bool = True,
    action_size: int = 7,
    rewards: bool = True,
) -> Path:
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        if env is not None:
            data.attrs["env_args"] = json.dumps(env)
        for demo, count in enumerate(steps):
            group = data.create_group(f"demo_{demo}")
            group.attrs["num_samples"] = count
            actions = np.full((count, action_size), 0.5)
            actions[:, -1] = -1
            group["actions"] = actions
            if rewards:
                group["rewards"] = np.eye(count)[-1]
                group["dones"] = np.eye(count)[-1].astype(np.int64)
            group["states"] = np.zeros((count, 5))
            for key, value in observations(demo, range(count)).items():
                group[f"obs/{key}"] = value
            if next_obs:
                for key, value in observations(demo, range(1, count + 1)).items():
                    group[f"next_obs/{key}"] = value
        file["mask/train"] = np.array([b"demo_0"])
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "low dim.hdf5")


def change(path: Path, name: str, value: Any) -> Path:
    """Replace a dataset (None: take it away)."""
    with h5py.File(path, "a") as file:
        del file[name]
        if value is not None:
            file[name] = value
    return path


def read(path: Path, **options: Any):
    return [*RobomimicSource(path, **options).episodes()]


def test_columns_come_under_our_keys_with_the_observation_after_the_last_step(path):
    source = RobomimicSource(path)
    first, second = source.episodes()
    assert len(source) == 2
    assert first.vectors["observation.state"][:, 0].tolist() == [0, 1, 2, 3]
    assert second.vectors["observation.state"][:, 6].tolist() == [10, 11, 12]
    assert second.vectors["observation.velocity"][:, 0].tolist() == [-10, -11, -12]
    assert first.vectors["observation.environment_state"][3].tolist() == [3, 4]
    assert first.vectors["observation.gripper"][0] == pytest.approx([0.04, -0.04])
    assert first.vectors["observation.tcp_pose"][1] == pytest.approx(
        [1.1, 1.2, 1.3, 0, 0, 0.6, 0.8]
    )
    assert second.images[WRIST][:, 0, 0, 0].tolist() == [10, 11, 12]
    assert first.stamps_ns.tolist() == [0, 50_000_000, 100_000_000, 150_000_000]


def test_spec_says_what_the_file_says(path):
    spec = RobomimicSource(path).spec
    assert (spec.robot, spec.task.name, spec.task.horizon) == ("Panda", "Lift", 3)
    assert spec.task.observation.vectors["observation.tcp_pose"].frame == "world"
    assert spec.task.action.kind == "tcp_delta"
    assert spec.task.action.scale == (0.05, 0.05, 0.05, 0.5, 0.5, 0.5, 1.0)
    assert spec.task.action.period_s == 0.05
    named = RobomimicSource(path, robot="fr3", task="cube").spec
    assert (named.robot, named.task.name) == ("fr3", "cube")


def test_episodes_fit_their_spec(path):
    source = RobomimicSource(path)
    for episode in source.episodes():
        last = episode.observation(len(episode))
        source.spec.task.observation.check(last.vectors, last.images)
        assert episode.metadata.contract == source.spec.contract
        assert set(episode.source) == {Source.DEMO}
    assert [e.episode_id for e in source.episodes()] == ["low-dim-demo_0", "low-dim-demo_1"]


def test_gripper_opens_at_plus_one_here_and_closes_at_plus_one_there(path):
    assert read(path)[0].action[0].tolist() == [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 1.0]


def test_controllers_of_newer_robosuite_are_found(tmp_path):
    parts = {"right": {**OSC_POSE, "input_type": "delta", "input_ref_frame": "base"}}
    env = {"env_kwargs": {"controller_configs": {"type": "BASIC", "body_parts": parts}}}
    assert (
        RobomimicSource(write(tmp_path / "x.hdf5", env=env)).spec.task.action.kind == "tcp_delta"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "JOINT_POSITION"},
        {"control_delta": False},
        {"output_min": [-0.1] * 6},
        {"output_max": ["a"] * 6},
        {"output_max": None},
        {"input_max": 2},
        {"input_type": "absolute"},
    ],
)
def test_actions_of_another_meaning_stay_as_they_are(tmp_path, changes):
    env = {"env_kwargs": {"controller_configs": {**OSC_POSE, **changes}}}
    source = RobomimicSource(write(tmp_path / "x.hdf5", env=env))
    assert source.spec.task.action.kind == "opaque"
    assert source.spec.task.action.scale == (0.5,) * 6 + (1.0,)
    (first, _) = source.episodes()
    assert first.action[0].tolist() == [1, 1, 1, 1, 1, 1, -1]


def test_actions_of_another_size_or_beyond_one_stay_as_they_are(path, tmp_path):
    other = write(tmp_path / "x.hdf5", action_size=14)
    assert RobomimicSource(other).spec.task.action.kind == "opaque"
    change(path, "data/demo_1/actions", np.full((2, 7), 1.5))
    spec = RobomimicSource(path).spec.task.action
    assert (spec.kind, spec.scale) == ("opaque", (1.5,) * 7)
    assert read(path)[0].action[0] == pytest.approx([1 / 3] * 6 + [-2 / 3])


def test_without_next_obs_the_last_observation_comes_twice(tmp_path):
    episode = read(write(tmp_path / "x.hdf5", next_obs=False))[0]
    assert episode.vectors["observation.state"][:, 0].tolist() == [0, 1, 2, 2]


def test_success_is_a_last_reward_above_zero(path):
    change(path, "data/demo_1/rewards", np.zeros(2))
    success, failure = read(path)
    assert (success.outcome, success.terminated, success.truncated) == (1, True, False)
    assert (failure.outcome, failure.terminated, failure.truncated) == (2, False, True)
    assert success.reward.tolist() == [0, 0, 1]


def test_dones_judge_where_there_are_no_rewards_and_nobody_without_both(path, tmp_path):
    assert read(change(path, "data/demo_0/rewards", None))[0].outcome == Outcome.SUCCESS
    bare = read(write(tmp_path / "x.hdf5", rewards=False))[0]
    assert (bare.outcome, bare.reward.tolist()) == (Outcome.UNKNOWN, [0, 0, 0])


def test_shaped_rewards_do_not_judge(tmp_path):
    env = {"env_kwargs": {"reward_shaping": True}}
    assert read(write(tmp_path / "x.hdf5", env=env))[0].outcome == Outcome.UNKNOWN


def test_demos_come_in_the_order_of_their_numbers(tmp_path):
    path = write(tmp_path / "x.hdf5", steps=(1,) * 11)
    assert [e.episode_id[2:] for e in read(path)] == [f"demo_{i}" for i in range(11)]


def test_period_is_the_given_one_where_the_file_says_none(tmp_path):
    path = write(tmp_path / "x.hdf5", env=None)
    assert RobomimicSource(path, period_s=0.1).spec.task.action.period_s == 0.1
    assert RobomimicSource(path).spec.robot == "unknown"


def test_filter_key_chooses_demos(path):
    assert len(read(path, filter_key="train")) == 1
    with pytest.raises(StorageError, match="'trian'; did you mean 'train'"):
        RobomimicSource(path, filter_key="trian")
    change(path, "mask/train", np.array([b"demo_0", b"demo_7"]))
    with pytest.raises(StorageError, match="names 'demo_7', which is not in data"):
        RobomimicSource(path, filter_key="train")


def test_images_are_flipped_only_on_demand(path):
    assert read(path)[1].images[WRIST][0, :, 0, 0].tolist() == [10, 0]
    assert read(path, flip_images=True)[1].images[WRIST][0, :, 0, 0].tolist() == [0, 10]


def test_depth_is_refused_unless_skipped(path):
    with h5py.File(path, "a") as file:
        for demo, steps in (("demo_0", 3), ("demo_1", 2)):
            for group in ("obs", "next_obs"):
                file[f"data/{demo}/{group}/wrist_depth"] = np.zeros((steps, 2, 3, 1), np.float32)
    with pytest.raises(StorageError, match=r"wrist_depth: got float32\[3, 2, 3, 1\].*skip"):
        RobomimicSource(path)
    assert len(read(path, skip=("wrist_depth",))) == 2


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("data/demo_0/actions", None, r"no 'actions' in /data/demo_0"),
        ("data/demo_0/obs", None, r"no 'obs' in /data/demo_0"),
        ("data/demo_1/actions", np.zeros((5, 7)), r"got 5 rows, expected num_samples = 2"),
        ("data/demo_1/actions", np.zeros((2, 6)), r"got 6 elements, expected 7"),
        ("data/demo_1/actions", np.array([b"a", b"b"]), r"demo_1/actions: got \|S1\[2\]"),
        ("data/demo_1/obs/object", np.zeros((3, 2)), r"demo_1/obs \(observation.environment_st"),
        ("data/demo_1/obs/object", np.zeros((2, 4)), r"got \[2, 4\], expected \[2, 2\]"),
        ("data/demo_1/obs/object", None, "got nothing, expected"),
        ("data/demo_1/next_obs/object", None, r"next_obs .*got nothing, expected"),
        ("data/demo_1/obs/object", np.array([[0, 1], [np.nan, 1]]), "not finite in row 1"),
        ("data/demo_0/actions", np.full((3, 7), np.inf), r"demo_0/actions.* not finite in row 0"),
        ("data/demo_0/actions", np.full((3, 7), 1e300), r"demo_0/actions.* not finite in row 0"),
        ("data/demo_1/rewards", np.zeros(9), r"demo_1/rewards: got float64\[9\]"),
        ("data/demo_1/obs/robot0_eef_quat", np.zeros((2, 3)), r"robot0_eef_quat: got"),
        ("data/demo_0/obs/wrist_image", np.zeros((3, 2, 3, 3)), r"wrist_image: got float64"),
        ("data", None, r"no 'data' in /"),
    ],
)
def test_damage_is_named_by_demo_and_key(path, name, value, message):
    change(path, name, value)
    with pytest.raises(StorageError, match=message):
        read(path)


def test_python_objects_are_not_read(path):
    with h5py.File(path, "a") as file:
        del file["data/demo_0/obs/object"]
        file.create_dataset("data/demo_0/obs/object", (3,), h5py.vlen_dtype(np.float32))
    with pytest.raises(StorageError, match=r"obs/object has dtype object"):
        read(path)


def test_env_args_that_are_no_json_are_refused(path):
    with h5py.File(path, "a") as file:
        file["data"].attrs["env_args"] = "{not json"
    with pytest.raises(StorageError, match="env_args of /data is no JSON"):
        read(path)


@pytest.mark.parametrize("name", ["data/demo_0", "data/demo_0/actions", "data/demo_0/obs/object"])
@pytest.mark.parametrize("kind", ["external", "soft"])
def test_links_are_refused_whatever_they_name(path, tmp_path, name, kind):
    other = write(tmp_path / "secret.hdf5")
    with h5py.File(path, "a") as file:
        del file[name]
        link = h5py.ExternalLink(other, name) if kind == "external" else h5py.SoftLink("/mask")
        file[name] = link
    with pytest.raises(StorageError, match=r"is a link \(\w+Link\).*Do not trust"):
        read(path)


def test_numbers_kept_in_other_files_are_refused(path, tmp_path):
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(8 * 21))
    other = write(tmp_path / "other.hdf5")
    with h5py.File(path, "a") as file:
        del file["data/demo_0/actions"]
        file.create_dataset("data/demo_0/actions", (3, 7), "f8", external=[(secret, 0, 168)])
    with pytest.raises(StorageError, match="in other files"):
        read(path)
    layout = h5py.VirtualLayout((3, 7), "f8")
    layout[:] = h5py.VirtualSource(other, "data/demo_0/actions", (3, 7))
    with h5py.File(path, "a") as file:
        del file["data/demo_0/actions"]
        file.create_virtual_dataset("data/demo_0/actions", layout)
    with pytest.raises(StorageError, match="in other files"):
        read(path)


def test_absurd_size_is_refused_before_memory_is_taken(path):
    with h5py.File(path, "a") as file:
        del file["data/demo_0/actions"]
        file.create_dataset("data/demo_0/actions", (1 << 40, 7), "f8", chunks=(1024, 7))
    with pytest.raises(StorageError, match="bytes, expected at most"):
        read(path)


@pytest.mark.parametrize("kept", [0, 100, 3000])
def test_file_that_is_cut_off_or_no_hdf5_is_refused(path, kept):
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(StorageError, match=r"low dim\.hdf5 cannot be opened as HDF5"):
        read(path)


def test_absent_file_is_refused(tmp_path):
    with pytest.raises(StorageError, match="cannot be opened"):
        RobomimicSource(tmp_path / "absent.hdf5")
