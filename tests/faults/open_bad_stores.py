"""Opens and reads what is no store, in a process that may not use much memory.

Usage: open_bad_stores.py FOLDER. Each folder in it is opened in three ways; a line of JSON says
how that ended: which, how, class of the error, its message, peak of memory [bytes], findings.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from robot_rl.core.errors import RobotRlError
from robot_rl.data.store.episode_reader import EpisodeReader
from robot_rl.data.store.episode_store import EpisodeStore
from robot_rl.data.store.repair import doctor

MEMORY = 512 << 20
SECONDS = 4


class TooSlow(Exception):
    """It is still not refused."""


def read_all(reader: EpisodeReader) -> list[str]:
    for name in reader.ids():
        reader.read(name)
        for of, versions in reader.labels(name).items():
            for version in versions:
                reader.label(name, of, version)
    return []


def read(path: Path) -> list[str]:
    return read_all(EpisodeReader(path))


def own(path: Path) -> list[str]:
    with EpisodeStore(path) as store:
        return read_all(store)


def examine(path: Path) -> list[str]:
    return [f"{f.path}: {f.problem}; {f.remedy}" for f in doctor.examine(path)]


def attempt(how: Callable[[Path], list[str]], path: Path) -> dict[str, object]:
    tracemalloc.reset_peak()
    error, message, findings = "", "", []
    try:
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        findings = how(path)
    except RobotRlError as refusal:
        error, message = type(refusal).__name__, str(refusal)
    except Exception as crash:  # noqa: BLE001 the test judges it
        error, message = type(crash).__name__, f"a crash, no refusal: {crash!r}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    peak = tracemalloc.get_traced_memory()[1]
    return {"error": error, "message": message, "peak": peak, "findings": findings}


def too_slow(_number: int, _frame: object) -> None:
    raise TooSlow


def main() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    signal.signal(signal.SIGALRM, too_slow)
    tracemalloc.start()
    for path in sorted(Path(sys.argv[1]).iterdir()):
        for how in (read, examine, own):
            result = attempt(how, path / "store")
            sys.stdout.write(json.dumps([path.name, how.__name__, result]) + "\n")


main()
