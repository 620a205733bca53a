from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from robot_rl_msgs.msg import EpisodeState, NamedVector, RewardStamped, RobotState

from robot_rl.core.protocol import Judgement
from robot_rl.core.spec import ObservationSpec
from robot_rl.core.types import Observation, Outcome
from robot_rl_nodes import topic
from robot_rl_nodes.conversion import float32s, ns_from_stamp
from robot_rl_nodes.reward.work import RewardWork, Seen
from robot_rl_nodes.reward_node import RewardNode

pytestmark = pytest.mark.ros

CONFIGS = Path(__file__).parents[2] / "configs"
TASK = CONFIGS / "tasks" / "real" / "fr3_insert.yaml"
REWARD = CONFIGS / "rewards" / "models" / "peg_seated.yaml"


class Model:
    """Says how often it was asked since the episode began; waits while it is told to."""

    name = "counting"
    observation = ObservationSpec(vectors={})
    probability = 0.5

    def __init__(self) -> None:
        self.go = threading.Event()
        self.begun = threading.Event()
        self.count = 0

    def reset(self) -> None:
        self.count = 0

    def score(self, observation: Observation) -> Judgement:
        self.begun.set()
        if observation.stamp_ns < 0:
            raise ValueError("no picture")
        assert self.go.wait(20)
        self.count += 1
        return Judgement(reward=self.count, outcome=Outcome.UNKNOWN)


def seen(stamp_ns: int) -> Seen:
    return Seen(observation=Observation(stamp_ns=stamp_ns, vectors={}), stamp_ns=stamp_ns)


class Heard:
    """Judgements as they come."""

    def __init__(self) -> None:
        self.all: list[tuple[int, float]] = []
        self._there = threading.Condition()

    def tell(self, seen: Seen, judgement: Judgement, probability: float) -> None:
        with self._there:
            self.all.append((seen.stamp_ns, judgement.reward))
            self._there.notify_all()

    def wait(self, count: int) -> list[tuple[int, float]]:
        with self._there:
            assert self._there.wait_for(lambda: len(self.all) >= count, 20)
        return self.all


def test_what_comes_while_the_model_thinks_is_judged_once_and_the_newest_counts() -> None:
    model, heard = Model(), Heard()
    work = RewardWork(model, heard.tell)
    work.put(seen(1))
    assert model.begun.wait(20)
    for stamp_ns in (2, 3, 4):
        work.put(seen(stamp_ns))
    model.go.set()
    assert heard.wait(2) == [(1, 1.0), (4, 2.0)]
    assert work.close(20.0)


def test_what_was_seen_before_an_episode_is_not_judged_in_it() -> None:
    model, heard = Model(), Heard()
    work = RewardWork(model, heard.tell)
    work.put(seen(1))
    assert model.begun.wait(20)
    work.begin()
    work.put(seen(2))
    model.go.set()
    assert heard.wait(1) == [(2, 1.0)]
    assert work.close(20.0)


def test_what_the_model_raises_is_kept() -> None:
    model = Model()
    work = RewardWork(model, Heard().tell)
    work.put(seen(-1))
    assert model.begun.wait(20)
    assert work.close(20.0)
    assert isinstance(work.error, ValueError)


class Arm:
    """Says where it is."""

    def __init__(self, graph: Any) -> None:
        self.graph = graph
        node = graph.plain("arm")
        self.node = node
        self.height_m = 0.3
        self.states = node.create_publisher(
            RobotState, topic.ROBOT_STATE.name, topic.ROBOT_STATE.quality.published
        )
        self.episodes = node.create_publisher(
            EpisodeState, topic.EPISODE_STATE.name, topic.EPISODE_STATE.quality.published
        )
        self.rewards: list[RewardStamped] = []
        node.create_subscription(RewardStamped, topic.REWARD.name, self.rewards.append, 100)
        self.timer = node.create_timer(0.02, self.tell)

    def tell(self) -> None:
        pose = [0.5, 0, self.height_m, 0, 0, 0, 1]
        vectors = {"observation.tcp_pose": pose, "observation.tcp_twist": [0.0] * 6}
        state = RobotState(
            vectors=[NamedVector(key=k, data=float32s(v)) for k, v in vectors.items()]
        )
        state.header.stamp = self.node.get_clock().now().to_msg()
        self.states.publish(state)

    def run(self, episode_id: str) -> None:
        self.episodes.publish(EpisodeState(phase=EpisodeState.RUNNING, episode_id=episode_id))

    def start(self, **parameters: Any) -> Any:
        defaults = {"task": str(TASK), "reward": str(REWARD), "rate_hz": 20.0, "max_age_s": 2.0}
        node = self.graph.start(RewardNode, **(defaults | parameters))
        self.graph.until(lambda: self.states.get_subscription_count() == 1)
        return node


def test_an_episode_is_judged_by_what_the_robot_measures(graph: Any) -> None:
    arm = Arm(graph)
    arm.start()
    graph.spin(0.3)
    assert not arm.rewards
    arm.run("e1")
    graph.until(lambda: len(arm.rewards) > 3)
    assert {reward.outcome for reward in arm.rewards} == {Outcome.UNKNOWN}
    low_ns = arm.node.get_clock().now().nanoseconds
    arm.height_m = 0.05
    graph.until(lambda: arm.rewards[-1].outcome == Outcome.SUCCESS)
    last = arm.rewards[-1]
    assert (last.reward, last.model_id) == (1.0, "peg_seated")
    assert np.isnan(last.probability)
    assert ns_from_stamp(last.header.stamp) - low_ns >= 450_000_000
    arm.run("e2")
    graph.until(lambda: arm.rewards[-1].outcome == Outcome.UNKNOWN)


def test_nothing_is_judged_without_fresh_samples_and_it_is_told(graph: Any) -> None:
    arm = Arm(graph)
    node = arm.start(max_age_s=0.5)
    arm.run("e1")
    graph.until(lambda: arm.rewards)
    arm.timer.cancel()
    graph.spin(0.8)
    count = len(arm.rewards)
    graph.spin(0.3)
    assert len(arm.rewards) == count
    told = node.diagnostics.message("", node.get_clock().now().to_msg()).status
    assert any("no fresh sample of robot" in status.message for status in told)


@pytest.mark.parametrize(
    ("reward", "words"),
    [
        (CONFIGS / "rewards" / "task.yaml", "TaskRewardConfig is no reward model"),
        (CONFIGS / "tasks" / "point_reach.yaml", "is no reward model"),
    ],
)
def test_what_is_no_reward_model_is_told(graph: Any, reward: Path, words: str) -> None:
    node = graph.make(RewardNode, task=str(TASK), reward=str(reward))
    node.trigger_configure()
    told = node.diagnostics.message("", node.get_clock().now().to_msg()).status
    assert any(words in status.message for status in told)
