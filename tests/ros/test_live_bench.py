from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from rclpy.action.server import ActionServer
from robot_rl_msgs.action import ResetRobot
from robot_rl_msgs.msg import (
    ActionStamped,
    ControlState,
    ExecutedAction,
    NamedVector,
    RewardStamped,
    RobotState,
)
from robot_rl_msgs.srv import SetControlSource

from robot_rl.core.errors import GateStopError
from robot_rl.core.spec import JOINT_POSITION, ActionSpec, ObservationSpec, TaskSpec, VectorSpec
from robot_rl.core.types import GateReason, GateState, Outcome, Source
from robot_rl_nodes import topic
from robot_rl_nodes.conversion import float32s, float64s, vector_from
from robot_rl_nodes.graph import live_bench
from robot_rl_nodes.graph.live_bench import LiveBench

pytestmark = [
    pytest.mark.ros,
    # The run leaves the seat and is gone before it is answered.
    pytest.mark.filterwarnings("ignore:failed to send response:RuntimeWarning"),
]

TASK = TaskSpec(
    name="reach",
    horizon=20,
    observation=ObservationSpec(
        vectors={JOINT_POSITION: VectorSpec(names=("a", "b"), unit="rad")}
    ),
    action=ActionSpec(kind="joint_delta", names=("a", "b"), scale=(0.1, 0.1), period_s=0.1),
)
STEP = np.array([0.5, -0.25], np.float32)


class Cell:
    """A gate that obeys whoever has the seat, and a robot that can be sent to its start."""

    def __init__(self, graph: Any) -> None:
        self.graph = graph
        self.node = graph.plain("cell")
        self.state, self.person = GateState.RUN, False
        self.name, self.epoch, self.ticks = "", 0, 0
        self.travel = np.zeros(2)
        self.command: ActionStamped | None = None
        self.seeds: list[int] = []
        self.executed = self._out(topic.EXECUTED_ACTION)
        self.control = self._out(topic.CONTROL_STATE)
        self.robot = self._out(topic.ROBOT_STATE)
        self.reward = self._out(topic.REWARD)
        heard = topic.POLICY_ACTION
        self.node.create_subscription(heard.type, heard.name, self.hear, heard.quality.subscribed)
        self.node.create_service(SetControlSource, topic.TAKE_ACTOR_SEAT, self.seat)
        self.resets = ActionServer(self.node, ResetRobot, topic.ROBOT_RESET, self.reset)
        self.node.create_timer(0.02, self.tick)

    def _out(self, of: topic.Topic) -> Any:
        return self.node.create_publisher(of.type, of.name, of.quality.published)

    def hear(self, message: ActionStamped) -> None:
        self.command = message

    def seat(self, request: Any, response: Any) -> Any:
        taken = request.request == SetControlSource.Request.TAKE
        self.name, self.epoch = (request.name if taken else ""), self.epoch + taken
        response.success, response.epoch = True, self.epoch
        response.action_names, response.period_s = ["a", "b"], 0.1
        return response

    def reset(self, goal: Any) -> ResetRobot.Result:
        self.seeds.append(int(goal.request.seed))
        goal.succeed()
        return ResetRobot.Result(success=True)

    def tick(self) -> None:
        message, wanted = self.command, np.zeros(2, np.float32)
        source = Source.HOLD
        if self.person:
            source, wanted = Source.HUMAN, np.ones(2, np.float32)
        elif self.name and message and message.active and self.state == GateState.RUN:
            source, wanted = Source.POLICY, vector_from(message.data)
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
        self.control.publish(ControlState(actor=self.name))
        state = RobotState(vectors=[NamedVector(key=JOINT_POSITION, data=float32s(self.travel))])
        state.header.stamp = now
        self.robot.publish(state)

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


@pytest.fixture
def cell(graph: Any) -> Cell:
    return Cell(graph)


@pytest.fixture
def bench(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveBench]:
    monkeypatch.setenv("ROS_DOMAIN_ID", str(cell.graph.domain))
    bench = LiveBench(TASK, namespace="/test", sources=["robot"], name="arm")
    yield bench
    cell.during(bench.close)


def test_a_run_brings_robot_and_task_to_the_seeds_start_and_acts_from_the_seat(
    cell: Cell, bench: LiveBench
) -> None:
    def episode() -> list[Any]:
        bench.env.reset(7)
        return [bench.env.step(STEP) for _ in range(4)]

    results = cell.during(episode)
    assert cell.seeds == [7]
    # The first period is that in which the gate hears of it.
    assert np.allclose(np.mean([r.executed_action for r in results[1:]], 0), STEP, atol=0.2)
    assert not any(r.terminated or r.truncated for r in results)


def test_who_judges_ends_the_episode_and_the_seat_is_left(cell: Cell, bench: LiveBench) -> None:
    cell.during(lambda: bench.env.reset(1))
    assert cell.name == "run"
    cell.judge(Outcome.SUCCESS)
    result = cell.during(lambda: bench.env.step(STEP))
    assert (result.terminated, result.outcome, result.reward) == (True, Outcome.SUCCESS, 1.0)
    cell.graph.until(lambda: not cell.name)


def test_whoever_sits_at_the_gates_other_seat_is_the_supervisor(
    cell: Cell, bench: LiveBench
) -> None:
    seen = cell.during(lambda: bench.env.reset(1))
    person = bench.seats["supervisor"]
    assert not person.poll(seen).active
    cell.person = True
    results = [cell.during(lambda: bench.env.step(STEP, Source.HUMAN)) for _ in range(3)]
    assert person.poll(seen).active
    assert np.allclose(results[-1].executed_action, 1.0)


def test_a_gate_that_has_latched_is_waited_for(cell: Cell, bench: LiveBench) -> None:
    cell.state = GateState.STOP

    def clear() -> None:
        cell.state = GateState.RUN

    later = cell.node.create_timer(1.0, clear)
    cell.during(lambda: bench.env.reset(3))
    assert cell.state == GateState.RUN
    assert cell.seeds == [3]
    later.cancel()


def test_nobody_clears_it_and_the_run_ends(
    cell: Cell, bench: LiveBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_bench, "CLEAR_S", 0.5)
    cell.state = GateState.STOP
    with pytest.raises(GateStopError, match="clear the gate in your name"):
        cell.during(lambda: bench.env.reset(3))
    assert not cell.seeds
