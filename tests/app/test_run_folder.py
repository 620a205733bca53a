from __future__ import annotations

import json
import re

import pytest

from robot_rl.app.run_folder import RunFolder
from robot_rl.core.errors import ConfigError, StorageError


def test_a_folder_is_named_after_run_time_and_seed(tmp_path, make_config):
    folder = RunFolder.create(tmp_path / "runs", make_config("seed=7"))
    assert re.fullmatch(r"point_reach-\d{8}-\d{6}-seed7", folder.path.name)
    assert folder.path.parent == tmp_path / "runs"


def test_a_folder_opens_with_the_very_config_it_was_made_with(tmp_path, make_config):
    config = make_config("improve.env_steps=77", "schedule.gamma=0.9")
    opened = RunFolder.open(RunFolder.create(tmp_path, config).path)
    assert opened.config == config
    assert opened.config.improve.env_steps == 77


def test_a_folder_needs_no_other_file_to_open(tmp_path, make_config):
    folder = RunFolder.create(tmp_path, make_config())
    text = (folder.path / "config.yaml").read_text()
    assert ".yaml" not in text


def test_a_folder_that_is_there_is_not_used_again(tmp_path, make_config, monkeypatch):
    monkeypatch.setattr("time.strftime", lambda form: "20300101-000000")
    RunFolder.create(tmp_path, make_config())
    with pytest.raises(StorageError, match=r"20300101-000000-seed0.*exists"):
        RunFolder.create(tmp_path, make_config())


def test_a_file_in_the_way_is_a_storage_error(tmp_path, make_config):
    (tmp_path / "runs").write_text("")
    with pytest.raises(StorageError, match="cannot create the run folder"):
        RunFolder.create(tmp_path / "runs", make_config())


def test_what_is_no_runs_folder_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"is not a run's folder: it has no config\.yaml"):
        RunFolder.open(tmp_path)
    with pytest.raises(ConfigError, match="is not a run's folder"):
        RunFolder.open(tmp_path / "absent")


def test_a_phase_is_finished_only_once_it_has_left_its_summary(tmp_path, make_config):
    folder = RunFolder.create(tmp_path, make_config())
    assert folder.phases == {}
    folder.spend("collect", 2.5)
    assert folder.summary_of("collect") is None
    folder.spend("collect", 1.5)
    folder.finish("collect", {"attempts": 3})
    reopened = RunFolder.open(folder.path)
    assert reopened.summary_of("collect") == {"attempts": 3}
    assert reopened.phases == {"collect": {"wall_s": 4.0, "summary": {"attempts": 3}}}
    assert reopened.summary_of("imitate") is None


def test_phases_are_written_whole(tmp_path, make_config):
    folder = RunFolder.create(tmp_path, make_config())
    folder.finish("collect", {"steps": 1})
    assert json.loads((folder.path / "phases.json").read_text()) == {
        "collect": {"summary": {"steps": 1}}
    }
    assert sorted(p.name for p in folder.path.iterdir()) == ["config.yaml", "phases.json"]
