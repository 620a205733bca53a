from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from action_msgs.msg import GoalStatus
from rclpy.action.client import ActionClient
from rclpy.action.server import ActionServer, CancelResponse
from robot_rl_msgs.action import ResetRobot, RunEpisode
from robot_rl_msgs.msg import EpisodeEvent, EpisodeState, PolicyStep, RewardStamped, SafetyState
from robot_rl_msgs.srv import LabelEpisode

from robot_rl.core.types import Outcome, Source
from robot_rl_nodes import topic
from robot_rl_nodes.episode_manager_node import EpisodeManagerNode

pytestmark = pytest.mark.ros

TASK = Path(__file__).parents[2] / "configs" / "tasks" / "real" / "fr3_insert.yaml"


class Cell:
    """Robot, gate, policy bridge and recorder, as the episode manager hears them."""

    def __init__(self, graph: Any) -> None:
        self.graph = graph
        self.node = node = graph.plain("cell")
        self.resets: list[int] = []
        self.reset_says = ""
        self.hangs: Any = None
        self.states: list[EpisodeState] = []
        self.events: list[EpisodeEvent] = []
        self.rewards: list[RewardStamped] = []
        self.feedback: list[Any] = []
        self.gate = SafetyState.RUN
        self.steps = self._out(topic.POLICY_STEP)
        self.told = self._out(topic.EPISODE_EVENT)
        self.safety = self._out(topic.SAFETY_STATE)
        for of, heard in (
            (topic.EPISODE_STATE, self.states),
            (topic.EPISODE_EVENT, self.events),
            (topic.REWARD, self.rewards),
        ):
            node.create_subscription(of.type, of.name, heard.append, of.quality.subscribed)
        node.create_timer(0.05, self.tell_gate)
        self.server = ActionServer(
            node,
            ResetRobot,
            topic.ROBOT_RESET,
            self.reset,
            handle_accepted_callback=self.accept_reset,
            cancel_callback=lambda goal: CancelResponse.ACCEPT,
        )
        self.client = ActionClient(node, RunEpisode, topic.EPISODE_RUN)

    def _out(self, of: topic.Topic) -> Any:
        return self.node.create_publisher(of.type, of.name, of.quality.published)

    def tell_gate(self) -> None:
        cause = "just started" if self.gate == SafetyState.STOP else ""
        self.safety.publish(SafetyState(state=self.gate, cause=cause))

    def accept_reset(self, goal: Any) -> None:
        if self.reset_says == "hang":
            self.hangs = goal
        else:
            goal.execute()

    def reset(self, goal: Any) -> Any:
        self.resets.append(goal.request.seed)
        goal.succeed()
        return ResetRobot.Result(success=not self.reset_says, message=self.reset_says)

    def ask(self, **wish: Any) -> Any:
        """The goal's handle, once it is accepted or refused."""
        self.graph.until(self.client.server_is_ready)
        sent = self.client.send_goal_async(
            RunEpisode.Goal(**wish), feedback_callback=lambda m: self.feedback.append(m.feedback)
        )
        self.graph.until(sent.done)
        return sent.result()

    def result(self, goal: Any) -> Any:
        future = goal.get_result_async()
        self.graph.until(future.done)
        return future.result()

    def until(self, phase: int) -> EpisodeState:
        self.graph.until(lambda: self.states and self.states[-1].phase == phase)
        return self.states[-1]

    def step(self, index: int, episode_id: str = "e1", **more: Any) -> None:
        self.steps.publish(PolicyStep(episode_id=episode_id, index=index, **more))

    def happened(self, kind: int) -> list[EpisodeEvent]:
        return [event for event in self.events if event.kind == kind]

    def recorder_says(self, kind: int, detail: str = "") -> None:
        event = EpisodeEvent(kind=kind, episode_id="e1", by="recorder", detail=detail)
        self.told.publish(event)


