"""From the cell to a foreign policy and back: numbers worked out by hand."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from robot_rl.config.load import load
from robot_rl.config.model import Config
from robot_rl.core.errors import ConfigError, ContractError
from robot_rl.core.spec import JOINT_POSITION, ActionSpec, ObservationSpec, TaskSpec, VectorSpec
from robot_rl.core.types import Observation
from robot_rl.policies.adapters.cell_input import CellInput
from robot_rl.policies.adapters.mapping import ActionOutput, MappingConfig, Wanted
from robot_rl.policies.adapters.plan_output import PlanOutput
from robot_rl.policies.adapters.resize import resize

WRIST = "observation.images.wrist"
SIDE = "observation.images.side"
ROOT = Path(__file__).parents[3]
OPENPI_CLIENT = ROOT / ".venv" / "openpi-client"
READY = sorted((ROOT / "configs/policies/ready").glob("*.yaml"))
NORMALISED = {"meaning": "normalised"}


def mapping(**fields):
    return MappingConfig.model_validate({"action": NORMALISED, **fields})


def at(*joints):
    return Observation(stamp_ns=0, vectors={JOINT_POSITION: np.float32(joints)})


def arm(kind="joint_delta", names=("q0", "q1"), scale=(0.1, 0.2)):
    vectors = {JOINT_POSITION: VectorSpec(names=("q0", "q1"), unit="rad")}
    return TaskSpec(
        name="reach",
        horizon=10,
        observation=ObservationSpec(vectors=vectors),
        action=ActionSpec(kind=kind, names=names, scale=scale, period_s=0.1),
    )


def test_without_a_word_the_cells_keys_are_the_policys(cell, seen):
    wanted = Wanted(images={WRIST: (32, 40)}, vectors={JOINT_POSITION: 3})
    inputs = CellInput(mapping(), cell, wanted)
    observation = seen(1)

    given = inputs.gather([[observation]])

    assert list(inputs.observation.images) == [WRIST]
    assert list(inputs.observation.vectors) == [JOINT_POSITION]
    np.testing.assert_array_equal(given.images[WRIST][0, 0], observation.images[WRIST])
    np.testing.assert_array_equal(
        given.vectors[JOINT_POSITION][0, 0], observation.vectors[JOINT_POSITION]
    )


def test_vectors_are_concatenated_and_columns_picked_in_their_order(cell, seen):
    inputs = CellInput(
        mapping(
            vectors={
                "state": {
                    "sources": [JOINT_POSITION, "observation.gripper"],
                    "columns": [3, 0],
                }
            }
        ),
        cell,
        Wanted(images={}, vectors={"state": 2}),
    )
    observation = seen(1)

    state = inputs.gather([[observation], [observation]]).vectors["state"]

    opening = observation.vectors["observation.gripper"][0]
    expected = [opening, observation.vectors[JOINT_POSITION][0]]
    np.testing.assert_array_equal(state, np.float32([[expected], [expected]]))


def test_an_instruction_is_the_fixed_one_else_the_observations_else_the_tasks(cell, seen):
    fixed = CellInput(mapping(instruction={"text": "stop"}), cell, None)
    free = CellInput(mapping(), cell, None)

    assert fixed.gather([[seen(1, "lift it")]]).instructions == ("stop",)
    assert free.gather([[seen(1, "lift it")]]).instructions == ("lift it",)
    assert free.gather([[seen(1)]]).instructions == ("reach the red cube",)


def test_one_error_lists_everything_that_does_not_fit(cell):
    wanted = Wanted(
        images={"top": (224, 224), WRIST: (64, 64)}, vectors={JOINT_POSITION: 7, "force": 6}
    )

    with pytest.raises(ConfigError) as refused:
        CellInput(mapping(vectors={"forse": {"sources": ["q"]}}), cell, wanted)

    words = str(refused.value)
    for expected in (
        "vector 'forse': the policy does not look at it; did you mean 'force'?",
        "image 'top': the cell has no image 'top'",
        f"image '{WRIST}': {WRIST} is 32 x 40, expected 64 x 64",
        f"vector '{JOINT_POSITION}': got 3 elements of {JOINT_POSITION}, expected 7",
        "vector 'force': the cell has no vector 'force'",
        f"The policy wants: top uint8[224, 224, 3], {WRIST} uint8[64, 64, 3], ",
        f"The cell gives: {WRIST} uint8[32, 40, 3], {SIDE} uint8[48, 64, 3], ",
    ):
        assert expected in words


def test_a_camera_may_be_absent_only_where_the_policy_can_do_without(cell):
    wanted = Wanted(
        images={WRIST: (32, 40), "top": (9, 9)}, vectors={}, optional=frozenset({"top"})
    )

    inputs = CellInput(mapping(images={"top": None}), cell, wanted)

    assert list(inputs.observation.images) == [WRIST]
    with pytest.raises(ConfigError, match="the policy cannot do without it"):
        CellInput(mapping(images={WRIST: None, "top": None}), cell, wanted)


def test_a_policy_is_not_left_without_any_camera(cell):
    wanted = Wanted(images={"top": (9, 9)}, vectors={}, optional=frozenset({"top"}))

    with pytest.raises(ConfigError, match="cannot do without any"):
        CellInput(mapping(images={"top": None}), cell, wanted)


@given(
    height=st.integers(8, 60),
    width=st.integers(8, 60),
    out=st.tuples(st.integers(8, 64), st.integers(8, 64)),
)
def test_padding_is_openpis_own_to_the_bit(height, width, out):
    if not OPENPI_CLIENT.is_dir():
        pytest.skip("needs the unmodified openpi-client in .venv/openpi-client")
    image = np.random.default_rng(height * width).integers(
        0, 256, (height, width, 3), dtype=np.uint8
    )

    ours = resize(image, *out, "pad")

    np.testing.assert_array_equal(ours, openpi_resize()(image, *out))


def openpi_resize():
    if "openpi_image_tools" not in sys.modules:
        path = OPENPI_CLIENT / "openpi_client" / "image_tools.py"
        spec = importlib.util.spec_from_file_location("openpi_image_tools", path)
        sys.modules["openpi_image_tools"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["openpi_image_tools"])
    return sys.modules["openpi_image_tools"].resize_with_pad


def test_an_image_is_stretched_or_padded_with_black():
    white = np.full((10, 20, 3), 255, np.uint8)

    stretched, padded = resize(white, 20, 20, "stretch"), resize(white, 20, 20, "pad")

    assert (stretched == 255).all()
    assert (padded[5:15] == 255).all()
    assert (padded[:5] == 0).all()
    assert (padded[15:] == 0).all()


def test_si_is_divided_by_the_scale_and_clipped():
    plan = PlanOutput(ActionOutput(meaning="si"), arm(), 2).plan(
        np.float32([[0.05, -0.1], [0.3, 0.2]]), at(0, 0)
    )

    np.testing.assert_allclose(plan, [[0.5, -0.5], [1.0, 1.0]], atol=1e-6)


def test_joint_targets_become_steps_from_the_measured_joints():
    output = PlanOutput(ActionOutput(meaning="joint_position"), arm(), 2)

    plan = output.plan(np.float32([[1.05, 2.0], [1.10, 1.9]]), at(1.0, 2.0))

    np.testing.assert_allclose(plan, [[0.5, 0.0], [0.5, -0.5]], atol=1e-5)


def test_a_target_out_of_reach_is_caught_up_with_later():
    output = PlanOutput(ActionOutput(meaning="joint_position"), arm(), 2)

    plan = output.plan(np.float32([[0.25, 0.0]] * 4), at(0.0, 0.0))

    np.testing.assert_allclose(plan[:, 0], [1.0, 1.0, 0.5, 0.0], atol=1e-5)


def test_a_gripper_column_is_scaled_between_open_and_closed():
    task = arm("tcp_delta", ("x", "gripper"), (0.1, 1.0))
    output = ActionOutput.model_validate(
        {"meaning": "si", "columns": [2], "gripper": {"column": 0, "open": 0.0, "closed": 1.0}}
    )

    plan = PlanOutput(output, task, 3).plan(
        np.float32([[0.0, 9.0, 0.05], [1.0, 9.0, 0.0], [0.5, 9.0, 0.0]]), at(0, 0)
    )

    np.testing.assert_allclose(plan, [[0.5, 1.0], [0.0, -1.0], [0.0, 0.0]], atol=1e-6)


@pytest.mark.parametrize("meaning", ["normalised", "si", "joint_position"])
@given(plan=arrays(np.float32, (4, 2), elements=st.floats(-1, 1, width=32)))
def test_a_plan_can_be_told_in_the_policys_numbers_and_back(meaning, plan):
    output = PlanOutput(ActionOutput(meaning=meaning, columns=(1, 0)), arm(), 2)
    start = at(0.3, -0.4)

    back = output.plan(output.invert(plan, start), start)

    assert output.invertible
    np.testing.assert_allclose(back, plan, atol=1e-5)


def test_a_policy_whose_numbers_are_not_all_used_cannot_be_told_a_plan():
    assert not PlanOutput(ActionOutput(meaning="si", columns=(0, 2)), arm(), 3).invertible


@pytest.mark.parametrize("values", [[[np.nan, 0.0]], [[0.0, 0.0, 0.0]]])
def test_numbers_that_are_no_plan_are_refused(values):
    with pytest.raises(ContractError, match=r"expected finite numbers \[h, 2\]"):
        PlanOutput(ActionOutput(meaning="si"), arm(), 2).plan(np.float32(values), at(0, 0))


@pytest.mark.parametrize(
    ("output", "task", "size", "words"),
    [
        ({"meaning": "si"}, arm(), 7, "columns: got 7, expected 2, one for each of q0, q1"),
        ({"meaning": "si", "columns": [0, 9]}, arm(), 7, r"columns \[9\] are not among"),
        ({"meaning": "si", "columns": [1, 1]}, arm(), 2, "one of them is named twice"),
        (
            {"meaning": "joint_position"},
            arm("tcp_delta"),
            2,
            "the cell takes tcp_delta, expected joint_delta",
        ),
        ({"meaning": "joint_position", "joints": "q"}, arm(), 2, "the cell has no vector 'q'"),
        (
            {"meaning": "si", "gripper": {"column": 1, "open": 1, "closed": 0}},
            arm(),
            2,
            "the cell's action ends in 'q1'; leave gripper out",
        ),
    ],
)
def test_actions_that_do_not_fit_are_refused_with_the_reason(output, task, size, words):
    with pytest.raises(ConfigError, match=words):
        PlanOutput(ActionOutput.model_validate(output), task, size)


def test_what_the_numbers_mean_has_no_default():
    with pytest.raises(ValueError, match="action"):
        MappingConfig.model_validate({})


@pytest.mark.parametrize("path", READY, ids=lambda path: path.stem)
def test_every_example_loads(path):
    assert callable(load(path, Config).build)
