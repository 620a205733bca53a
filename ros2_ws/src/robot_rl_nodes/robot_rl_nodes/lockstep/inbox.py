"""What was said of an instant, stream by stream, until all of it is there. Knows no middleware."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from robot_rl.core.errors import HardwareError

_PAUSE_S = 2e-4
"""Between two looks at streams of which something is missing."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One message of a stream.

    Args:
        stream: its name.
        stamp_ns: of the instant that it belongs to.
        sample: what it says; None of one that only greets.
    """

    stream: str
    stamp_ns: int
    sample: Any


Ear = Callable[[], Heard | None]
"""Returns the next message of a topic, or None if there is none yet."""


class Inbox:
    """The newest sample of each stream. Who waits looks by themselves: nobody need be woken.

    Used from one thread, but for `lost`, `lose` and `check`.

    Args:
        fate: says why nothing will come any more; empty while something may.
    """

    def __init__(self, fate: Callable[[], str] = lambda: "") -> None:
        self._fate = fate
        self._ears: list[Ear] = []
        self._samples: dict[str, Heard] = {}
        self._greeted: set[str] = set()
        self._lost = ""

    @property
    def lost(self) -> str:
        """Why nothing can be waited for any more; empty while something can."""
        return self._lost or self._fate()

    def lose(self, words: str) -> None:
        """Nothing will come any more; the first reason stays."""
        self._lost = self._lost or words

    def check(self) -> None:
        """Raise HardwareError if nothing can be waited for any more."""
        if words := self.lost:
            raise HardwareError(f"the simulator behind the topics is lost: {words}")

    def listen(self, ear: Ear) -> None:
        """Look at one more topic."""
        self._ears.append(ear)

    def greeted(self) -> frozenset[str]:
        """The streams that are known to be connected by now."""
        self._look()
        return frozenset(self._greeted)

    def forget(self) -> None:
        """Let nothing count that was said so far: the same instant begins anew."""
        self._look()
        self._samples.clear()

    def wait(self, streams: Collection[str], stamp_ns: int, limit_s: float) -> Mapping[str, Any]:
        """Return the samples of an instant by stream, once they are all there.

        Raises:
            HardwareError: naming the streams that stayed silent; nothing is waited for after
                that, for what came late would be taken for something else.
        """
        end_s = time.monotonic() + limit_s
        self._look()
        while missing := self._missing(streams, stamp_ns):
            self.check()
            if time.monotonic() > end_s:
                self.lose(
                    f"nothing heard of {', '.join(missing)} for the instant "
                    f"{stamp_ns / 1e9:.3f} s within {limit_s:g} s"
                )
            time.sleep(_PAUSE_S)
            self._look()
        return {stream: self._samples[stream].sample for stream in streams}

    def _look(self) -> None:
        for ear in self._ears:
            while heard := ear():
                if heard.sample is None:
                    self._greeted.add(heard.stream)
                else:
                    self._samples[heard.stream] = heard

    def _missing(self, streams: Collection[str], stamp_ns: int) -> list[str]:
        return [
            stream
            for stream in streams
            if stream not in self._samples or self._samples[stream].stamp_ns != stamp_ns
        ]
