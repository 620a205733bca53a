"""A log that was cut off or damaged anywhere gives back whole steps, or says that it cannot."""

from __future__ import annotations

import dataclasses
import logging
import random

import numpy as np
import pytest

from robot_rl.core.episode import Episode, EpisodeMetadata
from robot_rl.core.errors import StorageError
from robot_rl.core.types import Outcome
from robot_rl.data.disk.crash_disk import CrashDisk, lay_out
from robot_rl.data.disk.durable import Disk
from robot_rl.data.log.log_file import LogFile
from robot_rl.data.log.opening import RECORD_NAME, Opening
from robot_rl.data.log.recovery import read_log

METADATA = EpisodeMetadata(task="plug")
STEPS = 4


def write_log(path, spec, steps, *, disk=None, finish=True):
    """One chunk a step; returns the size after the opening and after each step, synced."""
    opening = Opening(episode_id="episode-0", spec=spec, metadata=METADATA, images="raw")
    file = LogFile(path, opening, disk or Disk())
    sizes = [path.stat().st_size]
    for step in steps:
        file.add(step)
        file.flush()
        sizes.append(path.stat().st_size)
    if finish:
        file.finish()
    file.close()
    return sizes


@pytest.fixture
def whole(tmp_path, recording_spec, make_transitions):
    """The bytes of a small whole log, its sizes after each step, and its steps."""
    steps = make_transitions(STEPS, terminated=True, latent_size=2)
    sizes = write_log(tmp_path / "whole.mcap", recording_spec, steps)
    return (tmp_path / "whole.mcap").read_bytes(), sizes, steps


@pytest.fixture
def check_prefix(make_transitions, equal_bits):
    """Check that a read log is the longest whole prefix, bit by bit, and return its length."""
    steps = make_transitions(STEPS, terminated=True, latent_size=2)
    expected = {
        n: Episode.from_transitions(steps[:n], Outcome.UNKNOWN, METADATA)
        for n in range(1, STEPS + 1)
    }

    def check(logged) -> int:
        if logged.episode is None:
            return 0
        length = len(logged.episode)
        here, there = logged.episode, expected[length]
        if not logged.complete and length < STEPS:
            assert here.truncated
            there = Episode.from_transitions(
                make_transitions(length, terminated=False, truncated=True, latent_size=2),
                Outcome.UNKNOWN,
                METADATA,
            )
        assert equal_bits(here, there)
        return length

    return check


def failure_of(path) -> str:
    try:
        read_log(path)
    except StorageError as error:
        return str(error)
    return ""


def cuts(size: int, *, every: int):
    return sorted({*range(0, size, every), *range(max(0, size - 60), size)})


def check_every_cut(path, whole, check_prefix, *, every: int) -> None:
    data, sizes, _ = whole
    for cut in cuts(len(data), every=every):
        path.write_bytes(data[:cut])
        if cut < sizes[0]:
            with pytest.raises(StorageError, match="cut"):
                read_log(path)
            continue
        logged = read_log(path)
        assert not logged.complete
        # A chunk counts when it is whole; its index, which follows, need not be.
        flushed = sum(size <= cut for size in sizes[1:])
        assert flushed <= check_prefix(logged) <= flushed + 1


def check_every_flip(path, whole, check_prefix, *, every: int) -> None:
    data, sizes, _ = whole
    moments = random.Random(5)
    lengths = []
    for at in cuts(len(data), every=every):
        damaged = bytearray(data)
        damaged[at] ^= 1 << moments.randrange(8)
        path.write_bytes(damaged)
        if at < sizes[0] and (failure := failure_of(path)):
            assert str(path) in failure
            continue
        logged = read_log(path)
        before = sum(size <= at for size in sizes[1:])
        length = check_prefix(logged)
        assert length >= before
        assert not logged.complete or length == STEPS
        lengths.append(length)
    assert set(lengths) == set(range(STEPS + 1))


@pytest.fixture(autouse=True)
def _quiet(caplog):
    caplog.set_level(logging.CRITICAL, "robot_rl")


def test_log_cut_anywhere_gives_back_every_whole_step(tmp_path, whole, check_prefix):
    check_every_cut(tmp_path / "cut.mcap", whole, check_prefix, every=61)


def test_flipped_bit_never_gives_back_a_wrong_step(tmp_path, whole, check_prefix):
    check_every_flip(tmp_path / "flip.mcap", whole, check_prefix, every=61)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_log_cut_at_every_byte_gives_back_every_whole_step(tmp_path, whole, check_prefix):
    check_every_cut(tmp_path / "cut.mcap", whole, check_prefix, every=1)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_bit_flipped_at_every_byte_never_gives_back_a_wrong_step(tmp_path, whole, check_prefix):
    check_every_flip(tmp_path / "flip.mcap", whole, check_prefix, every=1)


