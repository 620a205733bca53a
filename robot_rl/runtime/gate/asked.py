"""A process that ends when it is asked to, at a moment of its own choosing."""

from __future__ import annotations

import logging
import signal
import sys
from types import FrameType


class AskedToEnd:
    """True after the first SIGTERM or SIGINT; `name` says which it was."""

    def __init__(self) -> None:
        self.name = ""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)

    def __bool__(self) -> bool:
        return bool(self.name)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.name = signal.Signals(number).name


def log_to_stderr() -> None:
    """Let the process say what happens to it, with the time as a label."""
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
