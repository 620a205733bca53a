"""The live graph by ROS: the gate's word, the streams, and what is offered from the seat."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from robot_rl_msgs.msg import ActionStamped, ControlState, ExecutedAction, RewardStamped
from robot_rl_msgs.srv import SetControlSource

from robot_rl.core.clock import NS_PER_S, Clock
from robot_rl.core.errors import ContractError
from robot_rl.core.protocol import Judgement
from robot_rl.core.spec import TaskSpec
from robot_rl.core.types import GateReason, GateState, Outcome, Source, Vector
from robot_rl_nodes.conversion import vector_from
from robot_rl_nodes.graph.contract import Judged, Sample
from robot_rl_nodes.graph.message import action_message
from robot_rl_nodes.graph.period import GateTick
from robot_rl_nodes.graph.stream import GraphStreams
from robot_rl_nodes.managed_node import ManagedNode
from robot_rl_nodes.source import HeaderTime
from robot_rl_nodes.topic import (
    CONTROL_STATE,
    EXECUTED_ACTION,
    POLICY_ACTION,
    REWARD,
    TAKE_ACTOR_SEAT,
)

BEAT_S = 0.01
"""The gate hears a commander 100 times a second, also between two of its actions."""
_ANSWER_S = 1.0
"""A request for the seat that was not answered by then is sent anew."""
_SEEN_S = 0.5
"""Within this time after it was given, the gate tells that the seat is ours."""
_KEPT = 1000


class RosPort:
    """Implements `GraphPort`. Messages come in on the node's thread, the loop has its own.

    Args:
        node: that is being set up.
        task: whose actions are offered.
        streams: what is observed.

    Attributes:
        policy_id, policy_version: told with every action.
        newest: the gate's last tick that was heard; None before the first.
    """

    def __init__(self, node: ManagedNode, task: TaskSpec, streams: GraphStreams) -> None:
        self.clock: Clock = node.monotonic
        self.seated = self.ended = False
        self.refusal = self.policy_id = ""
        self.policy_version = 0
        self._node, self._task, self._streams = node, task, streams
        self._lock = threading.Lock()
        self._epoch = self._number = 0
        self._given_ns = self._asked_ns = 0
        self._seen = False
        self._pending: Any = None
        self._offered: ActionStamped | None = None
        self._frame = ""
        self.newest: GateTick | None = None
        self._ticks = deque[GateTick](maxlen=_KEPT)
        self._judged = deque[Judged](maxlen=_KEPT)
        self._time_of = HeaderTime(self.ros_now_ns, self.clock)
        self._actions = node.publish_on(POLICY_ACTION)
        self._client = node.create_client(SetControlSource, TAKE_ACTOR_SEAT)
        node.listen_to(EXECUTED_ACTION, self._hear_tick)
        node.listen_to(CONTROL_STATE, self._hear_control)
        node.listen_to(REWARD, self._hear_reward)
        node.every(BEAT_S, self._beat)

    def ros_now_ns(self) -> int:
        """See `GraphPort`."""
        return self._node.now_ns

    def samples(self) -> Mapping[str, Sample | None]:
        """See `GraphPort`."""
        return self._streams.samples()

    def complaints(self) -> Mapping[str, str]:
        """See `GraphPort`."""
        return self._streams.complaints()

    def ticks(self) -> Sequence[GateTick]:
        """See `GraphPort`."""
        return _drained(self._ticks)

    def judged(self) -> Sequence[Judged]:
        """See `GraphPort`."""
        return _drained(self._judged)

    def ask_seat(self) -> None:
        """See `GraphPort`."""
        now_ns = self.clock.now_ns()
        waits = self._pending is not None and not self._pending.done()
        if waits and now_ns - self._asked_ns < _ANSWER_S * NS_PER_S:
            return
        if not self._client.service_is_ready():
            self.refusal = f"nobody offers {TAKE_ACTOR_SEAT}: is the gate active?"
            return
        self._asked_ns = now_ns
        self._pending = self._client.call_async(self._request(SetControlSource.Request.TAKE))
        self._pending.add_done_callback(self._answered)

    def leave_seat(self) -> None:
        """See `GraphPort`."""
        with self._lock:
            was, self.seated, self._offered = self.seated, False, None
            # An answer that is still on its way is not for us any more.
            self._pending = None
        if was and self._client.service_is_ready():
            self._client.call_async(self._request(SetControlSource.Request.LEAVE))

    def offer(self, action: Vector | None, seen_ns: int = 0) -> None:
        """See `GraphPort`."""
        with self._lock:
            if not self.seated:
                return
            self._number += 1
            message = action_message(
                action,
                self._task.action,
                seq=(self._epoch << 32) | self._number,
                stamp_ns=self._node.now_ns,
                seen_ns=seen_ns,
            )
            message.header.frame_id = self._frame
            message.policy_id, message.policy_version = self.policy_id[:64], self.policy_version
            self._offered = message
            self._actions.publish(message)

    def close(self) -> None:
        """Let go of what the node does not let go of itself."""
        self.leave_seat()
        self._node.destroy_client(self._client)

    def _beat(self) -> None:
        with self._lock:
            if self._offered is not None:
                self._actions.publish(self._offered)

    def _request(self, request: int) -> SetControlSource.Request:
        return SetControlSource.Request(
            request=request, source=int(Source.POLICY), name=self._node.get_name()[:60]
        )

    def _answered(self, future: Any) -> None:
        response = future.result()
        mismatch = self._mismatch(response) if response.success else ""
        with self._lock:
            if future is not self._pending:
                wanted = False
            else:
                wanted = response.success and not mismatch
                self.refusal = mismatch or ("" if response.success else response.message)
            if wanted:
                self._epoch, self._number = int(response.epoch), 0
                self._given_ns, self._seen = self.clock.now_ns(), False
                self.seated = True
        if wanted:
            self.offer(None)
        elif response.success:
            self._client.call_async(self._request(SetControlSource.Request.LEAVE))

    def _mismatch(self, response: SetControlSource.Response) -> str:
        action = self._task.action
        names, period_s = tuple(response.action_names), float(response.period_s)
        if names == action.names and abs(period_s - action.period_s) < 1e-9:
            return ""
        return (
            f"the gate plays {', '.join(names)} every {period_s:g} s, the task has "
            f"{', '.join(action.names)} every {action.period_s:g} s; give both the same task"
        )

    def _hear_tick(self, message: ExecutedAction) -> None:
        self._frame = message.header.frame_id
        self.newest = GateTick(
            tick=int(message.tick),
            heard_ns=self.clock.now_ns(),
            source=Source(message.source),
            intervention_start=bool(message.intervention_start),
            state=GateState(message.state),
            reason=GateReason(message.reason),
            data=vector_from(message.data),
            travel=np.array(message.travel, np.float64),
        )
        self._ticks.append(self.newest)

    def _hear_control(self, message: ControlState) -> None:
        """The gate tells who sits there; what it said before it gave the seat is no news."""
        ours = message.actor == self._node.get_name()[:60]
        with self._lock:
            self._seen |= ours
            given_s = (self.clock.now_ns() - self._given_ns) / NS_PER_S
            if self.seated and not ours and (self._seen or given_s > _SEEN_S):
                self.seated, self._offered = False, None
                sits = f"{message.actor!r} sits there" if message.actor else "it took it away"
                self.refusal = f"{sits}; ask the gate why"

    def _hear_reward(self, message: RewardStamped) -> None:
        try:
            stamp_ns = self._time_of(message.header.stamp)
        except ContractError as error:
            self._node.get_logger().error(f"reward: {error}", throttle_duration_sec=5.0)
            return
        judgement = Judgement(reward=float(message.reward), outcome=Outcome(message.outcome))
        self._judged.append(Judged(judgement=judgement, stamp_ns=stamp_ns))


def _drained[T](queue: deque[T]) -> list[T]:
    """Take out what is in it, the oldest first."""
    return [queue.popleft() for _ in range(len(queue))]
