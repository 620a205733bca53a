"""What somebody wants now, told from what waited in a line that was cut."""

from __future__ import annotations

from collections.abc import Callable

LATE_S = 1.5
"""Who hears nothing asks for nothing after a second; to notice that, and the way, take time."""

_MOST_VIEWS = 1024


class Present:
    """Remembers when somebody was told which view.

    No end of a line is told that it is cut, and what waited in it comes once it is whole again.
    How long ago somebody asked is known by no clock, as theirs is another; but they say what they
    saw then, and when that was sent to them is known here.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._told_s: dict[int, float] = {}

    def tell(self, number: int) -> None:
        """The view of that number is sent to them."""
        # The newest last, so that what is forgotten is the oldest.
        self._told_s.pop(number, None)
        self._told_s[number] = self._clock()
        if len(self._told_s) > _MOST_VIEWS:
            del self._told_s[next(iter(self._told_s))]

    def refuse(self, number: int) -> str:
        """Why they are not obeyed if they saw nothing newer than that view; empty if they are."""
        told_s = self._told_s.get(number)
        if told_s is None:
            return "you have not seen the session as it is now; look, then ask again"
        age_s = self._clock() - told_s
        if age_s <= LATE_S:
            return ""
        return f"you saw what was {age_s:.1f} s ago; look, then ask again"
