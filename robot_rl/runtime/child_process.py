"""A child process with a pipe each way: born deaf to Ctrl-C, ended for sure, its last words kept.

Not here: what is said over the pipes.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from pathlib import Path
from typing import cast

_GRACE_S = 5.0
_LOG_LINES = 15


class ChildProcess:
    """Runs a function in a fresh interpreter; it dies with its parent at the latest.

    Args:
        target: called with `arguments`, the path of its log, and the ends of two pipes: one to
            receive from and one to send to.
        arguments: strings and numbers.
        name: of the process.
        log: where the process is to write; without it, a temporary file.
    """

    def __init__(
        self,
        target: Callable[..., None],
        arguments: tuple[str | int | float | None, ...],
        *,
        name: str,
        log: Path | None = None,
    ) -> None:
        self._files = contextlib.ExitStack()
        self._log = log or self._temporary_log()
        context = multiprocessing.get_context("spawn")
        their_inbox, self.outbox = context.Pipe(duplex=False)
        self.inbox, their_outbox = context.Pipe(duplex=False)
        self._process = context.Process(
            target=target,
            args=(*arguments, str(self._log), their_inbox, their_outbox),
            name=name,
            daemon=True,
        )
        with _interrupt_blocked():
            self._process.start()
        self.pid = cast(int, self._process.pid)
        # While a copy of their ends is open here, neither side would hear of the other's end.
        their_inbox.close()
        their_outbox.close()

    @property
    def fate(self) -> str:
        """How it ended and what it said last, in words."""
        self._process.join(_GRACE_S)
        return f"process {self.pid}, {self._exit}; the last it said:\n{self._last_words}"

    def hang_up(self) -> None:
        """Close the pipe to the process and see it end; it is killed if it does not."""
        self.outbox.close()
        self._process.join(_GRACE_S)
        self.kill()

    def close(self) -> None:
        """Let go of what is left, after `hang_up`."""
        self.inbox.close()
        self._process.close()
        self._files.close()

    def kill(self) -> None:
        """End the process by force; it has ended when this returns."""
        if self._process.is_alive():
            self._process.terminate()
            self._process.join(_GRACE_S)
        if self._process.is_alive():
            self._process.kill()
            # Nothing withstands this; a loaded machine may take its time.
            self._process.join()

    def _temporary_log(self) -> Path:
        folder = self._files.enter_context(tempfile.TemporaryDirectory(prefix="robot-rl-"))
        return Path(folder) / "log"

    @property
    def _exit(self) -> str:
        code = self._process.exitcode
        if code is None:
            return "still there"
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    @property
    def _last_words(self) -> str:
        try:
            lines = self._log.read_text(errors="replace").splitlines()
        except OSError as error:
            return f"nothing ({error})"
        return "\n".join(lines[-_LOG_LINES:]) or "nothing"


def redirect_stderr(log: str) -> None:
    """In the child: let all that it says on its way out, by a native library too, go to a file."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )


@contextlib.contextmanager
def _interrupt_blocked() -> Iterator[None]:
    """Block Ctrl-C: a process started within inherits that, and one that comes is not lost."""
    # Its first start unblocks the signal.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
