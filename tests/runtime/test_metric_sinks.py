"""Curves of a run in TensorBoard and trackio: what is in them, and that nobody waits for them."""

from __future__ import annotations

import importlib.util
import json
import logging
import math
import os
import signal
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from robot_rl.core.errors import DependencyError, StorageError
from robot_rl.runtime.events import EpisodeEnded, Evaluated, Event, GateEvent, LearnerMetrics
from robot_rl.runtime.scalars import ScalarView
from robot_rl.runtime.tensorboard_sink import TensorBoardSink
from robot_rl.runtime.trackio_sink import TrackioSink

needs_tensorboard = pytest.mark.skipif(
    importlib.util.find_spec("tensorboard") is None, reason="tensorboard is not installed"
)
needs_trackio = pytest.mark.skipif(
    importlib.util.find_spec("trackio") is None, reason="trackio is not installed"
)

METRICS = LearnerMetrics(
    env_steps_total=120,
    updates_total=80,
    updates_per_s=40.0,
    values={"critic_loss": 0.25, "q_policy": math.nan},
)
JUDGED = Evaluated(
    env_steps_total=120,
    base_success=0.5,
    improved_success=0.75,
    episodes=8,
    lower_bound=0.125,
    deployed="improved",
    deployed_version=3,
)


def ended(**changes: Any) -> EpisodeEnded:
    given: dict[str, Any] = {
        "phase": "improve",
        "episode_id": "online-1",
        "seed": 1,
        "success": True,
        "assisted": True,
        "steps": 20,
        "human_steps": 5,
        "env_steps_total": 140,
        "max_force_n": math.nan,
        "mean_force_n": math.nan,
        "gate_refused": 0,
        "gate_holds": 2,
        "wall_s": 1.5,
    }
    return EpisodeEnded(**{**given, **changes})


STORY: tuple[Event, ...] = (METRICS, ended(), GateEvent(reason="FORCE"), JUDGED)
EXPECTED = {
    ("learner/critic_loss", 120): 0.25,
    ("learner/updates_total", 120): 80.0,
    ("learner/updates_per_s", 120): 40.0,
    ("improve/success_autonomous", 140): 0.0,
    ("improve/success_assisted", 140): 1.0,
    ("improve/steps", 140): 20.0,
    ("improve/intervention_rate", 140): 0.25,
    ("improve/gate_refused", 140): 0.0,
    ("improve/gate_holds", 140): 2.0,
    ("improve/wall_s", 140): 1.5,
    ("judged/base_success", 120): 0.5,
    ("judged/improved_success", 120): 0.75,
    ("judged/lower_bound", 120): 0.125,
    ("judged/deployed_version", 120): 3.0,
}


def test_events_become_numbers_under_their_own_names_and_what_is_not_finite_is_left_out():
    view, found = ScalarView(), {}
    for event in STORY:
        told = view.scalars(event)
        if told:
            found |= {(name, told.step): value for name, value in told.values.items()}
    assert found == EXPECTED


def test_assisted_success_is_never_success():
    alone, helped = (ScalarView().scalars(ended(assisted=a)) for a in (False, True))
    assert alone
    assert helped
    names = ("improve/success_autonomous", "improve/success_assisted")
    assert [alone.values[n] for n in names] == [1.0, 0.0]
    assert [helped.values[n] for n in names] == [0.0, 1.0]


def test_a_phase_without_environment_steps_counts_its_episodes():
    view = ScalarView()
    phases = ("collect", "collect", "evaluate", "collect")
    told = [view.scalars(ended(phase=phase, env_steps_total=0)) for phase in phases]
    assert [scalars.step for scalars in told if scalars] == [1, 2, 1, 3]


@needs_tensorboard
def test_tensorboard_holds_the_numbers_and_a_resumed_run_goes_on(tmp_path: Path):
    for part in (STORY[:2], STORY[2:]):
        with TensorBoardSink(tmp_path / "tensorboard") as sink:
            for event in part:
                sink(event)
    assert tensorboard_numbers(tmp_path / "tensorboard") == EXPECTED


def tensorboard_numbers(folder: Path) -> dict[tuple[str, int], float]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder))
    read.Reload()
    return {
        (name, point.step): point.value
        for name in read.Tags()["scalars"]
        for point in read.Scalars(name)
    }


@needs_tensorboard
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file/tensorboard: cannot write"):
        TensorBoardSink(tmp_path / "file" / "tensorboard")


@needs_trackio
def test_trackio_holds_the_numbers_within_the_folder_and_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    # What would lead elsewhere is not listened to.
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("TRACKIO_SPACE_ID", "nobody/nothing")
    start_s = time.monotonic()
    sink = TrackioSink(tmp_path / "trackio", "run-seed0", {"seed": 0})
    for event in STORY:
        sink(event)
    assert time.monotonic() - start_s < 1.0
    sink.__exit__(None, None, None)
    assert trackio_numbers(tmp_path / "trackio" / "robot_rl.db") == EXPECTED
    assert not (tmp_path / "elsewhere").exists()
    assert capfd.readouterr() == ("", "")


def trackio_numbers(database: Path) -> dict[tuple[str, int], float]:
    connection = sqlite3.connect(database)
    rows = connection.execute("SELECT run_name, step, metrics FROM metrics").fetchall()
    connection.close()
    assert {name for name, _, _ in rows} == {"run-seed0"}
    return {
        (name, step): value for _, step, text in rows for name, value in json.loads(text).items()
    }


@needs_trackio
def test_a_trackio_that_dies_is_said_and_the_run_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    with TrackioSink(tmp_path / "trackio", "run", {}) as sink:
        os.kill(sink.pid, signal.SIGKILL)
        deadline_s = time.monotonic() + 20.0
        while "the run goes on without it" not in caplog.text:
            assert time.monotonic() < deadline_s
            sink(METRICS)
            time.sleep(0.01)
        sink(METRICS)
    assert [r.levelno for r in caplog.records] == [logging.ERROR] * 2


OPEN = {
    "tensorboard": TensorBoardSink,
    "trackio": lambda folder: TrackioSink(folder, "run", {}),
}


@pytest.mark.parametrize("package", OPEN)
def test_a_missing_package_is_named_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
):
    # None in sys.modules is how Python itself marks a module that is not to be found.
    monkeypatch.setitem(sys.modules, package, None)
    for loaded in [name for name in sys.modules if name.startswith("torch.utils.tensorboard")]:
        monkeypatch.delitem(sys.modules, loaded)
    with pytest.raises(DependencyError, match=rf"{package}.*pip install 'robot_rl\[metrics\]'"):
        OPEN[package](tmp_path)
