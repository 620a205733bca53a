from __future__ import annotations

import contextlib
import dataclasses
import errno
import logging

import numpy as np
import pytest

from robot_rl.core.errors import ContractError, StorageError
from robot_rl.core.types import Outcome
from robot_rl.data.disk.failing_disk import FailingDisk
from robot_rl.data.log.episode_log import EpisodeLog
from robot_rl.data.store.episode_reader import EpisodeReader


@pytest.fixture
def log_of(make_transitions, make_episode, recording_spec, path):
    """Leave the log of a recording behind, as a process that died."""

    def log_of(episode: int, steps: int, spec=recording_spec, **options) -> None:
        (path / "open").mkdir(exist_ok=True, parents=True)
        name = f"episode-{episode}"
        metadata = make_episode(1, episode=episode).metadata
        with EpisodeLog(path / f"open/{name}.mcap", spec, name, metadata) as log:
            for transition in make_transitions(
                max(steps, 1), episode=episode, terminated=False, **options
            )[:steps]:
                log.add(transition)

    return log_of


def record(store, make_transitions, make_episode, *, steps=3):
    recording = store.record("episode-0", make_episode(1).metadata)
    for transition in make_transitions(steps):
        recording.add(transition)
    return recording


def logs(path):
    return sorted(p.name for p in (path / "open").iterdir())


def test_a_sealed_episode_is_saved_and_its_log_is_gone(
    open_store, make_transitions, make_episode, equal, path
):
    episode = make_episode(3)
    with open_store() as store:
        with record(store, make_transitions, make_episode) as recording:
            assert logs(path) == ["episode-0.mcap"]
            recording.seal(episode)
        assert logs(path) == []
        assert equal(store.read("episode-0"), episode)


def test_an_unsealed_recording_is_recovered_as_interrupted_at_the_next_opening(
    open_store, make_transitions, make_episode, equal, path, caplog
):
    steps = make_transitions(5)[:3]
    with (
        open_store() as store,
        store.record("episode-0", make_episode(1).metadata) as recording,
    ):
        for transition in steps:
            recording.add(transition)
    assert logs(path) == ["episode-0.mcap"]

    with caplog.at_level(logging.WARNING), open_store() as store:
        assert "episode episode-0 was interrupted: recovered 3 steps" in caplog.text
        episode = store.read("episode-0")
        assert store.entry("episode-0").interrupted
    metadata = dataclasses.replace(make_episode(1).metadata, interrupted=True)
    want = type(episode).from_transitions(steps, Outcome.UNKNOWN, metadata)
    assert equal(episode, dataclasses.replace(want, truncated=True))
    assert logs(path) == []
    with open_store() as store:
        assert len(store) == 1


def test_latents_are_recovered_with_their_steps(
    open_store, make_transitions, make_episode, log_of, path
):
    log_of(0, 3, latent_size=2)

    with open_store() as store:
        assert (
            store.read("episode-0").latent.tolist()
            == np.float32([[0.1, 0.1], [0.1, 0.1], [0.2, 0.2]]).tolist()
        )


def test_a_recovered_last_step_that_terminated_stays_so(
    open_store, make_transitions, make_episode
):
    with open_store() as store, record(store, make_transitions, make_episode):
        pass

    with open_store() as store:
        episode = store.read("episode-0")
    assert (episode.terminated, episode.truncated) == (True, False)
    assert episode.outcome == Outcome.UNKNOWN


def test_a_recording_without_a_step_leaves_nothing(open_store, make_episode, path):
    with open_store() as store:
        with store.record("episode-0", make_episode(1).metadata):
            pass
        assert logs(path) == []
        store.append(make_episode(1))


def test_a_log_whose_episode_is_saved_is_removed(open_store, make_episode, log_of, path):
    with open_store() as store:
        for number in range(3):
            store.append(make_episode(4, episode=number))
        store.delete("episode-1")
        store.purge()
        store.delete("episode-2")
    for number in range(3):
        log_of(number, 2)

    with open_store() as store:
        assert store.ids() == ["episode-0"]
        assert len(store.read("episode-0")) == 4
        assert store.orphans == []
    assert logs(path) == []


def test_logs_without_a_step_unreadable_or_of_another_spec_are_set_aside(
    open_store, log_of, make_recording_spec, path
):
    open_store().close()
    log_of(0, 0)
    log_of(1, 2, make_recording_spec(images=False), images=False)
    (path / "open/episode-2.mcap").write_bytes(b"no log")
    (path / "open/notes.txt").write_text("mine")

    with open_store() as store:
        assert store.ids() == []
        assert store.orphans == [
            *("episode-0.mcap", "episode-1.mcap", "episode-2.mcap", "notes.txt"),
        ]


def test_a_log_without_its_end_is_recovered(open_store, log_of, path):
    open_store().close()
    log_of(0, 2)
    log = path / "open/episode-0.mcap"
    log.write_bytes(log.read_bytes()[:-200])

    with open_store() as store:
        assert len(store.read("episode-0")) == 2