@pytest.mark.parametrize("tail", [b"\0" * 5000, b"\x06" + b"\xff" * 8, b"robot" * 100])
def test_what_was_never_synced_may_be_anything(tmp_path, whole, check_prefix, tail):
    data, sizes, _ = whole
    (tmp_path / "a.mcap").write_bytes(data[: sizes[2]] + tail)
    logged = read_log(tmp_path / "a.mcap")
    assert not logged.complete
    assert check_prefix(logged) == 2


@pytest.mark.parametrize(
    "latent", [np.zeros(0, "f4"), np.zeros(3, "f4"), np.array([0, np.nan], "f4")]
)
def test_a_latent_unlike_those_before_it_ends_what_is_read(
    tmp_path, recording_spec, make_transitions, latent
):
    steps = make_transitions(STEPS, latent_size=2)
    steps[2] = dataclasses.replace(steps[2], latent=latent)
    write_log(tmp_path / "a.mcap", recording_spec, steps)
    logged = read_log(tmp_path / "a.mcap")
    assert not logged.complete
    assert logged.episode.latent.shape == (2, 2)


def test_garbage_behind_the_footer_makes_a_log_incomplete(tmp_path, whole, check_prefix):
    data, _, _ = whole
    (tmp_path / "a.mcap").write_bytes(data + b"\0")
    logged = read_log(tmp_path / "a.mcap")
    assert not logged.complete
    assert check_prefix(logged) == STEPS


def test_missing_chunk_ends_the_log_before_it(tmp_path, whole, check_prefix):
    data, sizes, _ = whole
    (tmp_path / "a.mcap").write_bytes(data[: sizes[2]] + data[sizes[3] :])
    logged = read_log(tmp_path / "a.mcap")
    assert not logged.complete
    assert check_prefix(logged) == 2


def test_interrupted_log_is_truncated_with_unknown_outcome(
    tmp_path, recording_spec, make_transitions
):
    write_log(tmp_path / "a.mcap", recording_spec, make_transitions(3)[:2], finish=False)
    logged = read_log(tmp_path / "a.mcap")
    assert not logged.complete
    assert logged.episode.truncated
    assert not logged.episode.terminated
    assert logged.episode.outcome == Outcome.UNKNOWN
    assert logged.metadata == METADATA


def test_interrupted_log_whose_last_step_terminated_is_not_truncated(
    tmp_path, recording_spec, make_transitions
):
    write_log(tmp_path / "a.mcap", recording_spec, make_transitions(3), finish=False)
    logged = read_log(tmp_path / "a.mcap")
    assert not logged.complete
    assert logged.episode.terminated
    assert not logged.episode.truncated


def test_loss_of_power_at_any_operation_loses_no_flushed_step(
    tmp_path, recording_spec, make_transitions, check_prefix
):
    root = tmp_path / "root"
    root.mkdir()
    disk = CrashDisk(root)
    path = root / "log.mcap"
    opening = Opening(episode_id="episode-0", spec=recording_spec, metadata=METADATA, images="raw")
    file = LogFile(path, opening, disk)
    flushed = [len(disk.operations)]
    for step in make_transitions(STEPS, terminated=True, latent_size=2):
        file.add(step)
        file.flush()
        flushed.append(len(disk.operations))
    file.finish()
    file.close()

    seeds = random.Random(11)
    states = [
        (n, unsynced)
        for n in range(len(disk.operations) + 1)
        for unsynced in ("kept", "lost", *(random.Random(seeds.random()) for _ in range(4)))
    ]
    for number, (operations, unsynced) in enumerate(states):
        left = tmp_path / f"left-{number}"
        left.mkdir()
        lay_out(disk.state_after(operations, unsynced), left)
        safe = sum(n <= operations for n in flushed) - 1
        if safe < 0:
            continue
        assert check_prefix(read_log(left / "log.mcap")) >= safe


def test_torn_opening_names_the_file(tmp_path, whole):
    data, sizes, _ = whole
    (tmp_path / "a.mcap").write_bytes(data[: sizes[0] - 1])
    with pytest.raises(StorageError, match=r"a\.mcap is no readable log: .*cut off"):
        read_log(tmp_path / "a.mcap")


def test_damaged_opening_is_refused(tmp_path, whole):
    data, sizes, _ = whole
    at = data.index(b'"plug"', data.index(RECORD_NAME.encode()))
    assert at < sizes[0]
    (tmp_path / "a.mcap").write_bytes(data[: at + 1] + b"P" + data[at + 2 :])
    with pytest.raises(StorageError, match="damaged"):
        read_log(tmp_path / "a.mcap")


@pytest.mark.parametrize("content", [b"", b"\x89MCAP0\r\n", b"PK\x03\x04" + b"x" * 90])
def test_other_files_are_refused_by_name(tmp_path, content):
    (tmp_path / "other.mcap").write_bytes(content)
    with pytest.raises(StorageError, match=r"other\.mcap"):
        read_log(tmp_path / "other.mcap")


def test_missing_file_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError, match=r"none\.mcap cannot be read"):
        read_log(tmp_path / "none.mcap")
