from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from robot_rl.core.errors import ContractError
from robot_rl.core.spec import (
    ActionSpec,
    ImageSpec,
    ObservationSpec,
    TaskSpec,
    VectorSpec,
    contract_hash,
)

SPEC = ObservationSpec(
    vectors={
        "observation.state": VectorSpec(names=("a", "b", "c"), unit="rad"),
        "observation.wrench": VectorSpec(names=("fx", "fy"), unit="N", frame="tcp"),
    },
    images={"observation.images.wrist": ImageSpec(height=2, width=3)},
)
ACTION = ActionSpec(kind="joint_delta", names=("a", "b"), scale=(0.1, 0.5), period_s=0.1)


def build_arrays(**changes):
    vectors = {
        "observation.state": np.array([1, 2, 3], np.float32),
        "observation.wrench": np.array([4, 5], np.float32),
    }
    return vectors | changes, {"observation.images.wrist": np.zeros((2, 3, 3), np.uint8)}


def test_pack_goes_in_the_order_of_the_spec_and_not_of_the_data():
    vectors, _ = build_arrays()
    packed = SPEC.pack(dict(reversed(vectors.items())))
    np.testing.assert_array_equal(packed, [1, 2, 3, 4, 5])
    assert SPEC.packed_size == 5


def test_pack_keeps_leading_dimensions():
    vectors = {k: np.stack([v, v]) for k, v in build_arrays()[0].items()}
    assert SPEC.pack(vectors).shape == (2, 5)


def test_columns_find_the_elements_in_the_order_asked_for():
    columns = SPEC.columns(["observation.wrench", "observation.state"])
    np.testing.assert_array_equal(columns, [3, 4, 0, 1, 2])


def test_unknown_column_names_the_nearest_key():
    with pytest.raises(ContractError, match=r"did you mean 'observation\.wrench'"):
        SPEC.columns(["observation.wrensh"])


def test_sound_arrays_pass_the_check():
    SPEC.check(*build_arrays())


@pytest.mark.parametrize(
    ("key", "array", "message"),
    [
        ("observation.state", np.zeros(2, np.float32), r"got float32\[2\], expected float32\[3\]"),
        ("observation.state", np.zeros(3), r"got float64\[3\], expected float32\[3\]"),
        ("observation.stat", np.zeros(3, np.float32), r"did you mean 'observation\.state'"),
    ],
)
def test_wrong_vector_is_named(key, array, message):
    with pytest.raises(ContractError, match=message):
        SPEC.check(*build_arrays(**{key: array}))


def test_missing_vector_is_named():
    vectors, images = build_arrays()
    del vectors["observation.wrench"]
    with pytest.raises(ContractError, match=r"missing vector 'observation\.wrench'"):
        SPEC.check(vectors, images)


def test_wrong_image_is_named():
    vectors, _ = build_arrays()
    with pytest.raises(ContractError, match="missing image"):
        SPEC.check(vectors, {})
    with pytest.raises(ContractError, match=r"expected uint8\[2, 3, 3\]"):
        SPEC.check(vectors, {"observation.images.wrist": np.zeros((3, 2, 3), np.uint8)})


def test_action_goes_to_si_units_and_back():
    action = np.array([[0.5, -1.0]], np.float32)
    si = ACTION.to_si(action)
    np.testing.assert_allclose(si, [[0.05, -0.5]])
    np.testing.assert_allclose(ACTION.from_si(si), action)
    assert si.dtype == np.float32


@pytest.mark.parametrize(
    "change",
    [
        {"scale": (0.1,)},
        {"scale": (0.1, 0.0)},
        {"scale": (0.1, float("nan"))},
        {"period_s": 0.0},
        {"period_s": float("nan")},
    ],
)
def test_action_space_without_a_meaning_is_refused(change):
    with pytest.raises(ContractError, match="scale"):
        replace(ACTION, **change)


def test_contract_changes_with_whatever_data_depends_on():
    task = TaskSpec(name="reach", horizon=10, observation=SPEC, action=ACTION)
    same = TaskSpec(name="reach", horizon=99, observation=SPEC, action=replace(ACTION))
    assert task.contract == same.contract
    others = [
        replace(task, name="lift"),
        replace(task, action=replace(ACTION, scale=(0.1, 0.4))),
        replace(task, observation=replace(SPEC, images={})),
        # Packed in another order, the same elements are other columns.
        replace(task, observation=replace(SPEC, vectors=dict(reversed(SPEC.vectors.items())))),
    ]
    assert len({task.contract, *(o.contract for o in others)}) == 5


def test_contract_is_the_same_in_every_process():
    assert contract_hash("x") == "cd65ea2c2ad99e94"  # printf '["x"]' | sha256sum
