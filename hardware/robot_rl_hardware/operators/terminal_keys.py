"""Keys of a terminal: which bytes they send, and for how long one counts as held. Pure.

A terminal tells when a key is pressed and repeats it while it is held; it does not tell the
release. So a key counts as held for a moment after each time that it came.
"""

from __future__ import annotations

from collections.abc import Mapping

from robot_rl.core.clock import NS_PER_S
from robot_rl_hardware.operators.buttons import Word
from robot_rl_hardware.operators.listener import Held

MOTION: Mapping[str, tuple[int, float]] = {
    "Up": (0, 1.0),
    "Down": (0, -1.0),
    "Left": (1, 1.0),
    "Right": (1, -1.0),
    "PageUp": (2, 1.0),
    "PageDown": (2, -1.0),
    "[": (5, 1.0),
    "]": (5, -1.0),
}
"""Forward, back, left, right, up, down, and turning to the left and right about z."""

COMMANDS: Mapping[str, Word] = {
    "g": "gripper",
    "Space": "take_over",
    "Enter": "give_back",
    "s": "success",
    "f": "failure",
    "x": "re_record",
    "p": "pause",
    "Escape": "stop",
}
"""As on the session's page."""

_ESCAPE = 0x1B
_SEQUENCES = {
    b"[A": "Up",
    b"[B": "Down",
    b"[C": "Right",
    b"[D": "Left",
    b"OA": "Up",
    b"OB": "Down",
    b"OC": "Right",
    b"OD": "Left",
    b"[5~": "PageUp",
    b"[6~": "PageDown",
}
_LONGEST = 16
_NAMES = {" ": "Space", "\r": "Enter", "\n": "Enter"}


class Decoder:
    """Takes bytes apart into names of keys."""

    def __init__(self) -> None:
        self._rest = b""

    def take(self, data: bytes) -> list[str]:
        """Return the keys that `data` completes; unknown ones are left out.

        Empty `data` says that nothing more came for a moment: an escape that waits for its
        sequence was the key Escape then. A connection that tears a sequence apart so stops the
        arm, which is the safe way to be wrong.
        """
        keys: list[str] = []
        buffer = self._rest + data
        while buffer:
            key, used = self._next(buffer, ended=not data)
            if used == 0:
                break
            keys += [key] if key else []
            buffer = buffer[used:]
        self._rest = buffer
        return keys

    def _next(self, buffer: bytes, *, ended: bool) -> tuple[str, int]:
        """The first key, empty if it means nothing, and its bytes; 0 if more have to come."""
        if buffer[0] != _ESCAPE:
            character = chr(buffer[0]).lower() if buffer[0] < 0x80 else ""
            return _NAMES.get(character, character), 1
        if buffer[1:2] not in (b"[", b"O"):
            return ("Escape", 1) if len(buffer) > 1 or ended else ("", 0)
        for length in range(2, min(len(buffer), _LONGEST)):
            # A sequence ends with a letter or a tilde.
            if buffer[length : length + 1].isalpha() or buffer[length : length + 1] == b"~":
                return _SEQUENCES.get(buffer[1 : length + 1], ""), length + 1
        # Something that never ends is taken for the key that stops the arm.
        return ("Escape", len(buffer)) if ended or len(buffer) > _LONGEST else ("", 0)


class Keys:
    """Which keys are held now.

    Args:
        tap_s: a key that came once counts as held for so long.
        repeat_s: one that came again, within `again_s`.
        again_s: a command's key that comes again within this time is still held; longer than a
            keyboard waits before it repeats a key.
    """

    def __init__(self, tap_s: float, repeat_s: float, again_s: float) -> None:
        self._tap_ns = round(tap_s * NS_PER_S)
        self._repeat_ns = round(repeat_s * NS_PER_S)
        self._again_ns = round(again_s * NS_PER_S)
        self._last_ns: dict[str, int] = {}
        self._until_ns: dict[str, int] = {}

    def press(self, key: str, now_ns: int) -> None:
        """The key came now."""
        last_ns, self._last_ns[key] = self._last_ns.get(key), now_ns
        again = last_ns is not None and now_ns - last_ns < self._again_ns
        motion_ns = self._repeat_ns if again else self._tap_ns
        self._until_ns[key] = now_ns + (motion_ns if key in MOTION else self._again_ns)

    def held(self, now_ns: int) -> Held:
        """What is held now."""
        axes = [0.0] * 6
        down = frozenset(key for key, until_ns in self._until_ns.items() if now_ns < until_ns)
        for key in down & MOTION.keys():
            element, way = MOTION[key]
            axes[element] += way
        return Held(tuple(axes), down & COMMANDS.keys())
