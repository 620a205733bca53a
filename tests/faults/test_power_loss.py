"""The power fails at any point of a session: what was acknowledged is there, whole."""

from __future__ import annotations

import hashlib
import itertools
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import contents
import pytest
from oracle import State, look, reopened, without_recovered
from session import session
from victims import StoreSource

from robot_rl.core.errors import StorageError
from robot_rl.data.disk.crash_disk import CrashDisk, Tree, lay_out
from robot_rl.data.exchange.source import import_into
from robot_rl.data.store.episode_reader import EpisodeReader
from robot_rl.data.store.episode_store import EpisodeStore

OPEN_AFTER = {
    "open": (0, 1),
    "half recorded": (0, 3),
    "purged": (3, 1),
    "abandoned": (3, 4),
    "logged": (3, 4),
}
"""Which recording is open after a step, and how many steps of it were flushed at least."""


@dataclass(frozen=True, slots=True)
class Mark:
    """After so many operations this step was acknowledged, and this was in the store."""

    operations: int
    step: str
    state: State


@dataclass(frozen=True, slots=True)
class Recorded:
    disk: CrashDisk
    marks: list[Mark]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Recorded:
    root = tmp_path_factory.mktemp("session")
    disk = CrashDisk(root)
    marks = [Mark(0, "nothing", State())]
    for step in session(root / "store", disk, patience_s=1.0):
        at = len(disk.operations)
        marks.append(Mark(at, step, look(EpisodeReader(root / "store"))))
    return Recorded(disk, marks)


def test_the_session_does_what_it_says(recorded):
    states = {mark.step: mark.state for mark in recorded.marks}

    assert states["abandoned"].episodes == (("episode-0", 6, False), ("episode-1", 4, False))
    assert states["recovered"] == states["abandoned"].with_episode(
        "episode-3", 4, interrupted=True
    )
    assert states["saved 4"] == states["recovered"].with_episode("episode-4", 4)
    assert states["deleted 2"].deleted == ("episode-2",)
    assert states["purged"].deleted == ()
    assert states["label 2 undone"].labels == (("episode-0", "reward", 1, 1.0),)
    assert len(recorded.disk.operations) > 80


@pytest.mark.parametrize("unsynced", ["kept", "lost"])
def test_after_every_operation_what_was_acknowledged_is_there(recorded, folder, report, unsynced):
    opened = survive(
        recorded,
        folder,
        (
            (n, recorded.disk.state_after(n, unsynced))
            for n in range(len(recorded.disk.operations) + 1)
        ),
    )
    report(
        f"power loss, unsynced {unsynced}",
        crash_points=len(recorded.disk.operations) + 1,
        different_states=opened,
        acknowledged_episodes_lost=0,
    )


def test_whatever_part_of_the_unsynced_survives(recorded, folder, report, repeats):
    random, count = Random(20), repeats(500, 10_000)
    points = [random.randrange(1, len(recorded.disk.operations) + 1) for _ in range(count)]
    opened = survive(recorded, folder, ((n, recorded.disk.state_after(n, random)) for n in points))
    report(
        "power loss, any part of the unsynced",
        crashes=count,
        different_states=opened,
        acknowledged_episodes_lost=0,
    )


def test_an_import_is_absent_or_complete(folder, report):
    (folder / "work").mkdir()
    with EpisodeStore(folder / "source", contents.SPEC) as store:
        store.append(contents.episode(0))
        store.append(contents.episode(1))
    disk = CrashDisk(folder / "work")
    import_into(StoreSource(EpisodeReader(folder / "source")), folder / "work/new", disk=disk)

    present = 0
    for n in range(len(disk.operations) + 1):
        for unsynced in ("kept", "lost"):
            crash = folder / f"crash-{n}-{unsynced}"
            crash.mkdir()
            lay_out(disk.state_after(n, unsynced), crash)
            if (crash / "new").exists():
                assert look(EpisodeReader(crash / "new")) == look(EpisodeReader(folder / "source"))
                present += 1
    assert look(EpisodeReader(crash / "new"))
    report("power loss during an import", crash_points=n + 1, complete=present, incomplete=0)


def test_a_disk_that_is_not_waited_for_is_found_out(folder):
    class Hasty(CrashDisk):
        def sync(self, descriptor: int) -> None:
            pass

    (folder / "session").mkdir()
    disk = Hasty(folder / "session")
    with EpisodeStore(folder / "session/store", contents.SPEC, disk=disk) as store:
        store.append(contents.episode(0))
    saved = Mark(0, "saved", State().with_episode("episode-0", 4))
    (folder / "crash").mkdir()
    lay_out(disk.state_after(len(disk.operations)), folder / "crash")

    with pytest.raises((AssertionError, StorageError)):
        check(Recorded(disk, [saved]), saved, folder / "crash/store")


def survive(recorded: Recorded, folder: Path, crashes: Iterator[tuple[int, Tree]]) -> int:
    """Open the store after each crash; return how many crashes left different files."""
    seen = set()
    for number, (n, tree) in enumerate(crashes):
        before = [m for m in recorded.marks if m.operations <= n][-1]
        key = (before.step, digest(tree))
        if key in seen:
            continue
        seen.add(key)
        place = folder / str(number)
        place.mkdir()
        lay_out(tree, place)
        try:
            check(recorded, before, place / "store")
        except Exception as error:
            what = recorded.disk.operations[n - 1]
            error.add_note(f"power lost after operation {n} ({what}), after step {before.step!r}")
            raise
        shutil.rmtree(place)
    return len(seen)


def check(recorded: Recorded, before: Mark, path: Path) -> None:
    found = reopened(path)
    after = {m: n for m, n in itertools.pairwise(recorded.marks)}.get(before, before)
    seen = found
    if before.step in OPEN_AFTER:
        number, steps = OPEN_AFTER[before.step]
        if found not in (before.state, after.state):
            seen = without_recovered(found, contents.name(number), steps)
        else:
            assert steps == 1 or found == after.state, f"{contents.name(number)} is lost"
    assert seen in (before.state, after.state), f"{seen}, expected {before.state} or {after.state}"
    with EpisodeStore(path) as store:
        store.append(contents.episode(99))
    assert reopened(path) == found.with_episode("episode-99", 4)


def digest(tree: Tree) -> str:
    whole = hashlib.sha256()
    for name, data in tree.items():
        whole.update(f"{name} {'-' if data is None else len(data)}\n".encode())
        whole.update(data or b"")
    return whole.hexdigest()
