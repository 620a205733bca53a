"""`robot-rl collect` with a person: a SpaceMouse whose reports are made up here."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robot_rl.app.run_config import RunConfig
from robot_rl.app.run_folder import RunFolder
from robot_rl.core.episode import Episode
from robot_rl.core.types import Source
from robot_rl.data.store.episode_reader import EpisodeReader
from robot_rl_hardware.operators.spacemouse import SpaceMouseConfig

IN_REAL_TIME = "cell.bench.real_time=true"
AT_ONCE = "task.reached_m=1.0"
"""The target is reached wherever the arm is."""
NEVER = ("task.reached_m=1.0e-9", "task.horizon=4")

PUSHED = bytes.fromhex("010000a2fe0000")
"""Forward, all the way."""


class Hid:
    """Stands in for the module of hidapi: one SpaceMouse that is pushed all the time.

    Args:
        reports: so many, then it is pulled out.
    """

    def __init__(self, reports: float = float("inf")) -> None:
        self.reports = reports
        self.opened = self.closed = 0

    def enumerate(self, maker: int, product: int) -> list[dict[str, Any]]:
        there = maker == 0x256F and self.reports > 0
        one = {"path": b"/dev/hidraw7", "serial_number": "A", "usage_page": 1, "usage": 8}
        return [one] if there else []

    def device(self) -> Hid:
        return self

    def open_path(self, path: bytes) -> None:
        self.opened += 1

    def read(self, most: int, timeout_ms: int) -> list[int]:
        # As often as the real one.
        time.sleep(0.008)
        self.reports -= 1
        if self.reports < 0:
            raise OSError("read error")
        return list(PUSHED)

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def plug_in(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Hid]:
    def plug_in(**options: float) -> Hid:
        hid = Hid(**options)
        monkeypatch.setitem(sys.modules, "hidraw", hid)
        return hid

    return plug_in


@pytest.fixture
def new_run(tmp_path: Path, make_config: Callable[..., RunConfig]) -> Callable[..., RunFolder]:
    def new_run(*overrides: str) -> RunFolder:
        person = SpaceMouseConfig(action=("x", "y"), dead_man="motion", buttons={}, retry_s=0.01)
        config = make_config("collect.episodes=2", *overrides)
        return RunFolder.create(tmp_path, config.model_copy(update={"demonstrator": person}))

    return new_run


def demonstrations(run: RunFolder) -> list[Episode]:
    return list(EpisodeReader(run.path / "demos"))


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().err.split())


def test_a_person_with_a_spacemouse_demonstrates(
    new_run: Callable[..., RunFolder], plug_in: Callable[..., Hid], cli: Callable[..., int]
) -> None:
    hid, run = plug_in(), new_run(IN_REAL_TIME, AT_ONCE)
    assert cli("collect", "--resume", run.path) == 0
    episodes = demonstrations(run)
    assert len(episodes) == 2
    for episode in episodes:
        assert episode.metadata.operator == "spacemouse"
        assert episode.source[-1] == Source.DEMO
        assert episode.action[-1, 0] > 0
        assert episode.action[-1, 1] == pytest.approx(0, abs=1e-6)
    assert (hid.opened, hid.closed) == (1, 1)


def test_one_that_is_pulled_out_ends_the_run_which_goes_on_once_it_is_back(
    new_run: Callable[..., RunFolder],
    plug_in: Callable[..., Hid],
    cli: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = new_run(IN_REAL_TIME, *NEVER)
    hid = plug_in(reports=20)
    assert cli("collect", "--resume", run.path) == 1
    words = said(capsys)
    assert "spacemouse was lost and nobody could take over: the SpaceMouse is gone" in words
    assert "see to the device, then resume the run" in words
    (episode,) = demonstrations(run)
    assert episode.source[-1] == Source.HOLD
    assert not episode.action[-1].any()
    assert hid.opened == 1
    assert hid.closed >= 1
    # It fails at the task itself now: at most ten demonstrations for two that succeed.
    hid = plug_in()
    assert cli("collect", "--resume", run.path) == 1
    assert "only 0 of 10 demonstrations succeeded" in said(capsys)
    assert len(demonstrations(run)) == 10
    assert (hid.opened, hid.closed) == (1, 1)


def test_one_that_is_not_there_stops_the_run_before_anything_is_recorded(
    new_run: Callable[..., RunFolder],
    plug_in: Callable[..., Hid],
    cli: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = new_run(IN_REAL_TIME)
    plug_in(reports=0)
    assert cli("collect", "--resume", run.path) == 1
    assert "no SpaceMouse is plugged in" in said(capsys)
    assert not (run.path / "demos").exists()


def test_one_that_drives_more_than_the_task_has_is_told(
    tmp_path: Path,
    make_config: Callable[..., RunConfig],
    plug_in: Callable[..., Hid],
    cli: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    plug_in()
    person = SpaceMouseConfig(action=("x", "y", "z"), dead_man="motion", buttons={})
    config = make_config(IN_REAL_TIME).model_copy(update={"demonstrator": person})
    run = RunFolder.create(tmp_path, config)
    assert cli("collect", "--resume", run.path) == 1
    assert "spacemouse drives 3 elements, the task's action has 2: joint1, joint2" in said(capsys)
    assert demonstrations(run) == []


def test_a_simulator_faster_than_time_is_no_place_for_a_persons_hand(
    new_run: Callable[..., RunFolder],
    plug_in: Callable[..., Hid],
    cli: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    hid, run = plug_in(), new_run()
    assert cli("collect", "--resume", run.path) == 1
    assert "for a simulator, set `cell.bench.real_time: true`" in said(capsys)
    assert hid.opened == 0


def test_a_run_without_a_demonstrator_is_demonstrated_at_a_session(
    tmp_path: Path,
    make_config: Callable[..., RunConfig],
    cli: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = RunFolder.create(tmp_path, make_config("demonstrator=null"))
    assert cli("collect", "--resume", run.path) == 1
    assert "sit at it (robot-rl session) and demonstrate, or name one" in said(capsys)
    assert run.summary_of("collect") is None
