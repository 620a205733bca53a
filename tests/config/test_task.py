from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from robot_rl.config.load import load
from robot_rl.config.model import Config
from robot_rl.config.task import TaskSpecConfig
from robot_rl.core.errors import ConfigError
from robot_rl.core.spec import TaskSpec

TASKS = sorted((Path(__file__).parents[2] / "configs" / "tasks" / "real").glob("*.yaml"))
TEXT = """\
type: robot_rl.config.task:TaskSpecConfig
name: reach
horizon: 20
vectors:
  observation.state: {{names: [a, b], unit: rad}}
{more}
images:
  front: {{height: 48, width: 64}}
action:
  kind: {kind}
  names: {names}
  scale: {scale}
  period_s: 0.1
"""


def make_task(path: Path, **changed: Any) -> TaskSpec:
    values = {"kind": "joint_delta", "names": "[a, b]", "scale": "[0.1, 0.2]", "more": ""}
    path.write_text(TEXT.format(**(values | changed)))
    return load(path, TaskSpecConfig).build()


def test_a_task_is_what_its_yaml_says(tmp_path: Path) -> None:
    task = make_task(tmp_path / "task.yaml")
    assert (task.name, task.horizon) == ("reach", 20)
    assert task.observation.vectors["observation.state"].names == ("a", "b")
    assert task.observation.images["observation.images.front"].width == 64
    assert task.action.scale == (0.1, 0.2)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"scale": "[0.1]"}, "got 1 elements, expected 2"),
        ({"scale": "[0.1, -0.2]"}, "expected positive numbers"),
        ({"names": "[a, a]"}, "a comes twice"),
        ({"names": "[gripper, b]"}, "expected it as the last one"),
        ({"kind": "tcp_delta"}, "has 2 elements without the gripper, expected 6"),
        ({"kind": "opaque"}, "tcp_delta"),
        ({"more": "  state: {names: [a], unit: rad}"}, "got the key 'state'"),
        ({"more": "  observation.images.x: {names: [a], unit: rad}"}, "named under images"),
    ],
)
def test_what_is_wrong_in_a_task_is_named(
    tmp_path: Path, changed: dict[str, str], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        make_task(tmp_path / "task.yaml", **changed)


@pytest.mark.parametrize("path", TASKS, ids=lambda path: path.stem)
def test_every_task_of_a_real_cell_builds(path: Path) -> None:
    built = load(path, Config).build()  # pyright: ignore[reportAttributeAccessIssue]
    assert isinstance(built, TaskSpec)
    assert built.name == path.stem
