"""One process of a graph: started so that it cannot outlive us, its words passed on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from robot_rl.app.ros.process import Process

# Runs in the child before its program: asks Linux for SIGTERM when the parent ends, in whatever
# way, and makes sure that it has not already.
_BOUND = """
import ctypes, os, signal, sys
ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGTERM)
os.nice(int(sys.argv[2]))
if os.getppid() != int(sys.argv[1]):
    sys.exit("the process that started this one has ended")
os.execv(sys.argv[3], sys.argv[3:])
"""

Say = Callable[[str], None]


def command(process: Process, parameters: Path, log_level: str) -> list[str]:
    """Return the command line of a process."""
    if process.words:
        return [sys.executable, "-m", process.module, *process.words]
    words = ["-m", process.module, "--ros-args", "-r", f"__node:={process.name}"]
    words += ["-r", f"__ns:={process.namespace}", "--params-file", str(parameters)]
    for known, meant in process.remaps.items():
        words += ["-r", f"{known}:={meant}"]
    return [sys.executable, *words, "--log-level", log_level]


class Child:
    """A process of the system that is running or has ended.

    Args:
        name: in front of each of its lines.
        words: its command line, the program's path first.
        nice: how much it stands back.
        environment: all of its variables.
        log: where its lines are added.
        say: called with each line, from another thread.

    Attributes:
        pid: of the process.
    """

    def __init__(
        self,
        name: str,
        words: list[str],
        environment: Mapping[str, str],
        log: Path,
        say: Say,
        nice: int = 0,
    ) -> None:
        self.name = name
        self._say = say
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _BOUND, str(os.getpid()), str(nice), *words],
            env={**environment, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            # Ctrl-C at the terminal is for us: we end them in order.
            start_new_session=True,
        )
        self.pid = self._process.pid
        assert self._process.stdout is not None
        self._reader = threading.Thread(
            target=self._pass_on, args=(self._process.stdout, log), name=f"{name} log", daemon=True
        )
        self._reader.start()

    @property
    def status(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._process.poll()

    @property
    def fate(self) -> str:
        """How it ended, in words."""
        status = self.status
        if status is None:
            return "is running"
        if status < 0:
            return f"was ended by {signal.Signals(-status).name}"
        return f"ended with status {status}"

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        if self.status is None:
            self._process.send_signal(number)

    def close(self) -> None:
        """Pass on its last words, after it has ended."""
        # A grandchild that holds the pipe open must not hold us up.
        self._reader.join(1.0)

    def _pass_on(self, stream: IO[str], log: Path) -> None:
        with stream, log.open("a", encoding="utf-8") as file:
            for line in stream:
                file.write(line)
                file.flush()
                self._say(f"[{self.name}] {line.rstrip()}")
