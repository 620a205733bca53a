from __future__ import annotations

import json
import logging
import math

import pytest
import torch

from robot_rl.core.errors import ContractError, StorageError
from robot_rl.data.disk.failing_disk import FailingDisk
from robot_rl.runtime.checkpoint import (
    flatten,
    latest_checkpoint,
    save_checkpoint,
    unflatten,
)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "run" / "checkpoints"


def save(root, step, **options):
    value = float(step)
    options.setdefault("disk", FailingDisk())
    return save_checkpoint(
        root, step, {"actor.w": torch.full((2, 3), value)}, {"step": step}, **options
    )


def steps_of(root):
    return sorted(path.name for path in root.iterdir() if not path.name.startswith("."))


def identical(one, other) -> bool:
    if isinstance(one, torch.Tensor):
        same = isinstance(other, torch.Tensor) and one.dtype == other.dtype
        return (
            same
            and one.shape == other.shape
            and (
                one.contiguous().reshape(-1).view(torch.uint8).tolist()
                == other.contiguous().reshape(-1).view(torch.uint8).tolist()
            )
        )
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(identical(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(identical, one, other))
    return one == other or (one != one and other != other)


def test_newest_checkpoint_comes_back(root):
    for step in (100, 200):
        path = save(root, step)

    checkpoint = latest_checkpoint(root)

    assert path == root / "step-000200"
    assert (checkpoint.path, checkpoint.step) == (path, 200)
    assert checkpoint.meta == {"step": 200}
    assert torch.equal(checkpoint.tensors["actor.w"], torch.full((2, 3), 200.0))


def test_no_checkpoint_is_none(root):
    assert latest_checkpoint(root) is None


def test_the_newest_are_kept_by_number_not_by_name(root):
    for step in (5, 999_999, 1_000_000):
        save(root, step)

    assert steps_of(root) == ["step-1000000", "step-999999"]
    assert latest_checkpoint(root).step == 1_000_000


def test_as_many_are_kept_as_asked(root):
    for step in range(1, 6):
        save(root, step, keep=3)

    assert steps_of(root) == ["step-000003", "step-000004", "step-000005"]


@pytest.mark.parametrize("name", ["tensors.safetensors", "meta.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "lose"])
def test_damaged_checkpoint_is_skipped_with_a_warning(root, name, damage, caplog):
    save(root, 1)
    path = save(root, 2) / name
    whole = path.read_bytes()
    if damage == "flip":
        middle = len(whole) // 2
        path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 4]) + whole[middle + 1 :])
    elif damage == "cut":
        path.write_bytes(whole[:-1])
    else:
        path.unlink()

    with caplog.at_level(logging.WARNING):
        assert latest_checkpoint(root).step == 1

    assert "step-000002" in caplog.text


def test_damaged_checkpoint_does_not_stand_in_the_way(root):
    save(root, 1)
    for step in (2, 3):
        (save(root, step, keep=9) / "meta.json").write_bytes(b"{}")

    save(root, 2)

    assert latest_checkpoint(root).step == 2
    assert steps_of(root) == [
        "damaged-step-000002",
        "damaged-step-000003",
        "step-000001",
        "step-000002",
    ]


@pytest.mark.parametrize("step", [3, 4])
def test_step_that_does_not_grow_is_refused(root, step):
    save(root, 4)

    with pytest.raises(StorageError, match="step-000004 is there already"):
        save(root, step)

    assert latest_checkpoint(root).step == 4


@pytest.mark.parametrize("lasting", [False, True])
def test_full_disk_leaves_the_state_before_or_after_at_every_operation(tmp_path, lasting):
    outcomes = set()
    for fail_at in range(1, 1_000):
        root = tmp_path / str(fail_at)
        save(root, 1)
        save(root, 2)
        disk = FailingDisk(fail_at, lasting=lasting)
        failure = ""
        try:
            save(root, 3, disk=disk)
        except StorageError as error:
            failure = str(error)
        reported = not failure
        assert reported or "No space left" in failure
        assert reported or "step-000001, step-000002" in failure

        checkpoint = latest_checkpoint(root)
        assert checkpoint.step == 3 if reported else checkpoint.step in (2, 3)
        assert torch.equal(
            checkpoint.tensors["actor.w"], torch.full((2, 3), float(checkpoint.step))
        )
        assert "step-000002" in steps_of(root)
        if not reported and checkpoint.step == 2:
            save(root, 3)
            assert steps_of(root) == ["step-000002", "step-000003"]
        outcomes.add((reported, checkpoint.step))
        if not disk.failed:
            break
    assert {(True, 3), (False, 2)} <= outcomes
    assert fail_at > 12