@pytest.fixture
def start(graph: Any) -> Iterator[Callable[..., Cell]]:
    managers: list[Any] = []

    def make(**parameters: Any) -> Cell:
        cell = Cell(graph)
        managers.append(graph.start(EpisodeManagerNode, task=str(TASK), **parameters))
        cell.until(EpisodeState.IDLE)
        cell.graph.until(lambda: cell.steps.get_subscription_count() == 1)
        return cell

    yield make
    for manager in managers:
        manager.trigger_deactivate()
    # Goals are answered in the executor: rclpy complains of those that were not.
    graph.spin(0.3)


def test_an_episode_is_run_from_reset_to_the_recorders_word(start: Callable[..., Cell]) -> None:
    cell = start(recorded=True)
    goal = cell.ask(seed=5, episode_id="e1", operator_name="Ada")
    running = cell.until(EpisodeState.RUNNING)
    assert (running.episode_id, running.seed, running.horizon) == ("e1", 5, 150)
    assert (running.task, running.step) == ("fr3_insert", 0)
    assert cell.resets == [5]
    cell.step(0)
    cell.step(1, reward=0.5, source=int(Source.POLICY))
    cell.graph.until(lambda: cell.feedback and cell.feedback[-1].step == 1)
    cell.step(
        2, reward=1.0, terminated=True, outcome=int(Outcome.SUCCESS), source=int(Source.HUMAN)
    )
    cell.until(EpisodeState.SAVING)
    cell.recorder_says(EpisodeEvent.SAVED)
    answer = cell.result(goal)
    assert answer.status == GoalStatus.STATUS_SUCCEEDED
    result = answer.result
    assert (result.reason, result.outcome) == (RunEpisode.Result.ENDED, Outcome.SUCCESS)
    assert (result.steps, result.intervention_steps, result.reward) == (2, 1, 1.5)
    assert (result.terminated, result.truncated, result.episode_id) == (True, False, "e1")
    begun, ended = cell.happened(EpisodeEvent.BEGUN), cell.happened(EpisodeEvent.ENDED)
    assert [event.by for event in begun] == ["Ada"]
    assert [(event.steps, event.outcome) for event in ended] == [(2, Outcome.SUCCESS)]
    cell.until(EpisodeState.IDLE)


def test_a_nameless_episode_gets_a_name_and_only_one_runs_at_a_time(
    start: Callable[..., Cell],
) -> None:
    cell = start()
    goal = cell.ask(seed=5)
    name = cell.until(EpisodeState.RUNNING).episode_id
    assert name.startswith("fr3_insert-2")
    assert name.endswith("-5")
    assert not cell.ask(seed=6).accepted
    cell.step(1, name, truncated=True)
    assert cell.result(goal).result.truncated
    assert cell.ask(seed=6).accepted


def test_a_cancelled_episode_ends_and_what_is_there_of_it_is_kept(
    start: Callable[..., Cell],
) -> None:
    cell = start(recorded=True)
    goal = cell.ask(episode_id="e1")
    cell.until(EpisodeState.RUNNING)
    cell.step(1)
    cell.graph.until(lambda: cell.feedback)
    goal.cancel_goal_async()
    cell.until(EpisodeState.SAVING)
    cell.recorder_says(EpisodeEvent.SAVED, "interrupted")
    answer = cell.result(goal)
    assert answer.status == GoalStatus.STATUS_CANCELED
    assert (answer.result.reason, answer.result.steps) == (RunEpisode.Result.CANCELLED, 1)
    assert "interrupted" in answer.result.detail
    assert len(cell.happened(EpisodeEvent.CANCELLED)) == 1
    cell.until(EpisodeState.IDLE)


def test_a_reset_that_hangs_is_cancelled_with_its_episode(start: Callable[..., Cell]) -> None:
    cell = start()
    cell.reset_says = "hang"
    goal = cell.ask(episode_id="e1")
    cell.graph.until(lambda: cell.hangs is not None)
    cell.graph.spin(0.1)
    goal.cancel_goal_async()
    assert cell.result(goal).status == GoalStatus.STATUS_CANCELED
    cell.graph.until(lambda: cell.hangs.is_cancel_requested)


