"""The running log: what it refuses, what it promises after a failure, and that it never waits."""

from __future__ import annotations

import collections
import dataclasses
import errno
import functools
import gc
import logging
import os
import sys
import threading
import time

import numpy as np
import pytest
from mcap.reader import make_reader

from robot_rl.core.episode import EpisodeMetadata
from robot_rl.core.errors import ConfigError, ContractError, StorageError
from robot_rl.data.disk.durable import Disk
from robot_rl.data.disk.failing_disk import FailingDisk
from robot_rl.data.log.episode_log import EpisodeLog
from robot_rl.data.log.recovery import read_log

METADATA = EpisodeMetadata(task="plug")
LONG_S = 10.0


class HeldDisk(Disk):
    """Writes wait while `free` is not set: a disk that has stopped."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.free.set()

    def write(self, descriptor: int, data: bytes) -> None:
        assert self.free.wait(LONG_S)
        super().write(descriptor, data)


class BrokenDisk(Disk):
    """Fails in a way that no disk fails in, as a programming error would."""

    broken = False

    def write(self, descriptor: int, data: bytes) -> None:
        if self.broken:
            raise ZeroDivisionError
        super().write(descriptor, data)


def failure_of(call) -> str:
    """The message of the StorageError that a call ends in; empty if it ends well."""
    try:
        call()
    except StorageError as error:
        return str(error)
    return ""


def wait_until(condition) -> None:
    end = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < end, "this has not happened"
        time.sleep(0.002)


@pytest.fixture
def make_log(tmp_path, recording_spec):
    logs = []

    def make(**options):
        log = EpisodeLog(tmp_path / "log.mcap", recording_spec, "episode-0", METADATA, **options)
        logs.append(log)
        return log

    yield make
    for log in logs:
        failure = failure_of(log.close)
        assert failure == "" or str(tmp_path) in failure


def test_steps_are_safe_soon_after_flush_s_without_being_closed(
    tmp_path, make_log, make_transitions
):
    log = make_log(flush_s=0.05)
    for step in make_transitions(5):
        log.add(step)
    wait_until(lambda: read_log(log.path).episode is not None)
    logged = read_log(log.path)
    assert len(logged.episode) == 5
    assert not logged.complete


def test_chunk_is_closed_in_time_while_steps_keep_coming(make_log, make_transitions):
    log = make_log(flush_s=0.1)
    added = {}
    seen_late = []
    for step in make_transitions(60):
        log.add(step)
        added[step.step] = time.monotonic()
        time.sleep(0.01)
        now = time.monotonic()
        episode = read_log(log.path).episode
        here = 0 if episode is None else len(episode)
        if here <= step.step:
            seen_late.append(now - added[here])
    assert len(seen_late) > 30
    # The machine may be busy, so: nearly always, and with a margin for the disk.
    assert np.quantile(seen_late, 0.8) < 0.1 + 0.25


def test_each_observation_is_written_once(make_log, make_transitions):
    log = make_log()
    for step in make_transitions(6):
        log.add(step)
    log.close()
    with log.path.open("rb") as file:
        topics = collections.Counter(c.topic for _, c, _ in make_reader(file).iter_messages())
    assert topics == {
        "/step": 6,
        "/observation": 7,
        "/observation/state": 7,
        "/observation/wrench": 7,
        "/observation/images/wrist/image_raw": 7,
    }


@pytest.mark.parametrize("first", [1, 5])
def test_log_begins_with_step_0(make_log, make_transitions, first):
    with pytest.raises(ContractError, match=f"got step {first}, expected step 0"):
        make_log().add(make_transitions(7)[first])


def test_skipped_step_is_refused_and_the_log_goes_on(make_log, make_transitions):
    log, steps = make_log(), make_transitions(3)
    log.add(steps[0])
    with pytest.raises(ContractError, match="got step 2, expected step 1"):
        log.add(steps[2])
    log.add(steps[1])
    log.add(steps[2])
    log.close()
    assert len(read_log(log.path).episode) == 3


def test_step_must_share_the_observation_of_the_step_before(make_log, make_transitions):
    log, steps = make_log(), make_transitions(2)
    log.add(steps[0])
    copied = dataclasses.replace(steps[1].observation)
    with pytest.raises(ContractError, match="does not begin with the observation"):
        log.add(dataclasses.replace(steps[1], observation=copied))


def test_step_of_another_episode_is_refused(make_log, make_transitions):
    with pytest.raises(ContractError, match="'episode-3', expected 'episode-0'"):
        make_log().add(make_transitions(1, episode=3)[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"action": np.zeros(2, np.float32)}, r"action: got float32\[2\], expected float32\[3\]"),
        ({"next_base_action": np.zeros(3)}, "next_base_action: got float64"),
    ],
)
def test_action_of_another_shape_is_refused(make_log, make_transitions, change, message):
    with pytest.raises(ContractError, match=message):
        make_log().add(dataclasses.replace(make_transitions(1)[0], **change))


@pytest.mark.parametrize(
    ("latent", "message"),
    [
        (np.zeros(3, np.float32), r"latent: got float32\[3\], expected float32\[2\]"),
        (np.zeros(0, np.float32), r"latent: got float32\[0\], expected float32\[2\]"),
        (np.zeros((1, 2), np.float32), r"latent: got float32\[1, 2\], expected float32\[2\]"),
        (np.zeros(2), "latent: got float64"),
        (np.array([0, np.inf], np.float32), r"latent: got float32\[2\], not finite"),
    ],
)
def test_latent_unlike_the_first_one_is_refused_and_the_log_goes_on(
    make_log, make_transitions, latent, message
):
    log, steps = make_log(), make_transitions(2, latent_size=2)
    log.add(steps[0])
    with pytest.raises(ContractError, match=message):
        log.add(dataclasses.replace(steps[1], latent=latent))
    log.add(steps[1])
    log.close()
    assert read_log(log.path).episode.latent.shape == (2, 2)


def test_a_first_latent_that_is_no_vector_is_refused(make_log, make_transitions):
    step = dataclasses.replace(make_transitions(1)[0], latent=np.zeros((2, 2), np.float32))
    with pytest.raises(ContractError, match=r"latent: got float32\[2, 2\]"):
        make_log().add(step)


@pytest.mark.parametrize("part", ["observation", "next_observation"])
def test_observation_that_is_not_of_the_spec_is_refused(make_log, make_transitions, part):
    step = make_transitions(1)[0]
    blind = dataclasses.replace(getattr(step, part), images={})
    with pytest.raises(ContractError, match="missing image"):
        make_log().add(dataclasses.replace(step, **{part: blind}))


@pytest.mark.parametrize("flush_s", [0.0, -1.0, 1.5, float("nan")])
def test_flush_time_is_at_most_a_second(make_log, flush_s):
    with pytest.raises(ConfigError, match="flush_s"):
        make_log(flush_s=flush_s)


def test_unknown_image_coding_names_the_right_one(make_log):
    with pytest.raises(ConfigError, match="'jpeg'"):
        make_log(images="jpg")


def test_metadata_that_json_cannot_hold_are_refused(tmp_path, recording_spec):
    metadata = EpisodeMetadata(task="plug", limits={"box": np.zeros(3)})
    with pytest.raises(ContractError, match="no JSON"):
        EpisodeLog(tmp_path / "log.mcap", recording_spec, "e", metadata)
    assert not (tmp_path / "log.mcap").exists()


def test_keys_that_would_share_a_topic_are_refused(tmp_path, make_arm_spec, make_arm_steps):
    wrench = make_arm_spec().task.observation.vectors["observation.wrench"]
    spec = make_arm_spec(vectors={"observation.a-b": wrench, "observation.a_b": wrench})
    with pytest.raises(ContractError, match="/observation/a_b"):
        EpisodeLog(tmp_path / "log.mcap", spec, "e", METADATA)


def test_log_that_is_there_stays_as_it_is(tmp_path, make_log, recording_spec, make_transitions):
    log = make_log()
    log.add(make_transitions(1)[0])
    log.close()
    before = log.path.read_bytes()
    with pytest.raises(StorageError, match=r"log\.mcap cannot be made"):
        EpisodeLog(log.path, recording_spec, "episode-0", METADATA)
    assert log.path.read_bytes() == before


def test_closed_log_takes_no_more_steps_and_closes_twice(make_log, make_transitions):
    log = make_log()
    log.close()
    log.close()
    with pytest.raises(StorageError, match="is closed"):
        log.add(make_transitions(1)[0])


def test_disk_failing_at_any_operation_surfaces_and_what_is_said_to_be_safe_is(
    tmp_path, recording_spec, make_transitions, caplog
):
    caplog.set_level(logging.CRITICAL)
    steps = make_transitions(4)

    def add_all(log):
        for step in steps:
            log.add(step)
            wait_until(functools.partial(is_settled, log, step.step + 1))

    def is_settled(log, steps_safe):
        return log._steps_safe == steps_safe or log._failure

    said = set()
    for number in range(1, 200):
        path, disk = tmp_path / f"{number}.mcap", FailingDisk(number)
        made = []
        refusal = failure_of(
            lambda path=path, disk=disk, made=made: made.append(
                EpisodeLog(path, recording_spec, "episode-0", METADATA, flush_s=0.005, disk=disk)
            )
        )
        if refusal:
            assert f"{path} cannot be made" in refusal
            assert not path.exists()
            continue
        adding = failure_of(functools.partial(add_all, made[0]))
        closing = failure_of(made[0].close)
        logged = read_log(path)
        if not closing:
            assert not disk.failed
            assert logged.complete
            break
        assert adding in ("", closing)
        assert str(path) in closing
        assert os.strerror(errno.ENOSPC) in closing
        safe = int(closing.split("its first ")[1].split(" steps")[0])
        assert (0 if logged.episode is None else len(logged.episode)) >= safe
        # The footer may be written while nobody can say whether it is on the medium.
        assert not logged.complete or disk.operations[-1][0] == "sync"
        said.add(safe)
    else:
        pytest.fail("no attempt went well")
    assert said == {0, 1, 2, 3, 4}


def test_add_never_waits_for_a_disk_that_has_stopped(make_log, make_transitions):
    disk = HeldDisk()
    log, steps = make_log(disk=disk, flush_s=0.01), make_transitions(300)
    log.add(steps[0])
    wait_until(lambda: log._steps_safe == 1)
    disk.free.clear()
    start = time.monotonic()
    for step in steps[1:]:
        log.add(step)
        time.sleep(0.0005)
    assert time.monotonic() - start < LONG_S / 2
    disk.free.set()
    log.close()
    assert len(read_log(log.path).episode) == 300


def test_disk_too_far_behind_is_an_error_and_no_step_is_dropped(make_log, make_transitions):
    disk = HeldDisk()
    log, steps = make_log(disk=disk, flush_s=0.01, queue_bytes=20_000), make_transitions(300)
    log.add(steps[0])
    wait_until(lambda: log._steps_safe == 1)
    disk.free.clear()
    accepted = 1
    while not (refusal := failure_of(functools.partial(log.add, steps[accepted]))):
        accepted += 1
    assert "bytes behind, expected at most 20000" in refusal
    with pytest.raises(StorageError, match="bytes behind"):
        log.add(steps[accepted])
    disk.free.set()
    with pytest.raises(StorageError, match=f"its first {accepted} steps are safe"):
        log.close()
    logged = read_log(log.path)
    assert len(logged.episode) == accepted > 10
    assert not logged.complete


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_writer_that_died_is_noticed_by_the_next_add(make_log, make_transitions):
    disk = BrokenDisk()
    log, steps = make_log(disk=disk, flush_s=0.01), make_transitions(2)
    disk.broken = True
    log.add(steps[0])
    wait_until(lambda: not log._thread.is_alive())
    with pytest.raises(StorageError, match=r"writer has died.*first 0 steps are safe"):
        log.add(steps[1])
    gc.collect()


def test_add_costs_the_loop_next_to_nothing(
    tmp_path, make_arm_spec, make_arm_steps, arm_metadata, capsys
):
    spec = make_arm_spec(height=128, width=128)
    steps = make_arm_steps(spec, 150)
    taken = []
    with EpisodeLog(tmp_path / "a.mcap", spec, "episode-1", arm_metadata) as log:
        for step in steps:
            start = time.perf_counter()
            log.add(step)
            taken.append(time.perf_counter() - start)
            time.sleep(0.003)
    p50, p99 = np.quantile(taken, [0.5, 0.99])
    with capsys.disabled():
        sys.stdout.write(
            f" [add, two 128x128 images: p50 {1e6 * p50:.0f}, p99 {1e6 * p99:.0f} us] "
        )
    assert p50 < 0.001
    assert p99 < 0.02
