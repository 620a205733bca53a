"""What the command says when it cannot do what it was asked for; runs are in integration/."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from robot_rl.app.run_folder import RunFolder
from robot_rl.runtime.events import EventLog

COMMAND = [sys.executable, "-c", "import sys; from robot_rl.app.cli import main; sys.exit(main())"]


@pytest.fixture
def refused(cli, capsys, tmp_path):
    """Runs the command, expects status 1, and returns what it said."""

    def refused(*words) -> str:
        assert cli(*words, "--runs", tmp_path / "runs") == 1
        return capsys.readouterr().err

    return refused


def test_an_unknown_key_in_the_run_is_named_with_the_nearest_one(refused, point_reach, tmp_path):
    text = point_reach.read_text().replace("../", f"{point_reach.parents[1]}/")
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(text.replace("seed: 0", "seeed: 0"))
    said = refused("run", wrong)
    assert "ConfigError" in said
    assert f"{wrong}: seeed: got 0 (int): unknown key; did you mean 'seed'?" in said
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("improve.env_step=3", "improve.env_step: got 3 (int): unknown key; did you mean"),
        ("seed=many", "seed: got 'many' (str): expected int"),
        ("seed=-1", "seed: got -1 (int): expected greater than or equal to 0"),
        ("improve.env_steps=true", "improve.env_steps: got True (bool): expected int"),
        ("schedule.offline_share=1", "schedule.offline_share: got 1 (int): expected less than 1"),
        ("learner.type=robot_rl.learning.rlpd:RlpdConfg", "did you mean 'RlpdConfig'?"),
        ("task.type=robot_rl_sim.tasks.point:X", "no module named 'robot_rl_sim.tasks.point'"),
        ("cell=nowhere.yaml", "nowhere.yaml: no such file"),
        ("seed", "override 'seed': expected `a.b.c=value`"),
    ],
)
def test_a_wrong_override_is_named_with_what_was_expected(
    refused, point_reach, tmp_path, override, message
):
    assert message in refused("run", point_reach, override)
    assert not (tmp_path / "runs").exists()


def test_brackets_in_a_message_are_said_as_they_are(refused, point_reach):
    said = refused("run", point_reach, "collect.episodes=[b]")
    assert "override 'collect.episodes=[b]'" in said
    assert "got ['b'] (list): expected int" in said


def test_a_long_path_is_said_in_one_piece(refused, tmp_path):
    path = tmp_path / ("long-" * 30) / "run.yaml"
    assert f"{path}: no such file" in refused("run", path)


def test_a_missing_file_is_named(refused, tmp_path):
    assert f"{tmp_path}/absent.yaml: no such file" in refused("run", tmp_path / "absent.yaml")


def test_without_a_file_the_command_says_what_to_name(refused):
    assert "name a run's YAML file" in refused("run")


def test_an_unknown_verb_is_named_with_the_valid_ones(refused, point_reach, tmp_path):
    said = refused("rum", point_reach)
    assert "unknown verb 'rum'" in said
    assert "valid: run, collect, imitate, improve, evaluate" in said
    assert not (tmp_path / "runs").exists()


def test_an_unknown_option_is_a_usage_error(cli, point_reach, capsys):
    with pytest.raises(SystemExit) as ended:
        cli("run", point_reach, "--resum", "x")
    assert ended.value.code == 2
    assert "--resum" in capsys.readouterr().err


def test_what_is_no_runs_folder_is_not_resumed(refused, tmp_path):
    said = refused("run", "--resume", tmp_path)
    assert f"{tmp_path} is not a run's folder: it has no config.yaml" in said


def test_a_resumed_run_takes_no_other_config(refused, point_reach, tmp_path, make_config):
    folder = RunFolder.create(tmp_path, make_config())
    said = refused("run", "--resume", folder.path, point_reach, "seed=3")
    assert f"drop '{point_reach} seed=3'" in said


@pytest.mark.sim
@pytest.mark.parametrize(
    ("verb", "missing"),
    [
        ("imitate", "has no demonstrations: run `robot-rl collect`"),
        ("improve", "has no base policy: run `robot-rl imitate`"),
        ("evaluate", "has no base policy: run `robot-rl imitate`"),
    ],
)
def test_a_phase_before_its_time_names_the_one_that_is_missing(
    refused, point_reach, verb, missing
):
    assert missing in refused(verb, point_reach)


def test_a_folder_that_another_process_works_in_is_refused(refused, tmp_path, make_config):
    folder = RunFolder.create(tmp_path, make_config())
    with EventLog(folder.events):
        said = refused("run", "--resume", folder.path)
    assert "StorageError" in said
    assert f"{folder.path} is in use" in said
    # It has touched nothing.
    assert folder.phases == {}
    assert sorted(p.name for p in folder.path.iterdir()) == ["config.yaml", "events.jsonl"]


@pytest.mark.sim
def test_cameras_without_opengl_name_the_package_to_install(point_reach, tmp_path):
    run = point_reach.parent / "peg_insert.yaml"
    no_opengl = {"MUJOCO_GL": "egl", "__EGL_VENDOR_LIBRARY_DIRS": "/nonexistent"}
    done = subprocess.run(
        [*COMMAND, "collect", str(run), "task.cameras=true", "--runs", str(tmp_path)],
        env=os.environ | no_opengl,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 1
    assert "DependencyError" in done.stderr
    assert "libegl1" in done.stderr
    assert "Traceback" not in done.stderr
