from __future__ import annotations

import errno

import numpy as np
import pytest
import zarr
from zarr.storage import ZipStore

from robot_rl.core.errors import ContractError, StorageError
from robot_rl.core.types import Outcome
from robot_rl.data.disk.failing_disk import FailingDisk
from robot_rl.data.store.episode_reader import EpisodeReader
from robot_rl.data.store.label import Label


def label(values, name="rlif", dtype=np.float32, **parameters) -> Label:
    return Label(name=name, values=np.array(values, dtype), made_by="ann", parameters=parameters)


@pytest.fixture
def store(open_store, make_episode):
    with open_store() as store:
        store.append(make_episode(3))
        yield store


def test_versions_count_from_one_and_are_never_overwritten(store, open_store, path):
    assert store.add_label("episode-0", label([0, 0, -1], late_steps=1)) == 1
    assert store.add_label("episode-0", label([0, -1, 0], late_steps=2)) == 2
    assert store.add_label("episode-0", label([1], "success", np.uint8)) == 1

    for reader in (store, EpisodeReader(path)):
        assert reader.labels("episode-0") == {"rlif": [1, 2], "success": [1]}
        assert reader.label("episode-0", "rlif", 1).values.tolist() == [0, 0, -1]
        newest = reader.label("episode-0", "rlif")
        assert newest.values.tolist() == [0, -1, 0]
        assert newest.values.dtype == np.float32
        assert (newest.made_by, newest.parameters) == ("ann", {"late_steps": 2})


def test_plain_zarr_opens_a_label(store, path):
    store.add_label("episode-0", label([0, 0, -1], late_steps=1))

    with ZipStore(path / "labels/episode-0/rlif-1.zarr.zip", mode="r") as opened:
        group = zarr.open_group(opened, mode="r")
        assert group["values"][...].tolist() == [0, 0, -1]
        assert group.attrs["made_by"] == "ann"
        assert group.attrs["parameters"] == {"late_steps": 1}


def test_an_episode_is_viewed_through_labels_and_itself_unchanged(store):
    store.add_label("episode-0", label([0, 0.5, -1]))
    store.add_label("episode-0", label([2], "success", np.uint8))

    viewed = store.read("episode-0", reward="rlif", outcome="success")
    assert viewed.reward.dtype == np.float32
    assert viewed.reward.tolist() == [0, 0.5, -1]
    assert viewed.outcome == Outcome.FAILURE
    recorded = store.read("episode-0")
    assert recorded.reward.tolist() == [1, 2, 3]
    assert recorded.outcome == Outcome.SUCCESS


@pytest.mark.parametrize(
    ("values", "dtype", "outcome"),
    [
        ([True], np.bool_, Outcome.SUCCESS),
        ([False], np.bool_, Outcome.FAILURE),
        ([0], np.int64, Outcome.UNKNOWN),
        ([1], np.uint8, Outcome.SUCCESS),
    ],
)
def test_outcomes_are_truth_values_or_numbers_of_outcomes(store, values, dtype, outcome):
    store.add_label("episode-0", label(values, "won", dtype))

    assert store.read("episode-0", outcome="won").outcome == outcome


@pytest.mark.parametrize(
    ("values", "dtype"), [([3], np.uint8), ([1], np.float32), ([1, 1, 1], np.uint8)]
)
def test_what_is_no_outcome_is_refused(store, values, dtype):
    store.add_label("episode-0", label(values, "won", dtype))

    with pytest.raises(ContractError, match=r"'won' is no outcome: .* 1 \(SUCCESS\)"):
        store.read("episode-0", outcome="won")


@pytest.mark.parametrize("values", [[1], [1, 2, 3, 4], [1, np.nan, 3]])
def test_what_is_no_reward_is_refused(store, values):
    store.add_label("episode-0", label(values))

    with pytest.raises(ContractError, match=r"'rlif' is no reward: .* 3 finite values"):
        store.read("episode-0", reward="rlif")


