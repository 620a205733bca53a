"""A person's permission to drive: taken by touching the device, kept alive by being heard.

Not here: what the arm does while nobody holds it (`arbiter`).
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from robot_rl.core.clock import NS_PER_S
from robot_rl.core.protocol import OperatorInput

_LOG = logging.getLogger(__name__)
_KEPT_EVENTS = 1000


class LeaseChange(StrEnum):
    """What became of a person's lease."""

    TAKEN = "taken"
    RELEASED = "released"
    DEVICE_LOST = "device lost"
    DEAD_MAN = "dead-man"
    EPISODE_ENDED = "episode ended"
    BACK = "device back"
    GIVEN_BACK = "given back"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseEvent:
    """One change of a person's lease.

    Args:
        stamp_ns: by the clock of the control loop.
        operator: name of the person or device.
        detail: more on it, in words for a person; may be empty.
    """

    stamp_ns: int
    operator: str
    change: LeaseChange
    detail: str = ""


class OperatorLease:
    """Judges in each tick whether the person drives.

    The lease begins with activity and ends with a release, or when nothing was heard for
    `limit_s`. Whoever was lost has to be heard at rest before activity counts again, so that a
    device that comes back with its stick jammed moves nothing.

    Args:
        operator: name of the person or device.
        limit_s: silence of this length is borne.

    Attributes:
        held: the person drives.
        lost: nothing can be heard of the person, or the device has not been seen at rest since.
    """

    def __init__(self, operator: str, limit_s: float) -> None:
        self._operator = operator
        self._limit_s = limit_s
        self._events: deque[LeaseEvent] = deque(maxlen=_KEPT_EVENTS)
        self.held = False
        self.lost = False

    @property
    def events(self) -> tuple[LeaseEvent, ...]:
        """The newest changes, oldest first."""
        return tuple(self._events)

    def hear(self, said: OperatorInput | None, now_ns: int) -> None:
        """Judge what the person does in this tick; None if nobody could be asked."""
        if said is not None and (why := self._silence(said, now_ns)):
            self.lose(LeaseChange.DEAD_MAN, why, now_ns)
        elif said is not None and said.active:
            self._take(now_ns)
        else:
            self._rest(now_ns, heard=said is not None)

    def lose(self, change: LeaseChange, detail: str, now_ns: int) -> None:
        """The person can no longer be heard: the lease has ended."""
        if not self.lost:
            self.held, self.lost = False, True
            self.note(change, now_ns, detail)
            _LOG.warning("%s: %s; the arm is held", self._operator or "operator", detail)

    def end(self, change: LeaseChange, now_ns: int) -> None:
        """The lease has ended for another reason, if there was one."""
        if self.held:
            self.held = False
            self.note(change, now_ns)

    def note(self, change: LeaseChange, now_ns: int, detail: str = "") -> None:
        """Remember a change."""
        event = LeaseEvent(stamp_ns=now_ns, operator=self._operator, change=change, detail=detail)
        self._events.append(event)

    def _take(self, now_ns: int) -> None:
        if not self.held and not self.lost:
            self.held = True
            self.note(LeaseChange.TAKEN, now_ns)

    def _rest(self, now_ns: int, *, heard: bool) -> None:
        self.end(LeaseChange.RELEASED, now_ns)
        if self.lost and heard:
            self.lost = False
            self.note(LeaseChange.BACK, now_ns)

    def _silence(self, said: OperatorInput, now_ns: int) -> str:
        """Why the person counts as gone; empty if not."""
        if said.heard_ns is None:
            return ""
        age_ns = now_ns - said.heard_ns
        if age_ns < 0:
            return (
                f"heard {-age_ns / NS_PER_S:.3f} s from now: stamp what is received by the clock "
                "of the bench"
            )
        if age_ns > round(self._limit_s * NS_PER_S):
            return f"nothing heard for {age_ns / NS_PER_S:.3f} s, at most {self._limit_s:g} s"
        return ""
