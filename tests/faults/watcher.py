"""Reads a store while another process writes it, until a line comes in; prints how many reads.

Usage: watcher.py STORE. Between `refresh` and reading, an episode or label may have been taken
away; that is a `StorageError` which names it, and it is then no longer there after a `refresh`.
"""

from __future__ import annotations

import select
import sys
from pathlib import Path
from random import Random

import contents

from robot_rl.core.errors import StorageError
from robot_rl.data.store.episode_reader import EpisodeReader

PAUSE_S = 0.005


def main() -> None:
    path, random, reads = Path(sys.argv[1]), Random(8), 0
    reader = EpisodeReader(path)
    while not select.select([sys.stdin], [], [], PAUSE_S)[0]:
        reader.refresh()
        names = reader.ids()
        if names:
            reads += read_one(reader, random.choice(names))
    sys.stdout.write(str(reads))


def read_one(reader: EpisodeReader, name: str) -> int:
    try:
        problem = contents.wrong(reader.read(name))
        for of, versions in reader.labels(name).items():
            for version in versions:
                reader.label(name, of, version)
    except StorageError as error:
        if name not in str(error):
            sys.exit(f"{error} does not name {name}")
        reader.refresh()
        if name in reader.ids() and not reader.verify(name):
            raise
        return 0
    if problem:
        sys.exit(problem)
    return 1


main()
