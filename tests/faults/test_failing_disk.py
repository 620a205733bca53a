"""Every operation of a session fails once: the state is that before or that after, never else."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import itertools
import shutil
from pathlib import Path

import contents
import pytest
from oracle import State, look, reopened, without_recovered
from session import NOT_LOGGED, recording, session
from traps import TrapDisk, failing
from victims import StoreSource

from robot_rl.core.errors import StorageError
from robot_rl.data.disk.failing_disk import FailingDisk
from robot_rl.data.exchange.source import import_into
from robot_rl.data.log.export import write_mcap
from robot_rl.data.log.recovery import read_log
from robot_rl.data.store.episode_reader import EpisodeReader
from robot_rl.data.store.episode_store import EpisodeStore

OPEN_AFTER = {"open": 0, "half recorded": 0, "purged": 3, "abandoned": 3, "logged": 3}
LATE = ("recovered", "saved 4")
"""A failure before these may put the recovery off: the store opens all the same."""


def mcap_file(source: Path, target: Path, disk: TrapDisk) -> None:
    reader = EpisodeReader(source)
    write_mcap(target, reader.read("episode-0"), reader.spec, images="png", disk=disk)


def imported_store(source: Path, target: Path, disk: TrapDisk) -> None:
    import_into(StoreSource(EpisodeReader(source)), target, disk=disk)


def complete(target: Path) -> bool:
    if target.is_dir():
        return len(look(EpisodeReader(target)).episodes) == 2
    logged = read_log(target)
    return logged.complete and logged.episode is not None and not contents.wrong(logged.episode)


@pytest.mark.parametrize("lasting", [False, True], ids=["passing", "lasting"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=errno.errorcode.get)
def test_a_failure_at_any_operation_leaves_before_or_after(folder, report, code, lasting):
    states = clean_run(folder / "clean")
    failed = 0
    for at in itertools.count(1):
        disk = TrapDisk(at, failing(code), lasting=lasting)
        steps, error = run(folder / str(at), disk)
        if error is None and not disk.sprung:
            break
        failed += error is not None
        assert error is None or says_what_failed(error), f"{error} does not say what failed"
        try:
            check(folder / str(at), states, steps)
        except Exception as wrong:
            wrong.add_note(f"operation {at} ({disk.operations[at - 1]}) failed, after {steps[-1]}")
            raise
        shutil.rmtree(folder / str(at))
    assert failed > 60
    report(
        f"{errno.errorcode[code]} at the N-th operation, {'lasting' if lasting else 'passing'}",
        failures=failed,
        states_in_between=0,
    )


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=errno.errorcode.get)
def test_after_a_passing_failure_the_store_goes_on_or_asks_to_be_opened_again(
    folder, report, code
):
    went_on = asked = 0
    for at in itertools.count(1):
        path = folder / str(at)
        disk = TrapDisk()
        with EpisodeStore(path, contents.SPEC, disk=disk) as store:
            store.append(contents.episode(0))
            disk.at, disk.spring = len(disk.operations) + at, failing(code)
            with contextlib.suppress(StorageError):
                edit(store)
            if not disk.sprung:
                break
            refusal = refused(store)
            saved = not refusal
            assert saved or "open it again" in refusal
            went_on, asked = went_on + saved, asked + (not saved)
            inside = look(store)
        found = reopened(path)
        assert (("episode-7", 4, False) in found.episodes) is saved
        if saved:
            assert found == inside
        shutil.rmtree(path)
    assert went_on > 10
    report(f"{errno.errorcode[code]}, then the same store", saved=went_on, asked_to_reopen=asked)


@pytest.mark.parametrize("write", [mcap_file, imported_store], ids=["mcap", "import"])
def test_an_export_to_a_failing_disk_is_absent_or_complete(folder, report, write):
    with EpisodeStore(folder / "source", contents.SPEC, disk=TrapDisk()) as store:
        store.append(contents.episode(0))
        store.append(contents.episode(1))
    failed = 0
    for at in itertools.count(1):
        disk, target = TrapDisk(at, failing(errno.ENOSPC)), folder / f"target-{at}"
        with contextlib.suppress(StorageError):
            write(folder / "source", target, disk)
            assert complete(target)
        if not disk.sprung:
            break
        failed += 1
        assert not target.exists() or complete(target), f"operation {at}: {disk.operations[-1]}"
    assert failed > 5
    report(f"ENOSPC at the N-th operation, {write.__name__}", failures=failed, incomplete=0)


def test_who_leaves_a_recording_unsealed_is_told_that_its_log_has_failed(folder):
    disk = TrapDisk()
    with EpisodeStore(folder / "store", contents.SPEC, disk=disk) as store:
        with pytest.raises(StorageError, match="No space left"), recording(store, 0) as log:  # noqa: PT012
            disk.spring, disk.lasting = failing(errno.ENOSPC), True
            disk.at = len(disk.operations) + 1
            for step in contents.steps(0, 4):
                log.add(step)
        disk.at = 0


def test_no_episode_is_started_without_room_for_it(folder, report):
    disk = FailingDisk()
    with EpisodeStore(folder / "store", contents.SPEC, disk=disk) as store:
        store.append(contents.episode(0))
        disk.free = 0
        with pytest.raises(StorageError, match=r"(?s)free.*purge"):
            store.record("episode-1", contents.metadata())
        assert list((folder / "store").glob("open/*")) == []

        disk.free = None
        with recording(store, 1) as log:
            for step in contents.steps(1, 4):
                log.add(step)
            log.seal(contents.episode(1))
        assert look(store) == State((("episode-0", 4, False), ("episode-1", 4, False)))
    report("no room for an episode", refused=1)


def clean_run(path: Path) -> dict[str, tuple[State, State]]:
    """The state after each step, and after the step that follows it."""
    told = [("nothing", State())]
    told += [(step, look(EpisodeReader(path))) for step in session(path, TrapDisk())]
    told.append(told[-1])
    return {step: (state, after) for (step, state), (_, after) in itertools.pairwise(told)}


def run(path: Path, disk: TrapDisk) -> tuple[list[str], StorageError | None]:
    steps = ["nothing"]
    try:
        for step in session(path, disk):
            steps.append(step)
    except StorageError as error:
        return steps, error
    return steps, None


def says_what_failed(error: StorageError) -> bool:
    causes = ("No space left", "Input/output error", "in doubt after a disk error; open it again")
    return any(cause in str(error) for cause in causes)


def refused(store: EpisodeStore) -> str:
    try:
        store.append(contents.episode(7))
    except StorageError as error:
        return str(error)
    return ""


def check(path: Path, states: dict[str, tuple[State, State]], steps: list[str]) -> None:
    found = reopened(path)
    before, after = states[steps[-1].removeprefix("not ")]
    if NOT_LOGGED in steps:
        number = OPEN_AFTER["logged"]
        found, before, after = (
            without_recovered(state, contents.name(number)) for state in (found, before, after)
        )
    if steps[-1] in OPEN_AFTER and found not in (before, after):
        found = without_recovered(found, contents.name(OPEN_AFTER[steps[-1]]))
    if steps[-1] in LATE:
        found, before, after = (in_any_order(state) for state in (found, before, after))
    assert found in (before, after), f"{found}, expected {before} or {after}"


def in_any_order(state: State) -> State:
    return dataclasses.replace(state, episodes=tuple(sorted(state.episodes)))


def edit(store: EpisodeStore) -> None:
    store.append(contents.episode(1))
    store.add_label("episode-0", contents.label(1))
    store.delete("episode-1")
    store.undo()
    store.delete("episode-1")
    store.purge()