@pytest.mark.parametrize("lasting", [False, True])
def test_a_disk_that_fails_during_recovery_never_costs_the_log(open_store, log_of, path, lasting):
    recovered = set()
    for fail_at in range(1, 100):
        log_of(fail_at, 3)
        disk = FailingDisk(fail_at, lasting=lasting)
        with contextlib.suppress(StorageError):
            open_store(disk=disk).close()
        ids = EpisodeReader(path).ids() if (path / "manifest.jsonl").exists() else []
        recovered.add(f"episode-{fail_at}" in ids)
        with open_store() as store:
            assert len(store.read(f"episode-{fail_at}")) == 3
        assert logs(path) == []
        if not disk.failed:
            break
    assert fail_at > 10
    assert recovered == {True, False}


def test_a_full_disk_does_not_keep_a_store_from_being_purged(
    open_store, log_of, make_episode, path, caplog
):
    class Full(FailingDisk):
        def write(self, descriptor: int, data: bytes) -> None:
            if len(data) > 1_000:
                self.fail_at = len(self.operations) + 1
            super().write(descriptor, data)

    with open_store() as store:
        store.append(make_episode(2))
        store.delete("episode-0")
    log_of(1, 3)

    with open_store(disk=Full()) as store:
        assert "stays until it can be recovered" in caplog.text
        assert store.purge() == ["episode-0"]
    assert logs(path) == ["episode-1.mcap"]
    with open_store() as store:
        assert store.ids() == ["episode-1"]


def test_an_episode_that_might_not_fit_is_refused_with_the_numbers(open_store, make_episode, path):
    # 51 observations of 2 * 3 * 3 bytes, 3 vector and 3 * 3 action elements, 64 bytes: 130 each.
    needed = 2 * 51 * (18 + 4 * (3 + 9) + 64)
    metadata = make_episode(1).metadata
    with open_store(disk=FailingDisk(free_bytes=needed - 1)) as store:
        with pytest.raises(StorageError, match=r"0\.0 MB are free, .* 50 steps needs 0\.0 MB"):
            store.record("episode-0", metadata)
        assert not (path / "open").exists()
    with open_store(disk=FailingDisk(free_bytes=needed)) as store:
        store.record("episode-0", metadata).__exit__(None, None, None)


def test_ids_that_are_or_were_taken_are_not_recorded(open_store, make_episode):
    metadata = make_episode(1).metadata
    with open_store() as store:
        for number in range(3):
            store.append(make_episode(1, episode=number))
        store.delete("episode-2")
        store.purge()
        store.delete("episode-1")
        for number in range(3):
            with pytest.raises(StorageError, match="already saved"):
                store.record(f"episode-{number}", metadata)
        with (
            store.record("episode-3", metadata),
            pytest.raises(StorageError, match="is being recorded already"),
        ):
            store.record("episode-3", metadata)
        with pytest.raises(ContractError, match="episode id"):
            store.record("../x", metadata)


@pytest.mark.parametrize("worse", [None, RuntimeError("the robot broke")])
def test_whoever_leaves_a_recording_hears_of_a_broken_log_but_not_instead_of_worse(
    open_store, make_transitions, make_episode, worse
):
    class Breaks(FailingDisk):
        broken = False

        def write(self, descriptor: int, data: bytes) -> None:
            if self.broken:
                raise OSError(errno.EIO, "no medium")
            super().write(descriptor, data)

    disk = Breaks()

    def leave() -> None:
        with open_store(disk=disk) as store, store.record("episode-0", metadata) as recording:
            disk.broken = True
            recording.add(make_transitions(1)[0])
            if worse:
                raise worse

    metadata = make_episode(1).metadata
    with pytest.raises(StorageError if worse is None else RuntimeError) as raised:
        leave()
    said = str(raised.value) if worse is None else raised.value.__notes__[0]
    assert "has ended: [Errno 5] no medium; its first 0 steps are safe" in said


def test_another_episode_does_not_seal_a_recording(open_store, make_transitions, make_episode):
    with open_store() as store, record(store, make_transitions, make_episode) as recording:
        with pytest.raises(ContractError, match="'episode-0': got episode 'episode-1'"):
            recording.seal(make_episode(3, episode=1))
        recording.seal(make_episode(3))
        assert store.ids() == ["episode-0"]


def test_a_seal_that_failed_keeps_the_log_and_can_be_tried_again(
    open_store, make_transitions, make_episode, path
):
    class ListingFails(FailingDisk):
        failing = True

        def write(self, descriptor: int, data: bytes) -> None:
            if self.failing and b'"kind":"saved"' in data:
                self.fail_at = len(self.operations) + 1
            super().write(descriptor, data)

    disk = ListingFails()
    with (
        open_store(disk=disk) as store,
        record(store, make_transitions, make_episode) as recording,
    ):
        with pytest.raises(StorageError, match="was not saved"):
            recording.seal(make_episode(3))
        assert logs(path) == ["episode-0.mcap"]
        disk.failing = False
        recording.seal(make_episode(3))
        assert logs(path) == []
        assert not store.entry("episode-0").interrupted
