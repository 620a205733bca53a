"""The person's seat at the gate: asked for until it is given, asked for again if it is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from robot_rl_msgs.msg import ControlState
from robot_rl_msgs.srv import SetControlSource

from robot_rl.core.clock import NS_PER_S
from robot_rl.core.errors import ConfigError
from robot_rl.core.types import Source
from robot_rl_nodes.diagnostic import Level
from robot_rl_nodes.managed_node import ManagedNode
from robot_rl_nodes.topic import CONTROL_STATE, TAKE_PERSON_SEAT

_MOST_NAME = 60
_AGAIN_NS = NS_PER_S
_SEEN_NS = NS_PER_S // 2
"""Within this time after it was given, the gate tells who sits there."""


class PersonSeat:
    """Keeps the seat while the node is active.

    Args:
        node: that is being set up.
        name: shown to people.
        given: called with the epoch and the count of an action's elements.
        means: with what the person commands, a constant of `SetControlSource.Request`.

    Attributes:
        taken: the person sits there.
        complaint: why the person does not, in words; empty if they do or nobody has answered yet.

    Raises:
        ConfigError: if the name is too long for the gate.
    """

    def __init__(
        self,
        node: ManagedNode,
        name: str,
        given: Callable[[int, int], None],
        means: int = SetControlSource.Request.DEVICE,
    ) -> None:
        if len(name) > _MOST_NAME:
            raise ConfigError(f"name {name!r}: expected at most {_MOST_NAME} characters")
        self.taken = False
        self.complaint = ""
        self._node, self._name, self._given, self._means = node, name, given, means
        self._pending: Any = None
        self._asked_ns = -_AGAIN_NS
        self._given_ns = 0
        self._client = client = node.create_client(SetControlSource, TAKE_PERSON_SEAT)
        node.when_unmade(lambda: node.destroy_client(client))
        node.listen_to(CONTROL_STATE, self._hear)

    def keep(self) -> None:
        """Ask for the seat, once a second, unless it is taken."""
        now_ns = self._node.monotonic.now_ns()
        if self.taken or now_ns - self._asked_ns < _AGAIN_NS:
            return
        self._asked_ns = now_ns
        if not self._client.service_is_ready():
            self._tell(Level.WARN, f"nobody offers {TAKE_PERSON_SEAT}: is the gate active?")
            return
        self._pending = self._client.call_async(self._request(SetControlSource.Request.TAKE))
        self._pending.add_done_callback(self._answered)

    def leave(self) -> Any:
        """Give the seat back; return the future of the gate's answer, None if it is not asked."""
        was, self.taken, self._pending = self.taken, False, None
        self._asked_ns = -_AGAIN_NS
        self._tell(Level.OK, "left")
        if was and self._client.service_is_ready():
            return self._client.call_async(self._request(SetControlSource.Request.LEAVE))
        return None

    def _request(self, request: int) -> SetControlSource.Request:
        return SetControlSource.Request(
            request=int(request),
            source=int(Source.HUMAN),
            name=self._name,
            means=int(self._means),
        )

    def _answered(self, future: Any) -> None:
        response = future.result()
        if future is not self._pending:
            # It was left, or asked for anew, in the meantime.
            if response.success and not self.taken and self._pending is None:
                self._client.call_async(self._request(SetControlSource.Request.LEAVE))
            return
        if not response.success:
            self._tell(Level.ERROR, f"the gate refuses the seat: {response.message}")
            return
        self._given(int(response.epoch), len(response.action_names))
        self._given_ns = self._node.monotonic.now_ns()
        self.taken = True
        self._tell(Level.OK, "taken")

    def _hear(self, state: ControlState) -> None:
        # What the gate said before it gave the seat is no news.
        age_ns = self._node.monotonic.now_ns() - self._given_ns
        if self.taken and state.person != self._name and age_ns > _SEEN_NS:
            self.taken = False
            sits = f"{state.person!r} sits there" if state.person else "it was taken away"
            self._tell(Level.ERROR, f"the seat is lost: {sits}")

    def _tell(self, level: Level, words: str) -> None:
        self.complaint = "" if level == Level.OK else words
        self._node.diagnostics.set("seat", level, words)
