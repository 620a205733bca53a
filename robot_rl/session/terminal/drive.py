"""What the motion keys want now; the dead-man is that this is told again and again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from robot_rl.session.mode import Mode, Verb
from robot_rl.session.terminal.held import HeldKey
from robot_rl.session.terminal.key import MOVES
from robot_rl.session.view import ActionView, View

PERIOD_S = 0.05
"""So often it is told, also that nothing is wanted: a sign of life."""
GRIPPER_S = 0.4
"""A tap on the gripper's key must still be seen by a slow control loop."""
ELEMENTS: Mapping[str, tuple[str, ...]] = {
    "x": ("dx", "x"),
    "y": ("dy", "y"),
    "z": ("dz", "z"),
    "yaw": ("rz", "yaw"),
    "gripper": ("gripper",),
}
"""An action's elements by what a key means."""


class Drive:
    """Makes the motion of the key that is held; see `HeldKey` for what held means here.

    Args:
        clock: seconds that only grow, those of the key presses.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held = HeldKey()
        self._action: ActionView | None = None
        self._speed = 0.0
        self._legal = self._allowed = False
        self._gripper: float | None = None
        self._gripper_until_s = 0.0

    @property
    def is_active(self) -> bool:
        """Whether something moves now."""
        now_s = self._clock()
        return self._allowed and (self._held.is_held(now_s) or now_s < self._gripper_until_s)

    @property
    def gripper_open(self) -> bool | None:
        """Whether the gripper is open, or is to open; None without one."""
        wanted = self._gripper if self._gripper is not None else self._executed_gripper
        return None if wanted is None else wanted > 0

    def update(self, view: View | None, is_live: bool) -> None:
        """Take what is shown; what is held when moving becomes impossible is let go of."""
        self._action = view.action if view is not None else None
        self._speed = view.key_speed if view is not None else 0.0
        legal = view.legal if view is not None else ()
        self._legal = is_live and Verb.TAKE_OVER in legal
        if not self._legal:
            self.release()
        # Who else drives may move the gripper: the next person goes on from where it is.
        mine = view is not None and view.mode in (Mode.HUMAN, Mode.HOLD)
        # What was toggled just now is not in any view yet.
        if not mine and self._clock() >= self._gripper_until_s:
            self._gripper = None
        # In an episode's first instant nobody knows yet what the gripper does: keys wait for that.
        self._allowed = self._legal and self._action is not None

    def press(self, key: str, when_s: float) -> None:
        """A key of `MOVES` was pressed or repeats."""
        self._held.press(key, when_s)
        if not self._legal:
            self._held.release()

    def toggle_gripper(self) -> None:
        """Open the gripper, or close it."""
        if not self._allowed or self.gripper_open is None:
            return
        self._gripper = -1.0 if self.gripper_open else 1.0
        self._gripper_until_s = self._clock() + GRIPPER_S

    def release(self) -> None:
        """Let go of everything: what goes on repeating moves nothing until it is pressed anew."""
        self._held.release()
        self._gripper_until_s = 0.0

    def motion(self) -> tuple[bool, tuple[float, ...]]:
        """Return whether something is held, and the action [-1, 1] that is wanted."""
        names = self._action.names if self._action is not None else ()
        action = [0.0] * len(names)
        if not self.is_active:
            return False, tuple(action)
        if self._held.is_held(self._clock()):
            element, sign = MOVES[self._held.key]
            if (at := self._index(element)) is not None:
                action[at] = sign * self._speed
        if (at := self._index("gripper")) is not None:
            wanted = self._gripper if self._gripper is not None else self._executed_gripper
            action[at] = max(-1.0, min(1.0, wanted or 0.0))
        return True, tuple(action)

    @property
    def _executed_gripper(self) -> float | None:
        at = self._index("gripper")
        if at is None or self._action is None or at >= len(self._action.executed):
            return None
        return self._action.executed[at]

    def _index(self, element: str) -> int | None:
        names = self._action.names if self._action is not None else ()
        found = (i for i, name in enumerate(names) if name in ELEMENTS[element])
        return next(found, None)
