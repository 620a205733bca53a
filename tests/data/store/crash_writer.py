"""Saves episodes until it is killed, 15 times over; prints each id once it was acknowledged.

Usage: crash_writer.py STORE BUILDERS SEED. The writers are forked, so that a kill costs no import.
"""

from __future__ import annotations

import os
import random
import runpy
import signal
import sys
import time
from pathlib import Path

from robot_rl.data.store.episode_store import EpisodeStore

KILLS = 15


def write_until_killed(path: Path, build_episode, spec, acknowledge: int) -> None:
    with EpisodeStore(path, spec) as store:
        number = len(store) + 1_000 * (1 + len(store.orphans))
        while True:
            number += 1
            store.append(build_episode(30, episode=number))
            os.write(acknowledge, f"episode-{number}\n".encode())


def main() -> None:
    path, builders, seed = Path(sys.argv[1]), runpy.run_path(sys.argv[2]), int(sys.argv[3])
    moments = random.Random(seed)
    for _ in range(KILLS):
        acknowledged, acknowledge = os.pipe()
        writer = os.fork()
        if writer == 0:
            spec = builders["build_recording_spec"]()
            write_until_killed(path, builders["build_episode"], spec, acknowledge)
        os.close(acknowledge)
        with os.fdopen(acknowledged) as lines:
            sys.stdout.write(lines.readline())
            time.sleep(moments.uniform(0, 0.08))
            os.kill(writer, signal.SIGKILL)
            sys.stdout.write(lines.read())
        _, status = os.waitpid(writer, 0)
        if not os.WIFSIGNALED(status):
            sys.exit("the writer died by itself")


main()
