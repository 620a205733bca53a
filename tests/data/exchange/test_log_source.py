from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from mcap.writer import Writer

from robot_rl.core.episode import EpisodeMetadata
from robot_rl.core.errors import ContractError, StorageError
from robot_rl.core.recording import RecordingSpec
from robot_rl.core.spec import ActionSpec, TaskSpec
from robot_rl.data.exchange.log_source import LogSource, open_mcap
from robot_rl.data.exchange.topics.topic_map import TopicMap
from robot_rl.data.log.episode_log import EpisodeLog
from robot_rl.data.log.export import write_mcap


@pytest.fixture
def spec(make_spec) -> RecordingSpec:
    action = ActionSpec(kind="opaque", names=("a", "b", "c"), scale=(1.0,) * 3, period_s=0.1)
    task = TaskSpec(name="plug", horizon=9, observation=make_spec(), action=action)
    return RecordingSpec(robot="arm", task=task)


def test_own_export_needs_no_map(make_episode, spec, tmp_path):
    episode = make_episode(4)
    write_mcap(tmp_path / "x.mcap", episode, spec, images="raw")
    source = open_mcap(tmp_path / "x.mcap")
    (found,) = source.episodes()
    assert source.spec == spec
    assert found.episode_id == episode.episode_id
    assert np.array_equal(found.action, episode.action)
    assert found.outcome == episode.outcome


def test_folder_of_exports_is_read_in_the_order_of_names(make_episode, spec, tmp_path):
    for number in (1, 0):
        write_mcap(tmp_path / f"{number}.mcap", make_episode(2, episode=number), spec)
    source = LogSource(tmp_path)
    assert len(source) == 2
    assert [e.episode_id for e in source.episodes()] == ["episode-0", "episode-1"]


def test_logs_of_another_robot_are_not_mixed_in(make_episode, spec, tmp_path):
    write_mcap(tmp_path / "0.mcap", make_episode(2), spec)
    write_mcap(tmp_path / "1.mcap", make_episode(2), dataclasses.replace(spec, robot="other"))
    with pytest.raises(ContractError, match=r"robot: 'arm' here, 'other' there"):
        LogSource(tmp_path)


def test_log_that_was_never_closed_is_marked_interrupted(make_transitions, spec, tmp_path):
    steps = make_transitions(5, terminated=False)
    path = tmp_path / "x.mcap"
    metadata = EpisodeMetadata(task="plug", contract=spec.contract, created_unix_s=5.0)
    log = EpisodeLog(path, spec, "episode-0", metadata, images="raw")
    for step in steps:
        log.add(step)
    log.close()
    path.write_bytes(path.read_bytes()[:-1])
    (found,) = LogSource(path).episodes()
    assert found.metadata.interrupted
    assert found.truncated
    assert len(found) == 5


def test_file_of_others_needs_a_map(tmp_path):
    path = tmp_path / "x.mcap"
    with path.open("wb") as file:
        writer = Writer(file)
        writer.start()
        writer.add_metadata("something", {"robot": "x"})
        writer.finish()
    with pytest.raises(StorageError, match="topic map"):
        open_mcap(path)
    topics = {"robot": "r", "task": "t", "rate_hz": 1.0, "max_age_s": 1.0}
    topics["vectors"] = {"observation.state": {"topic": "/j", "unit": "rad"}}
    with pytest.raises(StorageError, match="no topics at all"):
        open_mcap(path, TopicMap.model_validate({**topics, "action": {"topic": "/a"}}))


def test_empty_folder_is_refused(tmp_path):
    with pytest.raises(StorageError, match=r"no \.mcap file"):
        LogSource(tmp_path)
