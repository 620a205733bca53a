"""The correction session in the graph: its commands as a service, what it shows as a topic.

One more client of the page that the session serves. What is legal when, the session decides.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.task import Future
from robot_rl_msgs.srv import SessionCommand

from robot_rl.core.errors import HardwareError, RobotRlError
from robot_rl.session.client.line import STALE_S, Status
from robot_rl.session.command import Answer
from robot_rl.session.mode import Verb
from robot_rl.session.view import View
from robot_rl_nodes.diagnostic import Level
from robot_rl_nodes.managed_node import ManagedNode
from robot_rl_nodes.process import main
from robot_rl_nodes.session.address import ADDRESS_FILE, session_address
from robot_rl_nodes.session.link import SessionLink, silence
from robot_rl_nodes.session.message import arguments_from, state_message, verb_from
from robot_rl_nodes.topic import SESSION_COMMAND, SESSION_STATE

_LOOK_S = 0.05
_REPEAT_NS = 1_000_000_000
_END_S = 3.0


class SessionNode(ManagedNode):
    """Serves `session/command`, and tells of the session on `session/state`."""

    PARAMETERS = (ADDRESS_FILE,)

    def __init__(self, **of: Any) -> None:
        super().__init__("session", **of)
        self._link: SessionLink | None = None

    def setup(self, values: Mapping[str, Any]) -> None:
        """See `ManagedNode`."""
        self._file = values["address_file"]
        session_address(self._file)
        self._states = self.publish_on(SESSION_STATE)
        # In a group where calls do not wait for each other: a stop comes in between.
        service = self.create_service(
            SessionCommand, SESSION_COMMAND, self._command, callback_group=ReentrantCallbackGroup()
        )
        self.when_unmade(lambda: self.destroy_service(service))
        self.every(_LOOK_S, self._look)

    def begin(self) -> None:
        """Reach for the session; its address may be another one than last time."""
        address = session_address(self._file)
        self._view: View | None = None
        self._was_live = False
        self._place = address.place
        self._link = SessionLink(address)
        self._tell_state(self._link.status)

    def rest(self) -> None:
        """Leave the session; that nothing is heard any more still goes out."""
        link, self._link = self._link, None
        if link is None:
            return
        if not link.close(_END_S):
            self.get_logger().error(f"the line to the session has not ended within {_END_S:g} s")
        at_rest = Status(is_live=False, silent_s=link.status.silent_s, words="the node is at rest")
        self._tell_state(at_rest)
        self.diagnostics.clear("session")

    def _look(self) -> None:
        assert self._link is not None
        if self._link.error is not None:
            raise self._link.error
        status = self._link.status
        for view in self._link.views():
            self._view = view
            self._tell_state(status)
        silent_ns = self.monotonic.now_ns() - self._told_ns
        if status.is_live != self._was_live or (not status.is_live and silent_ns > _REPEAT_NS):
            self._tell_state(status)
        self._report(status)

    def _tell_state(self, status: Status) -> None:
        self._told_ns = self.monotonic.now_ns()
        message = state_message(self._view, status)
        message.header.stamp = self.get_clock().now().to_msg()
        self._states.publish(message)

    def _report(self, status: Status) -> None:
        if status.is_live and self._view is not None:
            words = ": ".join(filter(None, (self._view.mode.value, self._view.why)))
            self.diagnostics.set("session", Level.OK, words, silent_s=f"{status.silent_s:.3f}")
            if not self._was_live:
                self.get_logger().info(f"the session at {self._place} is heard")
        else:
            lost = status.silent_s > STALE_S
            self.diagnostics.set("session", Level.ERROR if lost else Level.WARN, silence(status))
            if lost:
                self.get_logger().error(silence(status), throttle_duration_sec=10.0)
        self._was_live = status.is_live

    async def _command(self, request: Any, response: Any) -> Any:
        try:
            answer = await self._asked(request)
            response.success, response.message = answer.done, answer.words
        except RobotRlError as error:
            response.success, response.message = False, str(error)
        except Exception as error:  # noqa: BLE001 - told to whoever asked
            self.get_logger().error(f"{SESSION_COMMAND}: {traceback.format_exc()}")
            response.success, response.message = False, f"{type(error).__name__}: {error}"
        return response

    async def _asked(self, request: Any) -> Answer:
        if self._link is None:
            raise HardwareError(f"{self.get_name()} is not active")
        verb = verb_from(request)
        # A stop is not refused for what comes with it.
        arguments = {} if verb == Verb.STOP else arguments_from(request)
        self.get_logger().info(f"{verb}, asked for by {request.by or 'somebody'}")
        waiting = Future()
        self._link.ask(verb, arguments, waiting.set_result, int(request.view))
        answer: Any = await waiting
        return answer


if __name__ == "__main__":
    raise SystemExit(main(lambda context: SessionNode(context=context)))