@pytest.mark.parametrize(
    ("prepare", "parameters", "words"),
    [
        (lambda c: setattr(c, "reset_says", "no peg"), {}, "the reset has failed: no peg"),
        (lambda c: setattr(c, "reset_says", "hang"), {"reset_s": 0.5}, "not ended within 0.5 s"),
        (
            lambda c: setattr(c, "gate", SafetyState.STOP),
            {"ready_s": 0.5},
            "clear the gate: just started",
        ),
        (lambda c: None, {"silence_s": 0.5}, "policy bridge has said nothing for 0.5 s"),
    ],
)
def test_what_goes_wrong_is_in_the_result_and_the_next_may_follow(
    start: Callable[..., Cell],
    prepare: Callable[[Cell], None],
    parameters: dict[str, Any],
    words: str,
) -> None:
    cell = start(**parameters)
    prepare(cell)
    answer = cell.result(cell.ask(episode_id="e1"))
    assert answer.status == GoalStatus.STATUS_ABORTED
    assert answer.result.reason == RunEpisode.Result.FAILED
    assert words in answer.result.detail
    assert words in cell.until(EpisodeState.FAULT).detail
    assert cell.ask(episode_id="e2").accepted


def test_an_episode_begins_once_a_person_has_cleared_the_gate(start: Callable[..., Cell]) -> None:
    cell = start()
    cell.gate = SafetyState.STOP
    cell.ask(episode_id="e1")
    cell.graph.until(lambda: "clear the gate" in cell.states[-1].detail)
    assert cell.states[-1].phase == EpisodeState.READY
    cell.gate = SafetyState.RUN
    cell.until(EpisodeState.RUNNING)


def label(cell: Cell, **said: Any) -> Any:
    request = LabelEpisode.Request(**said)
    return cell.graph.call(LabelEpisode, topic.EPISODE_LABEL, request)


def test_a_label_of_an_episode_that_has_run_is_told_to_the_recorder(
    start: Callable[..., Cell],
) -> None:
    cell = start()
    said = label(cell, episode_id="e0", outcome=2, by="Ada", comment="slipped")
    assert said.success
    cell.graph.until(lambda: cell.happened(EpisodeEvent.LABELLED))
    event = cell.happened(EpisodeEvent.LABELLED)[0]
    assert (event.episode_id, event.outcome, event.by) == ("e0", Outcome.FAILURE, "Ada")
    assert event.detail == "slipped"
    assert not cell.rewards


def test_a_label_of_the_episode_that_runs_is_a_judgement_of_this_instant(
    start: Callable[..., Cell],
) -> None:
    cell = start()
    cell.ask(episode_id="e1")
    cell.until(EpisodeState.RUNNING)
    assert label(cell, outcome=1, by="Ada").message == "e1: SUCCESS, which ends it"
    cell.graph.until(lambda: cell.rewards and cell.happened(EpisodeEvent.LABELLED))
    reward = cell.rewards[0]
    assert (reward.outcome, reward.reward, reward.model_id) == (1, 1.0, "person:Ada")
    assert reward.header.stamp.sec > 0


@pytest.mark.parametrize(
    "said", [{"outcome": 1, "by": ""}, {"outcome": 0, "by": "Ada"}, {"outcome": 1, "by": "Ada"}]
)
def test_a_label_without_person_outcome_or_episode_is_refused(
    start: Callable[..., Cell], said: dict[str, Any]
) -> None:
    answer = label(start(), **said)
    assert not answer.success
    assert "expected an episode, a person, and 1 for success" in answer.message


def test_a_manager_that_is_deactivated_ends_its_episode(graph: Any) -> None:
    cell = Cell(graph)
    manager = graph.start(EpisodeManagerNode, task=str(TASK))
    goal = cell.ask(episode_id="e1")
    cell.until(EpisodeState.RUNNING)
    manager.trigger_deactivate()
    assert cell.result(goal).status == GoalStatus.STATUS_ABORTED
    assert "deactivated" in cell.until(EpisodeState.IDLE).detail
    assert not cell.ask(episode_id="e2").accepted