def test_a_missing_label_names_those_there_are(store):
    with pytest.raises(StorageError, match="no label 'rlif'; it has no labels"):
        store.read("episode-0", reward="rlif")
    store.add_label("episode-0", label([0, 0, 0], "sparse"))

    with pytest.raises(StorageError, match="no label 'rlif'; valid: sparse"):
        store.read("episode-0", reward="rlif")
    with pytest.raises(StorageError, match="has no version 2; valid: 1"):
        store.label("episode-0", "sparse", 2)
    with pytest.raises(StorageError, match=r"no episode 'episode-1'.*did you mean 'episode-0'"):
        store.labels("episode-1")


@pytest.mark.parametrize(
    "bad",
    [
        label([0, 0]),
        label([[0, 0, 0]]),
        label([0, 0, 0], dtype=np.int32),
        label([0, 0, 0], "Rlif"),
        label([0, 0, 0], "a/b"),
        label([0, 0, 0], ""),
        label([0, 0, 0], by=object()),
    ],
)
def test_a_label_that_does_not_fit_is_refused_and_leaves_nothing(store, path, bad):
    with pytest.raises(ContractError):
        store.add_label("episode-0", bad)

    assert store.labels("episode-0") == {}
    assert not [p for p in (path / "labels").rglob("*") if p.is_file()]
    assert store.add_label("episode-0", label([0, 0, 0])) == 1


def test_an_undone_label_is_hidden_and_its_number_not_used_again(store, open_store, path):
    store.add_label("episode-0", label([1, 1, 1]))
    store.add_label("episode-0", label([2, 2, 2]))

    assert store.undo() == "label 'rlif' version 2 of episode-0"
    assert store.label("episode-0", "rlif").values.tolist() == [1, 1, 1]
    with pytest.raises(StorageError, match="no version 2; valid: 1"):
        store.label("episode-0", "rlif", 2)
    store.close()
    with open_store() as again:
        assert again.orphans == []
        assert again.add_label("episode-0", label([3, 3, 3])) == 3
        assert again.labels("episode-0") == {"rlif": [1, 3]}
    assert (path / "labels/episode-0/rlif-2.zarr.zip").exists()


def test_a_damaged_label_is_detected(store, path):
    store.add_label("episode-0", label([1, 1, 1]))
    file = path / "labels/episode-0/rlif-1.zarr.zip"
    file.write_bytes(file.read_bytes().replace(b"ann", b"bob"))

    with pytest.raises(StorageError, match=r"label 'rlif' of episode 'episode-0' .* is damaged"):
        store.read("episode-0", reward="rlif")
    assert store.read("episode-0").reward.tolist() == [1, 2, 3]


@pytest.mark.parametrize("lasting", [False, True])
def test_a_failing_disk_saves_a_label_or_does_not_at_every_operation(
    open_store, make_episode, path, lasting
):
    with open_store() as store:
        store.append(make_episode(3))
    outcomes, versions = set(), []
    for fail_at in range(1, 100):
        disk = FailingDisk(lasting=lasting, error=errno.EIO)
        reported = 0
        with open_store(disk=disk) as store:
            disk.fail_at = len(disk.operations) + fail_at
            try:
                reported = store.add_label("episode-0", label([fail_at] * 3))
            except StorageError as error:
                message = str(error)
                assert "was not saved" in message
        found = EpisodeReader(path).labels("episode-0").get("rlif", [])
        assert found[: len(versions)] == versions
        assert not reported or found == [*versions, reported]
        outcomes.add((bool(reported), len(found) > len(versions)))
        versions = found
        if not disk.failed:
            break
    assert {(False, False), (True, True)} <= outcomes
    assert fail_at > 8


def test_labels_of_a_purged_episode_go_with_it(store, path):
    store.add_label("episode-0", label([1, 1, 1]))
    store.delete("episode-0")
    with pytest.raises(StorageError, match="is deleted; bring it back: robot-rl data undo"):
        store.add_label("episode-0", label([1, 1, 1]))
    assert store.purge() == ["episode-0"]

    assert not [p for p in (path / "labels").rglob("*") if p.is_file()]
    with pytest.raises(StorageError, match="was purged"):
        store.labels("episode-0")
