"""An episode written as an MCAP file is there whole, or not at all."""

from __future__ import annotations

import dataclasses
import logging

import numpy as np
import pytest

from robot_rl.core.errors import ConfigError, ContractError, StorageError
from robot_rl.core.types import Outcome
from robot_rl.data.disk.failing_disk import FailingDisk
from robot_rl.data.log.export import write_mcap
from robot_rl.data.log.recovery import read_log


@pytest.mark.parametrize("images", ["raw", "png"])
def test_written_episode_reads_back_with_its_outcome(
    tmp_path, recording_spec, make_episode, equal_bits, images
):
    episode = make_episode(5)
    write_mcap(tmp_path / "a.mcap", episode, recording_spec, images=images)
    logged = read_log(tmp_path / "a.mcap")
    assert episode.outcome == Outcome.SUCCESS
    assert logged.complete
    assert equal_bits(logged.episode, episode)
    assert [p.name for p in tmp_path.iterdir()] == ["a.mcap"]


def test_jpeg_is_the_default_and_leaves_all_but_the_images_exact(
    tmp_path, recording_spec, make_episode, equal_bits
):
    episode = make_episode(3)
    write_mcap(tmp_path / "a.mcap", episode, recording_spec)
    back = read_log(tmp_path / "a.mcap").episode
    assert equal_bits(dataclasses.replace(back, images=episode.images), episode)


def test_outcome_of_a_torn_file_is_unknown(tmp_path, recording_spec, make_episode, caplog):
    caplog.set_level(logging.CRITICAL)
    write_mcap(tmp_path / "a.mcap", make_episode(3), recording_spec)
    data = (tmp_path / "a.mcap").read_bytes()
    (tmp_path / "torn.mcap").write_bytes(data[:-1])
    logged = read_log(tmp_path / "torn.mcap")
    assert not logged.complete
    assert len(logged.episode) == 3
    assert logged.episode.outcome == Outcome.UNKNOWN


def test_file_that_is_there_is_not_replaced(tmp_path, recording_spec, make_episode):
    (tmp_path / "a.mcap").write_bytes(b"precious")
    with pytest.raises(StorageError, match="is there already"):
        write_mcap(tmp_path / "a.mcap", make_episode(2), recording_spec)
    assert (tmp_path / "a.mcap").read_bytes() == b"precious"


def test_what_a_killed_export_left_is_in_nobodys_way(tmp_path, recording_spec, make_episode):
    (tmp_path / ".tmp-a.mcap").write_bytes(b"half")
    write_mcap(tmp_path / "a.mcap", make_episode(2), recording_spec)
    assert [p.name for p in tmp_path.iterdir()] == ["a.mcap"]


def test_failing_disk_leaves_the_whole_file_or_none(
    tmp_path, recording_spec, make_episode, equal_bits
):
    episode = make_episode(2)
    for number in range(1, 200):
        path, disk = tmp_path / f"{number}.mcap", FailingDisk(number)
        failure = ""
        try:
            write_mcap(path, episode, recording_spec, images="raw", disk=disk)
        except StorageError as error:
            failure = str(error)
        assert not list(tmp_path.glob(".tmp-*"))
        assert failure or not disk.failed
        if path.exists():
            assert equal_bits(read_log(path).episode, episode)
        if not failure:
            break
        assert str(path) in failure
    assert number > 8
    assert path.exists()


def test_missing_folder_is_a_storage_error(tmp_path, recording_spec, make_episode):
    with pytest.raises(StorageError, match="cannot be written"):
        write_mcap(tmp_path / "none" / "a.mcap", make_episode(2), recording_spec)


def test_episode_of_another_spec_is_refused(tmp_path, make_arm_spec, make_episode):
    with pytest.raises(ContractError):
        write_mcap(tmp_path / "a.mcap", make_episode(2), make_arm_spec())


@pytest.mark.parametrize("change", [lambda a: a[:, :2], lambda a: a.astype(np.float64)])
def test_action_of_another_shape_is_refused(tmp_path, recording_spec, make_episode, change):
    episode = make_episode(2)
    episode = dataclasses.replace(episode, proposed_action=change(episode.proposed_action))
    with pytest.raises(ContractError, match="proposed_action is float"):
        write_mcap(tmp_path / "a.mcap", episode, recording_spec)


def test_unknown_image_coding_is_refused(tmp_path, recording_spec, make_episode):
    with pytest.raises(ConfigError, match="'png'"):
        write_mcap(tmp_path / "a.mcap", make_episode(2), recording_spec, images="pngs")
    assert not list(tmp_path.iterdir())
