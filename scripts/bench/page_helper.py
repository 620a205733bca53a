"""A process beside a benchmark's own that is asked, a line of JSON each way, and ends with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Self

ANSWER_S = 60.0
_END_S = 15.0
_LAST_LINES = 15

Does = Mapping[str, Callable[..., object]]


class Helper:
    """Runs the function `main` of a module of this folder in a process of its own.

    It is started by a command and not from a file, so that processes that it starts by itself
    import no more than they need, as in production.

    Args:
        module: name of the module.
        folder: where it works and where what it says on stderr is kept.
    """

    def __init__(self, module: str, folder: Path) -> None:
        self._name = module
        self._log = folder / f"{module}.log"
        places = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", f"import {module}; {module}.main()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=tempfile.mkdtemp(dir=folder),
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))},
            )
        self._answers: SimpleQueue[str] = SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.close()
            self._process.wait(_END_S)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        self._reader.join(_END_S)
        self._process.stdout.close()

    def ask(self, what: str, *words: object, timeout_s: float = ANSWER_S) -> Any:
        """Have something done and return what came of it.

        Raises:
            RuntimeError: if it has failed, has ended, or does not answer in time; with its last
                words.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps([what, *words]) + "\n")
            self._process.stdin.flush()
            answer = json.loads(self._answers.get(timeout=timeout_s) or "null")
        except (OSError, Empty) as error:
            raise RuntimeError(self._fate(f"{what}: no answer")) from error
        if answer is None:
            raise RuntimeError(self._fate(f"{what}: has ended"))
        if "error" in answer:
            raise RuntimeError(self._fate(f"{what}: {answer['error']}"))
        return answer["done"]

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put("")

    def _fate(self, words: str) -> str:
        last = self._log.read_text(errors="replace").splitlines()[-_LAST_LINES:]
        return "\n".join([f"{self._name}: {words}; the last it said:", *last])


def answer_lines(does: Does) -> None:
    """Do what is asked for, in this thread, until whoever asks has gone."""
    for line in sys.stdin:
        what, *words = json.loads(line)
        try:
            said = {"done": does[what](*words)}
        except Exception as error:  # noqa: BLE001 - whoever asked is told
            said = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(said), flush=True)
