"""Leads nodes through their lives, one after the other; blocks, for a thread of its own.

Not here: how a node is spoken to (`lifecycle_client`), and in which order (`lifecycle_order`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from robot_rl.core.errors import HardwareError
from robot_rl_nodes.lifecycle.order import (
    ACTIVE,
    INACTIVE,
    UNCONFIGURED,
    Change,
    Finding,
    LifecycleOrder,
)

_LOOK_S = 2.0
"""How long a node may take to say where it stands before it counts as silent."""
_FIRST_S, _LONGEST_S = 1.0, 30.0
"""Between two attempts to bring a node up again; each time twice as long."""


class Lifecycles(Protocol):
    """Speaks to nodes."""

    def state(self, node: str, timeout_s: float) -> str | None:
        """Return the state's name; None if the node does not answer in time."""
        ...

    def change(self, node: str, change: Change, timeout_s: float) -> None:
        """Have a node make a transition.

        Raises:
            HardwareError: naming the node, if it does not answer in time or refuses.
        """
        ...


class LifecycleLead:
    """Brings nodes up, watches them, and brings them to rest.

    Args:
        nodes: by which they are spoken to.
        order: of the nodes.
        timeout_s: for a node to appear, and for each of its transitions [s].
        say: called with what a person should know.
        asked: whether to stop bringing up.
        now_s: tells the time, steadily [s].
    """

    def __init__(
        self,
        nodes: Lifecycles,
        order: LifecycleOrder,
        timeout_s: float,
        say: Callable[[str], None],
        asked: Callable[[], bool],
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._nodes = nodes
        self._order = order
        self._timeout_s = timeout_s
        self._say = say
        self._asked = asked
        self._now_s = now_s
        self._fallen: set[str] = set()
        self._raised_s: dict[str, float] = {}
        self._pause_s: dict[str, float] = {}

    def bring_up(self) -> bool:
        """Make all nodes active, stage by stage, once all of them are there.

        The first stage is what the others are set up for: it becomes active first. Whoever starts
        or opens something slowly does so before the next one becomes active, for that is the gate,
        from which on the arm's driver expects its commands in time.

        Returns:
            Whether all are; False if asked to stop on the way.

        Raises:
            HardwareError: naming the node that does not appear, or refuses.
        """
        stages = self._order.stages
        for _, nodes in stages:
            if not all(self._appeared(node) for node in nodes):
                return False
        for part in (stages[:1], stages[1:]):
            if not all(self._lift(node, INACTIVE) for _, nodes in part for node in nodes):
                return False
            for stage, nodes in part:
                if not all(self._lift(node, ACTIVE) for node in nodes):
                    return False
                self._say(f"{stage}: {', '.join(nodes)} active")
        return True

    def look(self) -> dict[str, str | None]:
        """Look at every node; bring up again those that may be.

        Returns:
            The state of each, None for one that does not answer.

        Raises:
            HardwareError: if one has fallen without which nothing goes on.
        """
        states = {node: self._nodes.state(node, _LOOK_S) for node in self._order.up}
        for node, state in states.items():
            finding = self._order.finding(node, state)
            if finding is None:
                self._fallen.discard(node)
                continue
            words = f"{node} {'does not answer' if state is None else f'is {state}'}"
            if finding is Finding.REST:
                raise HardwareError(f"{words}, and without it nothing goes on")
            if node not in self._fallen:
                self._say(f"{words}; the others go on")
                self._fallen.add(node)
            if finding is Finding.RAISE and self._may_try(node):
                states[node] = self._raise_again(node, state)
        return states

    def bring_down(self) -> None:
        """Bring to rest whoever is active, the gate last; nobody is waited for in vain."""
        for node in self._order.down:
            state = self._nodes.state(node, _LOOK_S)
            if state is None:
                self._say(f"{node} does not answer; it cannot be brought to rest")
            elif state == ACTIVE:
                try:
                    self._nodes.change(node, Change.DEACTIVATE, self._timeout_s)
                except HardwareError as error:
                    # The others are to come to rest all the same.
                    self._say(str(error))
                else:
                    self._say(f"{node} is at rest")

    def _lift(self, node: str, wanted: str) -> bool:
        """Bring a node to a state from below; False if asked to stop."""
        state = self._appeared(node)
        if state is None:
            return False
        if state == UNCONFIGURED:
            self._nodes.change(node, Change.CONFIGURE, self._timeout_s)
            state = INACTIVE
        if state == INACTIVE and wanted == ACTIVE:
            self._nodes.change(node, Change.ACTIVATE, self._timeout_s)
            state = ACTIVE
        if state not in (INACTIVE, ACTIVE):
            raise HardwareError(f"{node}: is {state}, expected unconfigured or inactive")
        return True

    def _appeared(self, node: str) -> str | None:
        """Wait for a node; None if asked to stop meanwhile."""
        end_s = self._now_s() + self._timeout_s
        while not self._asked():
            state = self._nodes.state(node, min(_LOOK_S, self._timeout_s))
            if state is not None:
                return state
            if self._now_s() > end_s:
                raise HardwareError(
                    f"{node}: did not appear within {self._timeout_s:g} s; has it been started, "
                    "and in this namespace?"
                )
        return None

    def _may_try(self, node: str) -> bool:
        """Whether it is time; what has held for long is tried at once when it falls again."""
        now_s = self._now_s()
        since_s = now_s - self._raised_s.get(node, float("-inf"))
        pause_s = self._pause_s.get(node, 0.0)
        if since_s < pause_s:
            return False
        again = since_s <= pause_s + _LONGEST_S
        self._pause_s[node] = min(2 * pause_s, _LONGEST_S) if again else _FIRST_S
        self._raised_s[node] = now_s
        return True

    def _raise_again(self, node: str, state: str | None) -> str | None:
        try:
            if state == UNCONFIGURED:
                self._nodes.change(node, Change.CONFIGURE, self._timeout_s)
            self._nodes.change(node, Change.ACTIVATE, self._timeout_s)
        except HardwareError as error:
            self._say(str(error))
            return self._nodes.state(node, _LOOK_S)
        self._say(f"{node} was brought up again")
        return ACTIVE
