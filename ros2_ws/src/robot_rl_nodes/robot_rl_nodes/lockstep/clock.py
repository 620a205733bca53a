"""Simulated time behind topics: who sleeps on it lets the simulator go on, and hears it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from builtin_interfaces.msg import Time
from robot_rl_msgs.srv import AdvanceClock

from robot_rl.core.errors import HardwareError
from robot_rl_nodes.conversion import ns_from_stamp, stamp_from_ns
from robot_rl_nodes.lockstep.inbox import Inbox
from robot_rl_nodes.lockstep.link import LockstepLink
from robot_rl_nodes.lockstep.wire import JUDGEMENT
from robot_rl_nodes.topic import SIM_ADVANCE


class LockstepClock:
    """Implements `core.clock.Clock`, and knows all that was said of the present instant.

    Args:
        link: into the graph.
        inbox: where the streams are heard.
        limit_s: how long the streams of an instant may be waited for [s].

    Attributes:
        commands: how many were sent; the simulator waits until it has heard all of them.
    """

    def __init__(self, link: LockstepLink, inbox: Inbox, *, limit_s: float) -> None:
        self.commands = 0
        self._link = link
        self._inbox = inbox
        self._limit_s = limit_s
        self._now_ns = 0
        self._present: Mapping[str, Any] = {}
        self._streams: tuple[str, ...] = ()
        self._settled = 0
        self._advance = link.client(AdvanceClock, SIM_ADVANCE)

    def connect(self, streams: Sequence[str]) -> None:
        """Let the simulator greet until every stream, and what judges, is connected.

        Raises:
            HardwareError: naming the streams that stay silent.
        """
        self._streams = tuple(streams)
        missing = {*streams, JUDGEMENT}
        self._link.until(self._advance.service_is_ready, SIM_ADVANCE, self._limit_s)

        def greeted() -> bool:
            missing.difference_update(self._inbox.greeted())
            if missing:
                self._ask(0)
            return not missing

        try:
            self._link.until(greeted, "a stream", self._limit_s)
        except HardwareError as error:
            silent = ", ".join(sorted(missing))
            raise HardwareError(f"the simulator is there, but not its {silent}") from error

    def now_ns(self) -> int:
        """Simulated time of the present instant [ns]."""
        return self._now_ns

    def sleep_until_ns(self, deadline_ns: int) -> None:
        """Let the simulator go on until the deadline [ns], and hear all of that instant.

        Raises:
            HardwareError: if the simulator fails, ends, or one of its streams stays silent.
        """
        if deadline_ns > self._now_ns:
            now_ns = ns_from_stamp(self._ask(deadline_ns).now)
            self._hear(now_ns, (*self._streams, JUDGEMENT))

    def settle(self) -> None:
        """Wait until the simulator has heard every command: what is asked next comes after."""
        if self._settled != self.commands:
            self._ask(0)

    def forget(self) -> None:
        """An episode is over: nothing is known, and nothing that was said of it counts."""
        self._present = {}
        self._inbox.forget()

    def begin(self, now_ns: int) -> None:
        """Hear the first instant of an episode, which nobody judges."""
        self._hear(now_ns, self._streams)

    def said(self, stream: str) -> Any:
        """What a stream says of the present instant.

        Raises:
            HardwareError: if that is not known.
        """
        if stream not in self._present:
            raise HardwareError(f"nothing is known of {stream!r}: reset the scene first")
        return self._present[stream]

    def _hear(self, now_ns: int, streams: tuple[str, ...]) -> None:
        self._present = self._inbox.wait(streams, now_ns, self._limit_s)
        self._now_ns = now_ns

    def _ask(self, until_ns: int) -> Any:
        commands = self.commands
        request = AdvanceClock.Request(until=stamp_from_ns(until_ns, Time()), commands=commands)
        answer = self._link.ask(self._advance, request)
        self._settled = commands
        return answer
