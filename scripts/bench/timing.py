"""Durations: of one thing many times, of two things in turn, or of the parts of one thing.

Time is CPU time of this process. On one thread that is what the wall shows on an idle core, and
what else the machine does hardly changes it.
"""

from __future__ import annotations

import functools
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

Work = Callable[[], object]


def seconds(work: Work, calls: int = 1) -> float:
    """Mean duration of one call [s] over `calls`."""
    start_s = time.process_time()
    for _ in range(calls):
        work()
    return (time.process_time() - start_s) / calls


def repeated(work: Work, repeats: int, calls: int = 1) -> list[float]:
    """Duration of one call [s], measured `repeats` times after a call that does not count."""
    work()
    return [seconds(work, calls) for _ in range(repeats)]


def in_turn(
    ours: Work, peer: Work, repeats: int, calls: int = 1
) -> tuple[list[float], list[float], list[float]]:
    """Durations of ours and of a peer [s], and peer / ours, each pair measured back to back.

    What else the machine does at that moment then slows both, and leaves the ratio alone.
    """
    ours()
    peer()
    pairs = [(seconds(ours, calls), seconds(peer, calls)) for _ in range(repeats)]
    mine, theirs = [a for a, _ in pairs], [b for _, b in pairs]
    return mine, theirs, [b / a for a, b in pairs]


class Stopwatch:
    """Adds up how long the methods of living objects take, without changing their code."""

    def __init__(self) -> None:
        self.spent_s: dict[str, float] = defaultdict(float)

    def watch(self, owner: Any, method: str, name: str) -> None:
        """Count what this object spends in a method under `name`; methods must not nest."""
        original = getattr(owner, method)

        @functools.wraps(original)
        def timed(*args: Any, **kwargs: Any) -> Any:
            start_s = time.process_time()
            try:
                return original(*args, **kwargs)
            finally:
                self.spent_s[name] += time.process_time() - start_s

        setattr(owner, method, timed)
