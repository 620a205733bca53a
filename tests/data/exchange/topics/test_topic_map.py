from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from robot_rl.config.load import load
from robot_rl.core.errors import ConfigError
from robot_rl.data.exchange.topics.topic_map import TopicMap

EXAMPLE = Path(__file__).resolve().parents[4] / "configs/topics/example.yaml"


def edited(tmp_path: Path, **changes) -> Path:
    document = {**yaml.safe_load(EXAMPLE.read_text()), **changes}
    path = tmp_path / "map.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def test_example_loads_and_names_each_topic_once():
    topics = dict(load(EXAMPLE, TopicMap).topics())
    assert topics["vectors.observation.state"] == "/joint_states"
    assert topics["action.gripper"] == "/gripper/command"
    assert len(topics) == 8


def test_unknown_key_is_named_with_file_and_nearest_key(tmp_path):
    path = edited(tmp_path, rate_hertz=20.0)
    with pytest.raises(ConfigError, match=r"map\.yaml: rate_hertz: .*did you mean 'rate_hz'"):
        load(path, TopicMap)


def test_unknown_key_inside_a_vector_is_named(tmp_path):
    vectors = {"observation.state": {"topic": "/j", "unit": "rad", "feild": "position"}}
    with pytest.raises(ConfigError, match=r"vectors\.observation\.state\.feild.*'field'"):
        load(edited(tmp_path, vectors=vectors), TopicMap)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vectors": {"state": {"topic": "/j", "unit": "rad"}}}, "'observation.state'"),
        ({"vectors": {}}, "at least one vector"),
        ({"images": {"observation.wrist": {"topic": "/c"}}}, "observation.images.wrist"),
        ({"images": {"observation.images.a": {"topic": "/c", "height": 5}}}, "or neither"),
        ({"action": {"topic": "/a", "kind": "joint_delta"}}, "needs a scale"),
        ({"action": {"topic": "/a", "scale": [1.0, 0.0]}}, "above zero"),
        ({"episode": {"by": "gap"}}, "gap_s"),
        ({"episode": {"by": "recording", "flag": {"topic": "/f"}}}, "by: flag"),
        ({"rate_hz": 0.0}, "rate_hz"),
        ({"clock": "wall"}, "clock"),
    ],
)
def test_a_map_that_makes_no_sense_is_refused(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        load(edited(tmp_path, **changes), TopicMap)
