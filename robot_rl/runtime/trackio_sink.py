"""A sink that hands a run's numbers to trackio, in a process of its own and offline."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from queue import Full, Queue
from types import TracebackType
from typing import Any

from robot_rl.core.errors import DependencyError, StorageError
from robot_rl.runtime.events import Event
from robot_rl.runtime.scalars import ScalarView

PROJECT = "robot_rl"
"""Every run is one of this project's."""

_PROCESS = "robot_rl.runtime.trackio_process"
_WAITING = 10_000
_FINISH_S = 60.0
_NICE = 10
_LOG = logging.getLogger(__name__)


class TrackioSink:
    """Keeps trackio's database in `folder`; nothing leaves this machine.

    Nobody waits for it: what a process that is stuck does not take is dropped, and a process that
    has died is said in the log and left; the run's event log has everything. A run that is
    resumed goes on in the same curves. Look at them with
    `TRACKIO_DIR=<folder> trackio show --project robot_rl`.

    Args:
        folder: of the database, and of what the process has to say (`log.txt`).
        run: name of the run.
        config: its settings, JSON values.

    Raises:
        DependencyError: if the package trackio is not installed.
        StorageError: if the folder cannot be written.
    """

    def __init__(self, folder: Path, run: str, config: Mapping[str, Any]) -> None:
        if importlib.util.find_spec("trackio") is None:
            raise DependencyError(
                "metrics: trackio is asked for but is not installed; "
                "pip install 'robot_rl[metrics]', or take it off `metrics`"
            )
        self._view = ScalarView()
        self._log = folder / "log.txt"
        self._lines: Queue[str | None] = Queue(_WAITING)
        self._dropped = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._process = _start(folder, self._log)
        except OSError as error:
            raise StorageError(f"{folder}: cannot keep trackio's database: {error}") from error
        self.pid = self._process.pid
        self._writer = threading.Thread(target=self._write, name="trackio", daemon=True)
        self._writer.start()
        self._put({"project": PROJECT, "name": run, "config": dict(config)})

    def __call__(self, event: Event) -> None:
        """Take one event in."""
        told = self._view.scalars(event)
        if told:
            self._put({"step": told.step, "values": dict(told.values)})

    def __enter__(self) -> TrackioSink:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A thread that has gone, or a queue that is full, takes no more: then it ends by force.
        with contextlib.suppress(Full):
            self._lines.put(None, timeout=_FINISH_S if self._writer.is_alive() else 0.0)
        try:
            code = self._process.wait(_FINISH_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._writer.join(_FINISH_S)
        if code or self._dropped:
            _LOG.error(
                "trackio: exit code %d, %d lines dropped; %s says why, events.jsonl has them all",
                code,
                self._dropped,
                self._log,
            )

    def _put(self, line: Mapping[str, Any]) -> None:
        try:
            self._lines.put_nowait(json.dumps(line, allow_nan=False))
        except Full:
            self._dropped += 1

    def _write(self) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        try:
            with pipe:
                while (line := self._lines.get()) is not None:
                    pipe.write(f"{line}\n")
                    pipe.flush()
        except BrokenPipeError:
            _LOG.error("trackio has ended, see %s; the run goes on without it", self._log)


def _start(folder: Path, log: Path) -> subprocess.Popen[str]:
    """Start the process, deaf to Ctrl-C in this terminal and to settings that lead elsewhere."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TRACKIO_", "HF_TOKEN"))
    }
    with log.open("a", encoding="utf-8") as output:
        return subprocess.Popen(
            ["nice", "-n", str(_NICE), sys.executable, "-m", _PROCESS],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env={**inherited, "TRACKIO_DIR": str(folder.resolve()), "HF_HUB_OFFLINE": "1"},
        )