def test_files_are_synced_before_the_rename_and_the_parent_after(root):
    save(root, 1)
    disk = FailingDisk()
    save(root, 2, disk=disk)

    names = [name for name, _ in disk.operations]
    assert names == [
        "make_dir",
        *["open_new", "write", "sync"] * 3,
        "sync_dir",
        "rename",
        "sync_dir",
    ]
    assert disk.operations[-1] == ("sync_dir", str(root))


def test_unfinished_folders_are_removed_at_the_next_save(root):
    save(root, 1)
    left = root / ".tmp-step-000002-77"
    left.mkdir()

    save(root, 2)

    assert not left.exists()
    assert latest_checkpoint(root).step == 2


def test_nothing_but_safetensors_and_json_is_written(root):
    path = save(root, 1)

    assert sorted(p.name for p in path.iterdir()) == [
        "manifest.json",
        "meta.json",
        "tensors.safetensors",
    ]


def test_meta_that_json_cannot_say_is_refused(root):
    with pytest.raises(ContractError, match="JSON"):
        save_checkpoint(root, 1, {}, {"policy": object()})

    assert latest_checkpoint(root) is None


def test_tensors_that_share_memory_are_saved(root):
    tied = torch.arange(6.0)
    save_checkpoint(root, 1, {"a": tied, "b": tied, "c": tied.view(2, 3).T}, {})

    tensors = latest_checkpoint(root).tensors

    assert torch.equal(tensors["b"], tied)
    assert torch.equal(tensors["c"], tied.view(2, 3).T)


def test_nested_state_survives_the_disk_bit_by_bit(root):
    state = {
        "optimiser": {
            "state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.randn(3)}, 11: {}},
            "param_groups": [{"lr": 0.1, "betas": (0.9, 0.999), "params": [0, 11]}],
        },
        "rng": {"state": {"state": 2**127 + 1, "inc": 3}, "torch": torch.get_rng_state()},
        "odd": [None, True, 1, 1.0, "1", float("inf"), -math.inf, float("nan"), -0.0, 1e-320],
        "nan": torch.tensor([float("nan"), -0.0]),
        "half": torch.tensor([1.5], dtype=torch.bfloat16),
        "empty": {"list": [], "tuple": (), "tensor": torch.zeros(0, 3)},
        "a": {"b": torch.ones(1)},
        "a.b": torch.zeros(1),
        1: "int key",
        "1": "string key",
    }
    tensors, tree = flatten(state)
    save_checkpoint(root, 1, tensors, {"learner": tree})

    checkpoint = latest_checkpoint(root)
    again = unflatten(checkpoint.tensors, checkpoint.meta["learner"])

    assert identical(again, state)
    assert math.copysign(1, again["odd"][8]) == -1


def test_resumed_adam_takes_the_same_next_steps(root):
    def made():
        torch.manual_seed(0)
        model = torch.nn.Linear(4, 2)
        return model, torch.optim.Adam(model.parameters(), lr=0.01)

    def train(model, optimiser, steps):
        for i in range(steps):
            optimiser.zero_grad()
            (model(torch.full((3, 4), 0.1 * i)).sum() ** 2).backward()
            optimiser.step()

    model, optimiser = made()
    train(model, optimiser, 5)
    tensors, tree = flatten({"model": model.state_dict(), "optimiser": optimiser.state_dict()})
    save_checkpoint(root, 5, tensors, {"learner": tree})
    train(model, optimiser, 5)

    resumed, its_optimiser = made()
    checkpoint = latest_checkpoint(root)
    state = unflatten(checkpoint.tensors, checkpoint.meta["learner"])
    resumed.load_state_dict(state["model"])
    its_optimiser.load_state_dict(state["optimiser"])
    train(resumed, its_optimiser, 5)

    assert torch.equal(resumed.weight, model.weight)
    assert torch.equal(resumed.bias, model.bias)


def test_tensors_are_named_by_their_place():
    tensors, _ = flatten({"actor": {"layers": [torch.ones(1), torch.zeros(1)]}})

    assert list(tensors) == ["actor.layers.0", "actor.layers.1"]


@pytest.mark.parametrize("value", [object(), {1.5: 2}, {True: 1}, {"a": {3}}])
def test_what_cannot_be_stored_is_named_by_its_place(value):
    with pytest.raises(ContractError, match=r"learner\.x"):
        flatten({"learner": {"x": [value]}})


def test_missing_tensor_and_other_schema_are_said():
    tensors, tree = flatten({"w": torch.ones(1)})

    with pytest.raises(StorageError, match="no tensor 'w'"):
        unflatten({}, tree)
    with pytest.raises(StorageError, match="schema 2"):
        unflatten(tensors, json.loads(json.dumps({**tree, "schema": 2})))
