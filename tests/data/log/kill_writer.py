"""Logs an episode until it is killed, many times over; prints which step was added when.

Usage: kill_writer.py FOLDER BUILDERS KILLS SEED. The writers are forked, so that a kill costs no
import, and do not wait for the medium, which a kill cannot hurt. One line a kill: the file, and
how long before it each step was added [s].
"""

from __future__ import annotations

import json
import os
import random
import runpy
import signal
import struct
import sys
import time
from pathlib import Path

from robot_rl.data.disk.failing_disk import FailingDisk
from robot_rl.data.log.episode_log import EpisodeLog

FLUSH_S = 0.1
STEPS = 400
RECORD = struct.Struct("<Id")


def write_until_killed(path: Path, builders: dict, steps: list, images: str, told: int) -> None:
    log = EpisodeLog(
        path,
        builders["build_arm_spec"](),
        "episode-1",
        builders["build_metadata"](),
        images=images,
        flush_s=FLUSH_S,
        disk=FailingDisk(),
    )
    for step in steps:
        log.add(step)
        os.write(told, RECORD.pack(step.step, time.monotonic()))
        time.sleep(0.003)


def main() -> None:
    folder, builders = Path(sys.argv[1]), runpy.run_path(sys.argv[2])
    kills, moments = int(sys.argv[3]), random.Random(int(sys.argv[4]))
    steps = builders["build_arm_steps"](builders["build_arm_spec"](), STEPS, latent_size=5)
    for number in range(kills):
        path = folder / f"{number}.mcap"
        listen, told = os.pipe()
        writer = os.fork()
        if writer == 0:
            write_until_killed(path, builders, steps, ("raw", "png")[number % 2], told)
            os._exit(0)
        os.close(told)
        with os.fdopen(listen, "rb") as stream:
            first = stream.read(RECORD.size)
            time.sleep(moments.uniform(0, 1.3))
            os.kill(writer, signal.SIGKILL)
            died = time.monotonic()
            records = first + stream.read()
        _, status = os.waitpid(writer, 0)
        if not os.WIFSIGNALED(status):
            sys.exit("the writer died by itself")
        ages = [died - at for _, at in RECORD.iter_unpack(records)]
        sys.stdout.write(json.dumps({"path": str(path), "ages_s": ages}) + "\n")


main()
