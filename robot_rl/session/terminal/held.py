"""Whether a key is held, where only its repeats are heard."""

from __future__ import annotations

from dataclasses import dataclass

FIRST_S = 0.55
"""A fresh press counts for so long: until its first repeat, which most systems send by then."""
REPEAT_S = 0.15
"""A repeat counts for so long; they come every 20 to 50 ms."""
AGAIN_S = 0.7
"""The same key within so long is a repeat, or cannot be told from one."""


@dataclass(slots=True)
class HeldKey:
    """The one key that counts as held. A terminal tells of presses and repeats, never of a rise.

    So a key that has risen still counts for `REPEAT_S` after its newest repeat, a tap for
    `FIRST_S`, and a second tap of the same key soon after it for `REPEAT_S`. Where the first
    repeat comes later than `FIRST_S`, or repeats come more than `REPEAT_S` apart, as over a slow
    line, a held key pauses. Only one key can be held: another one ends it. A page or a device has
    none of these limits.

    Attributes:
        key: that was pressed last; empty for none.
    """

    key: str = ""
    _heard_s: float = 0.0
    _until_s: float = 0.0
    _is_released: bool = True

    def press(self, key: str, when_s: float) -> None:
        """A key was pressed, or repeats; what was released while held must be pressed anew."""
        is_repeat = self.repeats(key, when_s)
        self.key, self._heard_s = key, when_s
        if not is_repeat:
            self._is_released = False
        self._until_s = when_s + (REPEAT_S if is_repeat else FIRST_S)

    def repeats(self, key: str, when_s: float) -> bool:
        """Whether a press of that key then would be a repeat."""
        return key == self.key and when_s - self._heard_s < AGAIN_S

    def release(self) -> None:
        """Let go of it, though it may go on repeating."""
        self._is_released = True

    def is_held(self, now_s: float) -> bool:
        """Whether it counts as held now."""
        return not self._is_released and now_s < self._until_s
