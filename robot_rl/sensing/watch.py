"""What of one key of the observation is a fault, and the watch for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from numpy.typing import NDArray

from robot_rl.config.model import Config
from robot_rl.sensing.freshness import Blankness, Repetition
from robot_rl.sensing.motion import Motion


class WatchConfig(Config):
    """What of one key of the observation is a fault.

    Args:
        may_repeat: whether two samples of a healthy stream may be equal bit by bit: `never` where
            there is noise, as in every camera and force sensor; `at_rest` as long as the arm does
            not move, as in simulation, and for encoders without noise; `always`.
        may_be_blank: whether a healthy picture may be all black or all white.
        max_rate_per_s: what an element of a vector may change in a second at most; twice what is
            possible is close enough. A sample beyond it is replaced by the last good one. One
            number for each element or one for all; of a tcp pose [m/s, rad/s]. Not for a wrench:
            a blow is a spike, too.
        holds: whether the gate is to hold meanwhile; otherwise there is a warning and a count.
    """

    may_repeat: Literal["never", "at_rest", "always"]
    may_be_blank: bool = False
    max_rate_per_s: tuple[float, ...] | None = None
    holds: bool = True


class KeyWatch:
    """Finds content of one key that stands still or is blank for too long."""

    def __init__(
        self, key: str, config: WatchConfig, fault_after_s: float, motion: Motion, *, image: bool
    ) -> None:
        repeats = config.may_repeat
        self._after_s = fault_after_s
        self._repetition = (
            None
            if repeats == "always"
            else Repetition(key, motion if repeats == "at_rest" else None)
        )
        self._blankness = Blankness() if image and not config.may_be_blank else None
        self._name = "picture" if image else key

    def look(self, content: NDArray[Any], stamp_ns: int) -> Iterator[tuple[str, str]]:
        """Take in the content of a new sample and yield what is wrong: its name, and in words."""
        if self._blankness:
            seconds, what = self._blankness.seconds(content, stamp_ns)
            if seconds > self._after_s:
                yield "blank", f"nothing but {what} for {seconds:.2f} s"
        if self._repetition:
            seconds = self._repetition.seconds(content, stamp_ns)
            if seconds > self._after_s:
                yield "frozen", f"the same {self._name} for {seconds:.2f} s"
