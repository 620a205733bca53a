from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from robot_rl_msgs.msg import (
    ActionChunk,
    ActionStamped,
    ControlState,
    EpisodeState,
    ExecutedAction,
    NamedVector,
    PolicyStep,
    RewardStamped,
    RobotState,
)
from robot_rl_msgs.srv import LoadPolicy, SetControlSource
from sensor_msgs.msg import Image

from robot_rl.config.load import load
from robot_rl.config.task import TaskSpecConfig
from robot_rl.core.spec import JOINT_POSITION
from robot_rl.core.types import Outcome, Source, Vector
from robot_rl.policies.base import PlanRequest, PolicySpec
from robot_rl.runtime.serving.background import in_background
from robot_rl.runtime.serving.config import ServerConfig
from robot_rl.runtime.serving.server import PolicyServer
from robot_rl_nodes import topic
from robot_rl_nodes.conversion import ImageWriter, float32s, float64s, ns_from_stamp, vector_from
from robot_rl_nodes.policy_bridge_node import PolicyBridgeNode

pytestmark = pytest.mark.ros

HORIZON = 12
TASK = f"""\
type: robot_rl.config.task:TaskSpecConfig
name: reach
horizon: {HORIZON}
vectors:
  observation.state: {{names: [a, b], unit: rad}}
images:
  wrist: {{height: 4, width: 6}}
action: {{kind: joint_delta, names: [a, b], scale: [0.1, 0.1], period_s: 0.1}}
"""
WRIST = "observation.images.wrist"


class Steady:
    """A policy whose plan is its second joint and the age of the plan's action in tenths."""

    def __init__(self, task_file: Path, name: str = "steady", gain: float = 0.0) -> None:
        task = load(task_file, TaskSpecConfig).build()
        self.gain = gain
        self.spec = PolicySpec(
            name=name,
            fingerprint=name,
            observation=task.observation,
            action=task.action,
            horizon=8,
            execute=4,
        )

    def infer(self, requests: Sequence[PlanRequest]) -> Vector:
        return np.stack([self._plan(request) for request in requests])

    def _plan(self, request: PlanRequest) -> Vector:
        b = request.window[-1].vectors[JOINT_POSITION][1]
        values = np.full((self.spec.horizon, 2), np.float32(b) + np.float32(self.gain))
        return values.astype(np.float32)


