"""One session that does everything a store can do, as steps that can be stopped at any point."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import contents

from robot_rl.core.errors import StorageError
from robot_rl.data.disk.durable import Disk
from robot_rl.data.log.recovery import read_log
from robot_rl.data.store.episode_store import EpisodeStore

NOT_LOGGED = "not logged"


def session(path: Path, disk: Disk, *, patience_s: float = 0.0) -> Iterator[str]:
    """Yield the name of each step once it is acknowledged.

    Args:
        path: of the store, which is not there yet.
        disk: on which all of it is done.
        patience_s: how long recordings wait for their log to be written.
    """
    with EpisodeStore(path, contents.SPEC, disk=disk) as store:
        yield "open"
        with recording(store, 0) as log:
            for step in contents.steps(0, 6):
                log.add(step)
                if step.step == 2:
                    time.sleep(patience_s)
                    yield "half recorded"
            log.seal(contents.episode(0, 6))
        yield "sealed"
        for number in (1, 2):
            store.append(contents.episode(number))
            yield f"saved {number}"
        store.delete(contents.name(1))
        yield "deleted 1"
        for version in (1, 2):
            store.add_label(contents.name(0), contents.label(version, count=6))
            yield f"labelled {version}"
        store.undo()
        yield "label 2 undone"
        store.undo(contents.name(1))
        yield "deletion undone"
        store.delete(contents.name(2))
        yield "deleted 2"
        store.purge()
        yield "purged"
        with recording(store, 3) as log:
            for step in contents.steps(3, 4):
                log.add(step)
            time.sleep(patience_s)
            yield "abandoned"
    # Leaving it waits for the log; on a disk that failed, it may not hold all.
    yield "logged" if steps_logged(path / "open" / f"{contents.name(3)}.mcap") == 4 else NOT_LOGGED
    with EpisodeStore(path, contents.SPEC, disk=disk) as store:
        yield "recovered"
        store.append(contents.episode(4))
        yield "saved 4"


def steps_logged(log: Path) -> int:
    if not log.exists():
        return 0
    try:
        logged = read_log(log)
    except StorageError:
        return 0
    return 0 if logged.episode is None else len(logged.episode)


def recording(store: EpisodeStore, number: int) -> contextlib.AbstractContextManager:
    return store.record(contents.name(number), contents.metadata())
