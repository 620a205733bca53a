from __future__ import annotations

import dataclasses
import json

import pytest

from robot_rl.core.errors import ContractError
from robot_rl.core.recording import RecordingSpec
from robot_rl.core.spec import ActionSpec, ImageSpec, ObservationSpec, TaskSpec, VectorSpec

OBSERVATION = ObservationSpec(
    vectors={
        "observation.state": VectorSpec(names=("q0", "q1"), unit="rad"),
        "observation.wrench": VectorSpec(names=("fx",), unit="N", frame="tcp"),
    },
    images={
        "observation.images.wrist": ImageSpec(height=4, width=6),
        "observation.images.scene": ImageSpec(height=4, width=6),
    },
)
ACTION = ActionSpec(kind="tcp_delta", names=("x", "y"), scale=(0.01, 0.02), period_s=0.1)
SPEC = RecordingSpec(
    robot="fr3",
    task=TaskSpec(name="plug", horizon=50, observation=OBSERVATION, action=ACTION),
)


def with_task(**changes) -> RecordingSpec:
    return dataclasses.replace(SPEC, task=dataclasses.replace(SPEC.task, **changes))


def with_vector(**changes) -> RecordingSpec:
    key = "observation.wrench"
    vector = dataclasses.replace(OBSERVATION.vectors[key], **changes)
    vectors = {**OBSERVATION.vectors, key: vector}
    return with_task(observation=dataclasses.replace(OBSERVATION, vectors=vectors))


def with_images(images) -> RecordingSpec:
    return with_task(observation=dataclasses.replace(OBSERVATION, images=images))


def test_a_spec_survives_json():
    text = json.dumps(SPEC.to_json())

    assert RecordingSpec.from_json(json.loads(text)) == SPEC
    assert RecordingSpec.from_json(json.loads(text)).contract == SPEC.contract


def test_horizon_and_instruction_keep_nothing_apart():
    assert SPEC.differences(with_task(horizon=9, instruction="insert the plug")) == []


@pytest.mark.parametrize(
    ("other", "line"),
    [
        (dataclasses.replace(SPEC, robot="ur5e"), "robot: 'fr3' here, 'ur5e' there"),
        (with_task(name="pick"), "task: 'plug' here, 'pick' there"),
        (
            with_task(action=dataclasses.replace(ACTION, period_s=0.05)),
            "control period [s]: 0.1 here, 0.05 there",
        ),
        (
            with_task(action=dataclasses.replace(ACTION, scale=(0.01, 0.03))),
            "action scale: (0.01, 0.02) here, (0.01, 0.03) there",
        ),
        (with_vector(unit="lbf"), "vector 'observation.wrench', unit: 'N' here, 'lbf' there"),
        (
            with_vector(frame="base"),
            "vector 'observation.wrench', frame: 'tcp' here, 'base' there",
        ),
        (
            with_images({"observation.images.scene": ImageSpec(height=4, width=6)}),
            "camera 'observation.images.wrist' is only here",
        ),
        (
            with_images(
                {**OBSERVATION.images, "observation.images.wrist": ImageSpec(height=8, width=6)}
            ),
            "camera 'observation.images.wrist', height: 4 here, 8 there",
        ),
        (
            with_task(
                observation=dataclasses.replace(
                    OBSERVATION, vectors=dict(reversed(OBSERVATION.vectors.items()))
                )
            ),
            "order of vectors: ['observation.state', 'observation.wrench'] here, "
            "['observation.wrench', 'observation.state'] there",
        ),
        (
            with_images(dict(reversed(OBSERVATION.images.items()))),
            "order of cameras: ['observation.images.wrist', 'observation.images.scene'] here, "
            "['observation.images.scene', 'observation.images.wrist'] there",
        ),
    ],
)
def test_a_difference_is_named_with_both_values(other, line):
    assert SPEC.differences(other) == [line]
    assert SPEC.contract != other.contract or SPEC.robot != other.robot


@pytest.mark.parametrize("values", [{}, {"robot": "x"}, {"robot": "x", "task": {"name": "y"}}])
def test_other_json_is_no_spec(values):
    with pytest.raises(ContractError, match="no recording's spec"):
        RecordingSpec.from_json(values)
