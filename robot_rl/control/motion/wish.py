"""Shapes what is asked for, so that the motion law has as little as possible to take away."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from robot_rl.control.clearance import ROUNDING, braking_speed
from robot_rl.control.motion.bend import Bent, graver
from robot_rl.control.motion.bound import Bounds
from robot_rl.control.motion.stop_plan import TOLERANCE, Part, plan_stop
from robot_rl.core.types import GateReason

_AHEAD = 2.0
"""Times the longest way to rest; nothing has to be slowed for an end that is farther away."""
_RESERVE = 0.6
"""Share of the greatest change with which one component is slowed while the others go on."""


class Wish:
    """Brings a command within speed, acceleration, jerk and room, each by itself.

    Args:
        parts: cover the command, without the gripper.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = tuple(parts)
        self._still = [0.0] * self._parts[-1].end
        fastest = list(self._still)
        for part in self._parts:
            fastest[part.start] = part.step
        self._far = _AHEAD * self._way(fastest)

    def approach(self, wanted: Sequence[float], last: Sequence[float]) -> Bent:
        """Limit acceleration, then speed, on the way from the last command to the one wanted.

        The change is such that it can be taken back by the time the wanted command is reached:
        the law of braking again, with jerk for acceleration.
        """
        step, reason = list(wanted), GateReason.PASSED
        for part in self._parts:
            change = [wanted[i] - last[i] for i in range(part.start, part.end)]
            size = math.hypot(*change)
            most = min(part.change, _landing(size, part.jerk))
            if size > most:
                factor = most / size
                for i, c in enumerate(change, part.start):
                    step[i] = last[i] + factor * c
                landing = most < part.change
                reason = graver(reason, GateReason.JERK if landing else GateReason.ACCELERATION)
            size = part.norm(step)
            if size > part.step:
                factor = part.step / size
                for i in range(part.start, part.end):
                    step[i] *= factor
                reason = graver(reason, GateReason.VELOCITY)
        return step, reason

    def leave_room(self, wish: list[float], last: list[float], bounds: Bounds) -> Bent:
        """Shorten what would run out of room before the whole arm is at rest, and that alone."""
        components: list[float] = (bounds.free @ wish).tolist()
        rooms = [
            max(ahead if x > 0.0 else behind, 0.0)
            for x, ahead, behind in zip(components, bounds.ahead, bounds.behind, strict=False)
        ]
        close = [
            row
            for row, (x, room) in enumerate(zip(components, rooms, strict=True))
            if abs(x) * self._far > room
        ]
        if not close:
            return wish, GateReason.PASSED
        way, given, reason = self._way(wish), np.array(wish), GateReason.PASSED
        for row in close:
            x, normal, part = components[row], bounds.free[row], self._parts[bounds.owners[row]]
            others = given - x * normal
            most = _speed_beside(rooms[row], part.change, way)
            if abs(x) > most and np.abs(others).max() > ROUNDING:
                before = float(normal @ last)
                change = _landing(math.copysign(most, x) - before, part.jerk)
                given, reason = others + (before + change) * normal, bounds.why[row]
        return given.tolist(), reason

    def limit_jerk(self, wish: list[float], last: list[float], last_change: list[float]) -> Bent:
        """Limit acceleration and jerk at once, by what lies between two allowed changes."""
        step, reason = list(wish), GateReason.PASSED
        for part in self._parts:
            span = range(part.start, part.end)
            change = [wish[i] - last[i] for i in span]
            size = math.hypot(*change)
            if size > part.change:
                change = [part.change / size * c for c in change]
            turn = [c - last_change[i] for i, c in zip(span, change, strict=True)]
            jerk = math.hypot(*turn)
            if jerk > part.jerk * (1.0 + TOLERANCE):
                reason = GateReason.JERK
                factor = part.jerk / jerk
                change = [last_change[i] + factor * t for i, t in zip(span, turn, strict=True)]
            elif size <= part.change * (1.0 + TOLERANCE):
                continue
            for i, c in zip(span, change, strict=True):
                step[i] = last[i] + c
        return step, reason

    def _way(self, step: Sequence[float]) -> float:
        """How many times a command it is to rest, at most; jerk makes what follows lag behind."""
        plan = plan_stop(step, self._still, self._parts)
        return plan.reach[0] + plan.smooth - 1


def _speed_beside(room: float, change: float, way: float) -> float:
    """How fast one may go towards an end while the rest of the command goes on as it is.

    All of it comes to rest together, so a component may not be more than room / way. It must be
    that slow by the time at which to follow this law takes a greater change than there is: then
    it is change * way.

    Args:
        room: to the end.
        change: greatest, of the component from one command to the next.
        way: of the whole command, in times itself.
    """
    change *= _RESERVE + (1.0 - _RESERVE) / way
    if room <= change * way**2:
        return room / way
    return braking_speed(room - change * way * (way - 1.0) / 2.0, change, 1.0)


def _landing(change: float, jerk: float) -> float:
    """As much of a change as can be taken back by the time all of it is made."""
    size = abs(change)
    return change if size <= jerk else math.copysign(braking_speed(size, jerk, 1.0), change)
