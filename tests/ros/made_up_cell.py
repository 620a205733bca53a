"""A gate that obeys whoever has a seat, and a robot that can be sent to its start: no process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from rclpy.action.server import ActionServer, CancelResponse
from rclpy.task import Future
from robot_rl_msgs.action import ResetRobot
from robot_rl_msgs.msg import (
    ActionStamped,
    ControlState,
    ExecutedAction,
    NamedVector,
    RewardStamped,
    RobotState,
    SafetyState,
)
from robot_rl_msgs.srv import ClearStop, SetControlSource
from std_srvs.srv import Trigger

from robot_rl.core.spec import JOINT_POSITION, ActionSpec, ObservationSpec, TaskSpec, VectorSpec
from robot_rl.core.types import GateReason, GateState, Outcome, Source
from robot_rl_nodes import topic
from robot_rl_nodes.conversion import float32s, float64s, vector_from

TASK = TaskSpec(
    name="reach",
    horizon=20,
    observation=ObservationSpec(
        vectors={JOINT_POSITION: VectorSpec(names=("a", "b"), unit="rad")}
    ),
    action=ActionSpec(kind="joint_delta", names=("a", "b"), scale=(0.1, 0.1), period_s=0.1),
)


class Cell:
    """What the graph of a cell is to a run.

    Attributes:
        person: somebody drives from a seat of the gate's own, whatever is said here.
        rests: after a person has let go the gate waits for a person's word.
        deaf: a stop is not taken; `silent`: nothing is said.
        reset_s: how long the way to the start takes.
    """

    def __init__(self, graph: Any) -> None:
        self.graph = graph
        self.node = graph.plain("cell")
        self.state, self.cause, self.person = GateState.RUN, "", False
        self.name, self.person_name, self.epoch, self.ticks = "", "", 0, 0
        self.refuses_person, self.means = "", -1
        self.travel = np.zeros(2)
        self.command: ActionStamped | None = None
        self.word: ActionStamped | None = None
        self.rests = self.deaf = self.silent = False
        self.cleared: list[tuple[int, str, str]] = []
        self.stops = 0
        self.seeds: list[int] = []
        self.reset_s, self.cancelled = 0.0, 0
        self.executed = self._out(topic.EXECUTED_ACTION)
        self.control = self._out(topic.CONTROL_STATE)
        self.safety = self._out(topic.SAFETY_STATE)
        self.robot = self._out(topic.ROBOT_STATE)
        self.reward = self._out(topic.REWARD)
        self._hear(topic.POLICY_ACTION, "command")
        self._hear(topic.PERSON_ACTION, "word")
        self.node.create_service(SetControlSource, topic.TAKE_ACTOR_SEAT, self.seat)
        self.node.create_service(SetControlSource, topic.TAKE_PERSON_SEAT, self.person_seat)
        self.node.create_service(Trigger, topic.GATE_STOP, self.stop)
        self.node.create_service(ClearStop, topic.GATE_CLEAR, self.clear)
        self.resets = ActionServer(
            self.node,
            ResetRobot,
            topic.ROBOT_RESET,
            self.reset,
            cancel_callback=lambda goal: CancelResponse.ACCEPT,
        )
        self.node.create_timer(0.02, self.tick)

    def _out(self, of: topic.Topic) -> Any:
        return self.node.create_publisher(of.type, of.name, of.quality.published)

    def _hear(self, of: topic.Topic, name: str) -> None:
        self.node.create_subscription(
            of.type, of.name, lambda message: setattr(self, name, message), of.quality.subscribed
        )

    def seat(self, request: Any, response: Any) -> Any:
        taken = request.request == SetControlSource.Request.TAKE
        self.name = request.name if taken else ""
        return self._given(response, taken)

    def person_seat(self, request: Any, response: Any) -> Any:
        taken = request.request == SetControlSource.Request.TAKE
        if self.refuses_person:
            response.success, response.message = False, self.refuses_person
            return response
        self.person_name = request.name if taken else ""
        self.means = int(request.means)
        return self._given(response, taken)

    def _given(self, response: Any, taken: bool) -> Any:
        self.epoch += taken
        response.success, response.epoch = True, self.epoch
        response.action_names, response.period_s = ["a", "b"], 0.1
        return response

    def stop(self, request: Any, response: Any) -> Any:
        self.stops += 1
        if not self.deaf:
            self.state, self.cause = GateState.STOP, "somebody called gate/stop"
        response.success = not self.deaf
        return response

    def clear(self, request: Any, response: Any) -> Any:
        self.cleared.append((int(request.request), request.by, request.cause))
        if request.request == ClearStop.Request.RESUME:
            self.rests = False
            response.success = True
            return response
        response.success = request.cause == self.cause
        response.message = "" if response.success else f"read the cause: {self.cause}"
        if response.success:
            self.state, self.cause = GateState.RUN, ""
        return response

    async def reset(self, goal: Any) -> ResetRobot.Result:
        self.seeds.append(int(goal.request.seed))
        ticks = self.ticks + self.reset_s / 0.02
        while self.ticks < ticks and not goal.is_cancel_requested:
            await self._rest(0.02)
        if goal.is_cancel_requested:
            self.cancelled += 1
            goal.canceled()
            return ResetRobot.Result(success=False, message="called off")
        goal.succeed()
        return ResetRobot.Result(success=True)

    async def _rest(self, seconds: float) -> None:
        over = Future()
        timer = self.node.create_timer(seconds, lambda: over.set_result(None))
        await over
        self.node.destroy_timer(timer)

    def tick(self) -> None:
        if self.silent:
            return
        source, wanted = self._decide()
        self.ticks += 1
        self.travel += 0.2 * wanted
        now = self.node.get_clock().now().to_msg()
        executed = ExecutedAction(
            tick=self.ticks,
            source=int(source),
            state=int(self.state),
            reason=int(GateReason.PASSED),
            data=float32s(wanted),
            travel=float64s(self.travel),
        )
        executed.header.stamp = now
        self.executed.publish(executed)
        self.control.publish(ControlState(actor=self.name, person=self.person_name))
        self.safety.publish(SafetyState(state=int(self.state), cause=self.cause))
        state = RobotState(vectors=[NamedVector(key=JOINT_POSITION, data=float32s(self.travel))])
        state.header.stamp = now
        self.robot.publish(state)

    def _decide(self) -> tuple[Source, Any]:
        if self.person:
            return Source.HUMAN, np.ones(2, np.float32)
        if self.state == GateState.RUN:
            if self.person_name and self.word and self.word.active:
                self.rests = True
                return Source.HUMAN, vector_from(self.word.data)
            if self.name and self.command and self.command.active and not self.rests:
                return Source.POLICY, vector_from(self.command.data)
        return Source.HOLD, np.zeros(2, np.float32)

    def judge(self, outcome: Outcome) -> None:
        message = RewardStamped(reward=1.0, outcome=int(outcome))
        message.header.stamp = self.node.get_clock().now().to_msg()
        self.reward.publish(message)

    def during[T](self, work: Callable[[], T]) -> T:
        """Do something that waits for this cell, while it lives on."""
        result: list[T] = []
        raised: list[BaseException] = []

        def run() -> None:
            try:
                result.append(work())
            except BaseException as error:  # noqa: BLE001 - raised again below
                raised.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            self.graph.until(lambda: not thread.is_alive(), 60.0)
        finally:
            # Two lines into DDS that are destroyed at the same time may wait for each other for
            # ever, github.com/eProsima/Fast-DDS/issues/6193.
            thread.join(30.0)
        if raised:
            raise raised[0]
        return result[0]