class Cell:
    """A gate, a robot and a camera in one node, and all that the bridge says."""

    def __init__(self, graph: Any) -> None:
        self.graph = graph
        self.node = node = graph.plain("cell")
        self.name, self.epoch = "", 0
        self.asks_refused = ""
        self.commands: list[ActionStamped] = []
        self.steps: list[PolicyStep] = []
        self.chunks: list[ActionChunk] = []
        self.words: dict[str, tuple[int, str]] = {}
        self.states: dict[int, list[float]] = {}
        self.images: set[int] = set()
        self.person = False
        self.ticks = 0
        self.travel = np.zeros(2)
        self.executed = self._out(topic.EXECUTED_ACTION)
        self.control = self._out(topic.CONTROL_STATE)
        self.robot = self._out(topic.ROBOT_STATE)
        self.camera = self._out(topic.POLICY_IMAGE.of("wrist"))
        self.reward = self._out(topic.REWARD)
        self.episode = self._out(topic.EPISODE_STATE)
        self._in(topic.POLICY_ACTION, self.commands.append)
        self._in(topic.POLICY_STEP, self.steps.append)
        self._in(topic.POLICY_CHUNK, self.chunks.append)
        node.create_subscription(DiagnosticArray, "/diagnostics", self.note, 10)
        node.create_service(SetControlSource, topic.TAKE_ACTOR_SEAT, self.seat)
        self.picture = ImageWriter(Image(), 4, 6)
        node.create_timer(0.02, self.tick)
        node.create_timer(0.04, self.sample)

    def _out(self, of: topic.Topic) -> Any:
        return self.node.create_publisher(of.type, of.name, of.quality.published)

    def _in(self, of: topic.Topic, heard: Callable[[Any], object]) -> None:
        self.node.create_subscription(of.type, of.name, heard, of.quality.subscribed)

    def note(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if "policy_bridge" in status.name:
                part = status.name.partition(": ")[2]
                self.words[part] = (status.level[0], status.message)

    def seat(self, request: Any, response: Any) -> Any:
        if request.request == SetControlSource.Request.LEAVE:
            self.name = ""
        elif self.asks_refused:
            response.message = self.asks_refused
            return response
        else:
            self.name, self.epoch = request.name, self.epoch + 1
            response.epoch, response.action_names = self.epoch, ["a", "b"]
            response.period_s = 0.1
        response.success = True
        return response

    @property
    def wanted(self) -> Vector | None:
        """The action in force."""
        newest = self.commands[-1] if self.commands else None
        sits = self.name and newest is not None and newest.seq >> 32 == self.epoch
        return vector_from(newest.data) if sits and newest and newest.active else None

    def tick(self) -> None:
        wanted = self.wanted
        source, data = Source.HOLD, np.zeros(2, np.float32)
        if self.person:
            source, data = Source.HUMAN, np.array([1, -1], np.float32)
        elif wanted is not None:
            source, data = Source.POLICY, wanted
        self.ticks += 1
        self.travel += data * 0.2
        message = ExecutedAction(
            tick=self.ticks,
            source=int(source),
            data=float32s(data),
            travel=float64s(self.travel),
        )
        message.header.stamp = self.now
        message.header.frame_id = "base"
        self.executed.publish(message)
        if self.ticks % 5 == 0:
            self.control.publish(ControlState(actor=self.name))

    def sample(self) -> None:
        values = [float(np.float32(self.ticks / 1000)), 0.25]
        vectors = [NamedVector(key=JOINT_POSITION, data=float32s(values))]
        state = RobotState(vectors=vectors)
        state.header.stamp = self.now
        self.states[ns_from_stamp(state.header.stamp)] = values
        self.robot.publish(state)
        picture = self.picture.message
        picture.header.stamp = self.now
        self.images.add(ns_from_stamp(picture.header.stamp))
        self.camera.publish(picture)

    @property
    def now(self) -> Any:
        return self.node.get_clock().now().to_msg()

    def tell(self, phase: int, episode_id: str = "e1", step: int = 0) -> None:
        state = EpisodeState(phase=phase, episode_id=episode_id, seed=3, step=step)
        state.header.stamp = self.now
        self.episode.publish(state)

    def run(self, episode_id: str = "e1") -> None:
        self.tell(EpisodeState.RUNNING, episode_id)

    def judge(self, outcome: Outcome) -> None:
        message = RewardStamped(reward=1.0, probability=1.0, outcome=int(outcome))
        message.header.stamp = self.now
        self.reward.publish(message)

    def level(self, part: str) -> int:
        """Of a part of the bridge, as told on /diagnostics; -1 before."""
        return self.words.get(part, (-1, ""))[0]

    @property
    def over(self) -> bool:
        return bool(self.steps) and (self.steps[-1].terminated or self.steps[-1].truncated)


Serve = Callable[..., AbstractContextManager[str]]


@pytest.fixture
def task_file(tmp_path: Path) -> Path:
    path = tmp_path / "reach.yaml"
    path.write_text(TASK)
    return path


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """`with serve(policy, ...) as uri`: a policy server at one address, again and again."""

    def serving(*policies: Steady) -> AbstractContextManager[str]:
        config = ServerConfig(unix=tmp_path / "policy.sock", drain_s=0.1)
        return in_background(PolicyServer({p.spec.name: p for p in policies}, config))

    return serving


@pytest.fixture
def cell(graph: Any) -> Cell:
    return Cell(graph)


def start_bridge(cell: Cell, task_file: Path, **parameters: Any) -> PolicyBridgeNode:
    patient = {"max_age_s": 2.0, "gate_s": 5.0, "ready_s": 20.0, "max_action_age_s": 5.0}
    bridge = cell.graph.start(
        PolicyBridgeNode,
        task=str(task_file),
        sources=["robot", "camera:wrist"],
        **(patient | parameters),
    )
    assert isinstance(bridge, PolicyBridgeNode)
    # What is said before it is heard of is lost.
    cell.graph.until(lambda: cell.episode.get_subscription_count() == 1)
    return bridge


def test_an_episode_is_told_as_the_policy_saw_it(
    cell: Cell, task_file: Path, serve: Serve
) -> None:
    with serve(Steady(task_file)) as uri:
        start_bridge(cell, task_file, uri=uri)
        cell.run()
        cell.graph.until(lambda: cell.over)
    steps = cell.steps
    assert [step.index for step in steps] == list(range(HORIZON + 1))
    assert [step.truncated for step in steps] == [False] * HORIZON + [True]
    assert {step.episode_id for step in steps} == {"e1"}
    for step in steps:
        stamps = dict(zip(step.streams, map(ns_from_stamp, step.stream_stamps), strict=True))
        assert set(stamps) == {"robot", "camera:wrist"}
        seen = {vector.key: list(vector.data) for vector in step.vectors}
        assert seen == {JOINT_POSITION: cell.states[stamps["robot"]]}
        assert stamps["camera:wrist"] in cell.images
        age_s = (ns_from_stamp(step.header.stamp) - stamps["robot"]) / 1e9
        assert step.stream_ages_s[0] == pytest.approx(age_s, abs=0.2)
    # Plans are for joint b where it stands.
    played = [step for step in steps[1:] if step.source == Source.POLICY]
    assert len(played) > HORIZON / 2
    for step in played:
        assert list(step.proposed_action) in ([0.25, 0.25], list(step.action))
    assert any(np.allclose(step.action, 0.25, atol=0.06) for step in played)
    chunk = cell.chunks[-1]
    assert (chunk.horizon, chunk.dim, chunk.policy_id) == (8, 2, "steady")
    assert list(chunk.data) == [0.25] * 16
    assert ns_from_stamp(chunk.dt) == 100_000_000
    cell.graph.until(lambda: cell.name == "")


def test_actions_carry_the_epoch_of_the_seat_and_a_number_that_grows(
    cell: Cell, task_file: Path, serve: Serve
) -> None:
    cell.epoch = 41
    with serve(Steady(task_file)) as uri:
        start_bridge(cell, task_file, uri=uri)
        cell.run()
        cell.graph.until(lambda: len(cell.steps) > 4)
        assert cell.name == "policy_bridge"
        cell.graph.until(lambda: cell.over)
    assert {command.seq >> 32 for command in cell.commands} == {42}
    numbers = [command.seq & 0xFFFFFFFF for command in cell.commands]
    assert numbers == sorted(numbers)
    # Each action is told again and again as a sign of life.
    assert len(set(numbers)) < len(numbers)
    moving = [command for command in cell.commands if command.active]
    assert {command.policy_id for command in moving} == {"steady"}
    assert {command.header.frame_id for command in moving} == {"base"}
    stamps = {ns_from_stamp(step.header.stamp) for step in cell.steps}
    assert {ns_from_stamp(command.obs_stamp) for command in moving} <= stamps


def test_a_judgement_ends_the_episode(cell: Cell, task_file: Path) -> None:
    start_bridge(cell, task_file)
    cell.run()
    cell.graph.until(lambda: len(cell.steps) > 2)
    cell.judge(Outcome.SUCCESS)
    cell.graph.until(lambda: cell.over)
    last = cell.steps[-1]
    assert (last.terminated, last.truncated, last.outcome) == (True, False, Outcome.SUCCESS)
    assert last.reward == 1.0


def test_an_episode_without_a_policy_is_for_a_person_to_drive(cell: Cell, task_file: Path) -> None:
    start_bridge(cell, task_file)
    cell.run()
    cell.graph.until(lambda: len(cell.steps) > 2)
    cell.person = True
    cell.graph.until(lambda: cell.over)
    assert not any(command.active for command in cell.commands)
    assert cell.steps[1].source == Source.HOLD
    last = cell.steps[-1]
    assert last.source == Source.HUMAN
    assert last.action[0] > 0.5
    assert last.action[1] < -0.5


def test_an_episode_that_is_called_off_ends_truncated(cell: Cell, task_file: Path) -> None:
    start_bridge(cell, task_file)
    cell.run()
    cell.graph.until(lambda: len(cell.steps) > 2)
    cell.tell(EpisodeState.SAVING)
    cell.graph.until(lambda: cell.over)
    assert (cell.steps[-1].truncated, cell.steps[-1].terminated) == (True, False)
    cell.graph.until(lambda: cell.name == "")


def test_a_bridge_that_is_deactivated_ends_its_episode(cell: Cell, task_file: Path) -> None:
    bridge = start_bridge(cell, task_file)
    cell.run()
    cell.graph.until(lambda: len(cell.steps) > 2)
    bridge.trigger_deactivate()
    cell.graph.until(lambda: cell.over and cell.name == "")
    assert len(cell.steps) < HORIZON + 1


def test_an_episode_that_had_begun_before_is_not_joined(cell: Cell, task_file: Path) -> None:
    start_bridge(cell, task_file)
    cell.tell(EpisodeState.RUNNING, "e1", step=4)
    cell.graph.spin(0.5)
    assert not cell.name
    cell.run("e2")
    cell.graph.until(lambda: cell.steps)
    assert cell.steps[0].episode_id == "e2"


def test_a_lost_server_rests_the_arm_until_it_is_back(
    cell: Cell, task_file: Path, serve: Serve
) -> None:
    long = task_file.with_name("long.yaml")
    long.write_text(TASK.replace(f"horizon: {HORIZON}", "horizon: 400"))
    policy = Steady(long)
    with serve(policy) as uri:
        start_bridge(cell, long, uri=uri, plan_s=0.5, max_action_age_s=0.5)
        cell.run()
        cell.graph.until(lambda: any(c.active for c in cell.commands))
    cell.graph.until(lambda: cell.wanted is None and cell.level("policy") == 2)
    assert "asked again in" in cell.words["policy"][1]
    steps = len(cell.steps)
    cell.graph.until(lambda: len(cell.steps) > steps + 2)
    assert not cell.over
    assert cell.steps[-1].source == Source.HOLD
    with serve(policy):
        cell.graph.until(lambda: cell.wanted is not None)
        cell.graph.until(lambda: cell.level("policy") == 0)
    cell.tell(EpisodeState.IDLE)
    cell.graph.until(lambda: cell.over)


def test_another_policy_is_loaded_between_two_episodes(
    cell: Cell, task_file: Path, serve: Serve
) -> None:
    steady, eager = Steady(task_file), Steady(task_file, "eager", gain=0.5)
    odd = Steady(task_file, "odd")
    odd.spec = replace(odd.spec, action=replace(odd.spec.action, names=("x", "y")))

    def ask(uri: str) -> Any:
        return cell.graph.call(LoadPolicy, topic.POLICY_LOAD, LoadPolicy.Request(uri=uri))

    with serve(steady, eager, odd) as uri:
        start_bridge(cell, task_file, uri=uri, policy="steady")
        refused = ask(f"{uri}#odd")
        assert not refused.success
        assert "does not fit the task 'reach'" in refused.message
        loaded = ask(f"{uri}#eager")
        assert (loaded.success, loaded.policy_id, loaded.fingerprint) == (True, "eager", "eager")
        cell.run()
        cell.graph.until(lambda: any(c.active for c in cell.commands))
        while_it_runs = ask(f"{uri}#steady")
        assert not while_it_runs.success
        assert "between two episodes" in while_it_runs.message
        cell.graph.until(lambda: cell.over)
    active = [list(c.data) for c in cell.commands if c.active]
    assert active[-1] == [0.75, 0.75]


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"uri": "unix:///nowhere/policy.sock"}, "is it running, and within reach"),
        ({"sources": ["camera"]}, "unknown source 'camera'"),
        ({"sources": ["robot", "robot"]}, "each once"),
        ({"mode": "trimmed"}, "expected one of: trim, ensemble, realtime, wait"),
    ],
)
def test_what_a_bridge_cannot_do_is_told_when_it_is_configured(
    graph: Any, task_file: Path, parameters: dict[str, Any], words: str
) -> None:
    bridge = graph.make(PolicyBridgeNode, task=str(task_file), **parameters)
    bridge.trigger_configure()
    told = bridge.diagnostics.message("", bridge.get_clock().now().to_msg()).status
    assert words in " ".join(status.message for status in told)
    assert not bridge.active


def test_a_refused_seat_is_named(cell: Cell, task_file: Path) -> None:
    cell.asks_refused = "'somebody' commands; one at a time"
    start_bridge(cell, task_file, ready_s=1.0)
    cell.run()
    cell.graph.until(lambda: cell.level("episode") == 2)
    assert "'somebody' commands" in cell.words["episode"][1]
    assert not cell.steps
