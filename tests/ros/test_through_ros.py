from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from robot_rl.app import simulator, through
from robot_rl.app.cli import main
from robot_rl.app.collect import collect
from robot_rl.app.run_config import RunConfig
from robot_rl.app.run_context import RunContext
from robot_rl.app.run_folder import RunFolder
from robot_rl.app.through import open_station
from robot_rl.config.load import load
from robot_rl.core.episode import Episode
from robot_rl.core.errors import ConfigError, HardwareError
from robot_rl.data.store.episode_reader import EpisodeReader
from robot_rl.runtime.events import EpisodeEnded

pytestmark = [pytest.mark.ros, pytest.mark.sim]

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
POINT_REACH = CONFIGS / "runs/point_reach.yaml"
TINY = (
    "task.horizon=30",
    "collect.episodes=2",
    "base.network.hidden=[16]",
    "base.sampler.inference_steps=2",
    "imitate.steps=40",
    "learner.hidden=[16,16]",
    "learner.heads=2",
    "schedule.prefill_steps=30",
    "schedule.warmup_updates=10",
    "schedule.batch_size=16",
    "improve.env_steps=60",
    "improve.judge_every_steps=50",
    "improve.judge_episodes=1",
    "evaluate.episodes=2",
)
MEASURED = {"inference_s", "metadata"}
"""What two runs that do the same do not share."""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One thread and no waiting for the medium; what the command sets is put back."""
    torch.set_num_threads(1)
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    signals = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in signals.items():
        signal.signal(number, handler)


def run(runs: Path, *words: str) -> RunFolder:
    assert main(["run", str(POINT_REACH), *TINY, "--runs", str(runs), *words]) == 0
    return only(runs)


def only(runs: Path) -> RunFolder:
    (path,) = runs.iterdir()
    return RunFolder.open(path)


def assert_same(one: Episode, other: Episode) -> None:
    assert one.metadata.config_hash == other.metadata.config_hash
    assert one.metadata.operator == other.metadata.operator
    assert one.metadata.robot == other.metadata.robot
    for field in fields(Episode):
        ours, theirs = getattr(one, field.name), getattr(other, field.name)
        if field.name in ("vectors", "images"):
            assert list(ours) == list(theirs)
            for key in ours:
                np.testing.assert_array_equal(ours[key], theirs[key], strict=True)
        elif field.name == "stamps_ns":
            # Simulated time begins anew with the simulator; a run that was resumed has two.
            np.testing.assert_array_equal(ours - ours[0], theirs - theirs[0], strict=True)
        elif field.name not in MEASURED:
            np.testing.assert_array_equal(ours, theirs, strict=True)


def assert_same_store(one: RunFolder, other: RunFolder, name: str) -> None:
    ours, theirs = (list(EpisodeReader(folder.path / name)) for folder in (one, other))
    assert len(ours) == len(theirs) > 0
    for episode, twin in zip(ours, theirs, strict=True):
        assert_same(episode, twin)


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def simulator_pid(said: str) -> int:
    (line,) = [line for line in said.splitlines() if "through ros: " in line]
    return int(line.rpartition(" ")[2])


def test_a_run_through_ros_does_the_same_as_one_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    direct = run(tmp_path / "direct")
    caplog.set_level(logging.INFO, "robot_rl")
    ros = run(tmp_path / "ros", "--through", "ros")
    for store in ("demos", "online", "evaluation-base", "evaluation-improved"):
        assert_same_store(direct, ros, store)
    ours, theirs = (json.loads(folder.summary.read_text()) for folder in (direct, ros))
    for key in ("base", "improved", "intervention_rate", "env_steps", "updates", "gate", "config"):
        assert ours[key] == theirs[key], key
    assert (direct.through, ros.through) == ("direct", "ros")
    assert {phase["through"] for phase in ros.phases.values()} == {"ros"}
    assert not is_there(simulator_pid(caplog.text))


def collected(runs: Path, how: str, on_event: Callable[[Any], None] = lambda _: None) -> RunFolder:
    config = load(POINT_REACH, RunConfig, [*TINY, "collect.episodes=2"])
    folder = RunFolder.create(runs, config, how)
    collect_in(folder, on_event)
    return folder


def collect_in(folder: RunFolder, on_event: Callable[[Any], None] = lambda _: None) -> None:
    folder.remember_through()
    with open_station(folder) as station, station.bench.robot:
        collect(RunContext(folder, station, [on_event], lambda: False))


def test_a_run_whose_simulator_dies_ends_cleanly_and_goes_on_where_it_was(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "robot_rl")

    def kill_after_the_first(event: Any) -> None:
        if isinstance(event, EpisodeEnded):
            os.kill(simulator_pid(caplog.text), signal.SIGKILL)

    with pytest.raises(HardwareError, match="ended with code -9"):
        collected(tmp_path / "ros", "ros", kill_after_the_first)
    folder = only(tmp_path / "ros")
    assert folder.through == "ros"
    assert len(list(EpisodeReader(folder.demos))) == 1
    collect_in(folder)
    assert_same_store(collected(tmp_path / "direct", "direct"), folder, "demos")


def test_ctrl_c_ends_the_run_after_its_episode_and_the_simulator_with_it(
    tmp_path: Path, python: str
) -> None:
    code = "import sys; from robot_rl.app.cli import main; sys.exit(main())"
    words = ["collect", str(POINT_REACH), "collect.episodes=1000", "--through", "ros"]
    with subprocess.Popen(
        [python, "-c", code, *words, "--runs", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as command:
        end_s = time.monotonic() + 60
        while not list(tmp_path.glob("*/demos/*/*")) and time.monotonic() < end_s:
            time.sleep(0.1)
        os.killpg(command.pid, signal.SIGINT)
        said, _ = command.communicate(timeout=60)
    assert command.returncode == 130, said
    assert "stopped; continue with" in said
    assert not is_there(simulator_pid(said))


def test_without_ros_it_says_what_to_install_and_makes_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(through.importlib.util, "find_spec", lambda name: None)
    words = ["run", str(POINT_REACH), "--through", "ros", "--runs", str(tmp_path / "runs")]
    assert main(words) == 1
    said = capsys.readouterr().err
    assert "DependencyError: --through ros needs rclpy: pip install 'robot_rl[ros]'" in said
    assert not (tmp_path / "runs").exists()


def test_how_a_run_goes_is_remembered_until_it_is_told_otherwise(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, load(POINT_REACH, RunConfig), "ros")
    folder.remember_through()
    assert RunFolder.open(folder.path).through == "ros"
    again = RunFolder.open(folder.path, "direct")
    again.remember_through()
    assert RunFolder.open(folder.path).through == "direct"


def test_a_domain_in_which_somebody_is_is_not_taken(
    graph: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph.plain()
    monkeypatch.setattr(simulator, "_DOMAINS", range(graph.domain, graph.domain + 1))
    with pytest.raises(HardwareError, match="are in use"):
        simulator.free_domain()


@pytest.mark.parametrize(
    ("run_file", "overrides", "words"),
    [
        ("peg_insert", [], "is set up for task 'pick_cube'.*name the same task in both"),
        ("point_reach", [], "is of cell 'sim_fr3', the run of 'sim_point'"),
        ("pick_cube", ["limits.max_force_n=20.0"], "limits.max_force_n: in a live graph"),
        (
            "pick_cube",
            ["cell.limits.max_force_n=20.0"],
            "has other limits than the run: max_force_n is 30.0 there, 20.0 here",
        ),
    ],
)
def test_a_run_and_the_graph_that_it_joins_must_agree(
    tmp_path: Path, run_file: str, overrides: list[str], words: str
) -> None:
    config = load(CONFIGS / f"runs/{run_file}.yaml", RunConfig, overrides)
    folder = RunFolder.create(tmp_path, config, str(CONFIGS / "ros/sim_fr3.yaml"))
    with pytest.raises(ConfigError, match=words), open_station(folder):
        pass


def test_a_way_that_there_is_not_is_refused_before_a_folder_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(POINT_REACH), "--through", "rose", "--runs", str(tmp_path)]) == 1
    assert "got 'rose', expected direct, ros, or the YAML" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
