"""`robot-rl session`, where it refuses; what it does is in tests/browser/test_real_session.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from robot_rl.app.run_config import RunConfig
from robot_rl.app.run_folder import DIRECT, ROS, RunFolder
from robot_rl.app.session import main
from robot_rl.config.load import load

CONFIGS = Path(__file__).resolve().parents[2] / "configs/runs"


def folder(tmp_path: Path, name: str = "peg_insert_session", through: str = DIRECT) -> RunFolder:
    return RunFolder.create(tmp_path, load(CONFIGS / f"{name}.yaml", RunConfig), through)


def test_somebody_has_to_sit_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = folder(tmp_path, "peg_insert")
    assert main(["--resume", str(run.path)]) == 1
    assert "who sits at the session? Say --operator NAME" in capsys.readouterr().err


def test_a_finished_run_is_not_sat_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = folder(tmp_path)
    run.finish("improve", {})
    assert main(["--resume", str(run.path)]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "has finished its online phase; begin another run" in said


def test_a_bench_that_waits_is_not_sat_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = folder(tmp_path, through=ROS)
    run.remember_through()
    assert main(["--resume", str(run.path)]) == 1
    assert "goes through ros, where time waits" in " ".join(capsys.readouterr().err.split())


def test_in_a_live_graph_the_demonstrations_are_there_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = folder(tmp_path, through=str(CONFIGS.parent / "ros/sim_fr3_peg.yaml"))
    run.remember_through()
    assert main(["--resume", str(run.path)]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "has no demonstrations yet" in said
    assert "first: robot-rl collect --resume" in said
    assert "begin a run with demonstrator=null and demonstrate at the page" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name a run's YAML file"),
        (["--resume", "nowhere"], "is not a run's folder"),
        (["--operator", "anna", "--port", "70000", "{run}"], "less than or equal to 65535"),
    ],
)
def test_what_cannot_be_is_said(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(CONFIGS / "peg_insert_session.yaml")
    given = ["--runs", str(tmp_path), *(run if word == "{run}" else word for word in words)]
    assert main(given) == 1
    assert said in " ".join(capsys.readouterr().err.split())
