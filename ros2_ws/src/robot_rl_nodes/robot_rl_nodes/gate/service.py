"""What is asked of the gate by services, and how it is answered."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from robot_rl.core.errors import ContractError
from robot_rl.runtime.gate.message import Clear, Resume, Stop
from robot_rl.runtime.gate.server import GateServer
from robot_rl_nodes.gate.desk import Asker, Entrance, TopicDesk

_LOG = logging.getLogger(__name__)
_TAKE = 1
_RESUME = 1
_MOST_NAME = 60


class GateServices:
    """Answers at once; nobody waits for a tick.

    Args:
        desk: with the seats.
        server: the gate that is there now.
        publishers_on: names of the nodes that publish a topic, in words.
    """

    def __init__(
        self,
        desk: TopicDesk,
        server: Callable[[], GateServer],
        publishers_on: Callable[[str], str],
    ) -> None:
        self._desk = desk
        self._server = server
        self._publishers_on = publishers_on

    def seat(self, entrance: Entrance) -> Callable[[Any, Any], Any]:
        """Return what answers `SetControlSource` for the seat of an entrance."""

        def answer(request: Any, response: Any) -> Any:
            try:
                if request.request == _TAKE:
                    names = self._publishers_on(entrance.topic)
                    response.epoch = self._desk.ask(
                        entrance,
                        int(request.source),
                        str(request.name),
                        names,
                        int(request.means),
                    )
                else:
                    self._desk.leave(entrance, str(request.name))
            except ContractError as error:
                response.success, response.message = False, str(error)
                return response
            action = self._desk.action
            response.success = True
            response.action_names, response.period_s = list(action.names), float(action.period_s)
            return response

        return answer

    def stop(self, request: Any, response: Any) -> Any:
        """Answer `Trigger`: latch STOP, for anybody."""
        self._server().obey(Asker("gate/stop"), Stop(cause="somebody called gate/stop"))
        response.success = True
        return response

    def clear(self, request: Any, response: Any) -> Any:
        """Answer `ClearStop`.

        Success says that the gate will follow, in its next tick, or once the robot has recovered
        within a second; safety/state has the outcome.
        """
        by, cause = str(request.by).strip(), str(request.cause)
        asker = Asker(by)
        if not 1 <= len(by) <= _MOST_NAME:
            asker.refuse("clear", "by: expected the name of the person who has looked at the arm")
        elif request.request == _RESUME:
            self._server().obey(asker, Resume(by=by))
        else:
            self._server().obey(asker, Clear(by=by, cause=cause))
        response.success, response.message = not asker.refusal, asker.refusal
        return response


class Recovery:
    """Asks the robot to obey again, one call at a time.

    Args:
        client: of robot/recover, a `std_srvs/Trigger`.
        request: makes its request.
    """

    def __init__(self, client: Any, request: Callable[[], Any]) -> None:
        self._client = client
        self._request = request
        self._asked: Any = None

    def __call__(self) -> None:
        """Ask, unless an answer is still awaited."""
        if self._asked is not None and not self._asked.done():
            return
        if not self._client.service_is_ready():
            _LOG.error("nobody offers %s", self._client.srv_name)
            return
        self._asked = self._client.call_async(self._request())
        self._asked.add_done_callback(self._answered)

    def _answered(self, future: Any) -> None:
        answer = future.result()
        if not answer.success:
            _LOG.error("%s: %s", self._client.srv_name, answer.message)
