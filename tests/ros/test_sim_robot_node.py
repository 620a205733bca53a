from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TwistStamped
from rclpy.action import ActionClient
from rclpy.parameter import Parameter as RosParameter
from robot_rl_msgs.action import ResetRobot
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger

from robot_rl_nodes import topic
from robot_rl_nodes.conversion import (
    ns_from_stamp,
    pose_from,
    twist_from,
    vectors_from,
    wrench_from,
)
from robot_rl_sim_nodes.sim_robot_node import SimRobotNode

pytestmark = [pytest.mark.ros, pytest.mark.sim]

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
DRIVER = CONFIGS / "drivers" / "sim_fr3.yaml"


class Bench:
    """The node, and somebody who hears all of it and commands it."""

    def __init__(self, graph: Any, driver: Path, **overrides: Any) -> None:
        self.graph = graph
        self.node = graph.start(SimRobotNode, driver=str(driver), **overrides)
        self.probe = graph.plain()
        self.heard: dict[str, list[Any]] = {}
        self._twist = self.probe.create_publisher(
            TwistStamped, "twist_controller/commands", topic.TWIST_COMMAND.quality.published
        )
        self._gripper = self.probe.create_publisher(
            Float64MultiArray, "gripper/commands", topic.GRIPPER_COMMAND.quality.published
        )
        self._sent = 0.0

    def hear(self, *topics: Any) -> None:
        for each in topics:
            heard = self.heard[each.name] = []
            self.probe.create_subscription(
                each.type, each.name, heard.append, each.quality.recorded
            )

    def newest(self, each: Any) -> Any:
        self.graph.until(lambda: self.heard[each.name])
        return self.heard[each.name][-1]

    def drive(self, x_m_s: float, frame: str = "base_link") -> None:
        """One command; the graph is spun for a hundredth of a second."""
        message = TwistStamped()
        message.header.frame_id = frame
        message.twist.linear.x = x_m_s
        self._twist.publish(message)
        self.graph.spin(0.01)

    def drive_until(self, happened: Any, x_m_s: float = 0.05, **more: Any) -> None:
        def sees() -> bool:
            self.drive(x_m_s, **more)
            return happened()

        self.graph.until(sees)

    def grip(self, wish: float) -> None:
        self._gripper.publish(Float64MultiArray(data=[wish]))

    def fault(self) -> str:
        message = self.newest(topic.ROBOT_DIAGNOSTICS)
        return "".join(s.message for s in message.status if ord(s.level) == 2)

    def set(self, **faults: Any) -> Any:
        changes = [RosParameter(f"fault.{name}", value=v) for name, v in faults.items()]
        return self.node.set_parameters(changes)[-1]


@pytest.fixture
def driver(tmp_path: Path) -> Path:
    """An arm that bears the pauses of a busy machine's test."""
    path = tmp_path / "driver.yaml"
    path.write_text(
        f"type: robot_rl_sim.driver:SimDriverConfig\ntask: {CONFIGS}/tasks/pick_cube.yaml\n"
        "watchdog_s: 0.8\n"
    )
    return path


@pytest.fixture
def bench(graph: Any, driver: Path) -> Bench:
    return Bench(graph, driver)


def test_its_topics_come_at_their_rates_with_one_stamp_for_each_instant(bench: Bench) -> None:
    parts = (
        topic.JOINT_STATES,
        topic.CURRENT_POSE,
        topic.CURRENT_TWIST,
        topic.GRIPPER_JOINT_STATES,
    )
    bench.hear(*parts, topic.PERCEPTION, topic.REWARD)
    joints = bench.heard["joint_states"]
    bench.graph.until(lambda: len(joints) >= 150)
    stamps = [ns_from_stamp(m.header.stamp) for m in joints]
    assert np.median(np.diff(stamps)) == pytest.approx(10e6, abs=2.1e6)
    for part in parts:
        other = {ns_from_stamp(m.header.stamp) for m in bench.heard[part.name]}
        assert len(other & set(stamps)) > 100
    assert joints[0].name == [f"fr3_joint{i}" for i in range(1, 8)]
    assert joints[0].header.frame_id == "base_link"
    per_state = len(bench.heard["perception/vectors"]) / len(joints)
    assert per_state == pytest.approx(0.5, abs=0.15)
    assert len(bench.heard["reward"]) / len(joints) == pytest.approx(0.1, abs=0.05)
    reward = bench.heard["reward"][-1]
    assert (reward.reward, reward.outcome, reward.model_id) == (
        0.0,
        reward.OUTCOME_UNKNOWN,
        "task",
    )
    perceived = vectors_from(bench.heard["perception/vectors"][-1].vectors)
    assert perceived["observation.environment_state"].shape == (5,)


def test_a_velocity_is_carried_out_and_commands_are_counted(bench: Bench) -> None:
    bench.hear(topic.CURRENT_TWIST, topic.ROBOT_DIAGNOSTICS)
    seen = bench.heard["current_twist"]
    bench.drive_until(lambda: seen and abs(seen[-1].twist.linear.x - 0.05) < 0.004)
    told = bench.heard["robot/diagnostics"]
    bench.drive_until(lambda: told and int(told[-1].status[0].values[0].value) > 5)


def test_without_commands_it_stops_by_itself_until_it_is_recovered(bench: Bench) -> None:
    bench.hear(topic.CURRENT_TWIST, topic.ROBOT_DIAGNOSTICS)
    bench.newest(topic.ROBOT_DIAGNOSTICS)
    seen = bench.heard["current_twist"]
    bench.drive_until(lambda: seen and seen[-1].twist.linear.x > 0.03)
    bench.graph.until(lambda: "no command for" in bench.fault())
    bench.graph.until(lambda: abs(seen[-1].twist.linear.x) < 1e-3)
    for _ in range(20):
        bench.drive(0.05)
    assert abs(seen[-1].twist.linear.x) < 1e-3
    answer = bench.graph.call(Trigger, "robot/recover", Trigger.Request())
    assert answer.success, answer.message
    bench.drive_until(lambda: seen[-1].twist.linear.x > 0.03)


def test_a_stop_that_is_asked_for_is_told(bench: Bench) -> None:
    bench.hear(topic.ROBOT_DIAGNOSTICS)
    assert bench.graph.call(Trigger, "robot/stop", Trigger.Request()).success
    bench.graph.until(lambda: bench.fault() == "PROTECTIVE_STOP: robot/stop was called")


def test_velocities_of_another_frame_are_not_obeyed_and_it_says_so(bench: Bench) -> None:
    bench.hear(topic.CURRENT_TWIST, topic.DIAGNOSTICS)
    for _ in range(30):
        bench.drive(0.1, frame="camera")
    assert abs(bench.newest(topic.CURRENT_TWIST).twist.linear.x) < 5e-3
    expected = "velocities are in frame 'camera', expected 'base_link'"
    bench.drive_until(
        lambda: any(s.message == expected for m in bench.heard["/diagnostics"] for s in m.status),
        frame="camera",
    )


def test_the_gripper_closes_and_opens_without_the_arm(bench: Bench) -> None:
    bench.hear(topic.GRIPPER_JOINT_STATES)
    opening = bench.heard["gripper/joint_states"]
    bench.graph.until(lambda: bench.grip(-1.0) or (opening and sum(opening[-1].position) < 0.01))
    bench.graph.until(lambda: bench.grip(1.0) or sum(opening[-1].position) > 0.07)


def reset(bench: Bench, seed: int) -> Any:
    client = ActionClient(bench.probe, ResetRobot, "robot/reset")
    bench.graph.until(client.server_is_ready)
    ways: list[float] = []
    asked = client.send_goal_async(
        ResetRobot.Goal(seed=seed), lambda m: ways.append(m.feedback.distance_m)
    )
    bench.graph.until(asked.done)
    result = asked.result().get_result_async()
    bench.graph.until(result.done, 40.0)
    client.destroy()
    return result.result(), ways


def test_a_reset_brings_it_to_the_start_of_a_seed_slowly_and_says_since_when(
    graph: Any, driver: Path
) -> None:
    bench = Bench(graph, driver, seed=1)
    bench.hear(topic.CURRENT_POSE, topic.CURRENT_TWIST, topic.PERCEPTION)
    before = bench.newest(topic.PERCEPTION)
    result, ways = reset(bench, 7)
    assert result.status == 4, result.result.message
    assert result.result.success
    assert len(ways) > 5
    assert ways[-1] < 0.01
    speeds = [np.linalg.norm(twist_from(m.twist)[:3]) for m in bench.heard["current_twist"]]
    assert 0.05 < max(speeds) < 0.21
    since = ns_from_stamp(result.result.stamp)
    perceived = bench.heard["perception/vectors"]
    bench.graph.until(lambda: ns_from_stamp(perceived[-1].header.stamp) > since)
    after = bench.newest(topic.PERCEPTION)
    moved = vectors_from(after.vectors)["observation.environment_state"]
    was = vectors_from(before.vectors)["observation.environment_state"]
    assert np.abs(moved - was).max() > 0.005
    fresh = Bench(graph, driver, seed=7)
    start = fresh.node._running.live.ask(lambda world: world.driver.position_m)
    there = pose_from(bench.newest(topic.CURRENT_POSE).pose)[:3]
    np.testing.assert_allclose(there, start, atol=1.5e-3)


def test_an_arm_that_obeys_nobody_is_not_reset(bench: Bench) -> None:
    assert bench.graph.call(Trigger, "robot/stop", Trigger.Request()).success
    result, _ = reset(bench, 3)
    assert not result.result.success
    assert "recover it first" in result.result.message


def test_a_reset_is_given_up_when_it_is_cancelled(bench: Bench) -> None:
    client = ActionClient(bench.probe, ResetRobot, "robot/reset")
    bench.graph.until(client.server_is_ready)
    asked = client.send_goal_async(ResetRobot.Goal(seed=9))
    bench.graph.until(asked.done)
    goal = asked.result()
    bench.graph.spin(0.3)
    cancelled = goal.cancel_goal_async()
    bench.graph.until(cancelled.done)
    result = goal.get_result_async()
    bench.graph.until(result.done)
    assert result.result().result.message == "cancelled"
    client.destroy()


def test_faults_are_seen_on_their_topics_while_it_runs_and_end(bench: Bench) -> None:
    bench.hear(
        topic.JOINT_STATES,
        topic.CURRENT_POSE,
        topic.CURRENT_TWIST,
        topic.EXTERNAL_WRENCH,
        topic.PERCEPTION,
    )
    pose, joints = bench.heard["current_pose"], bench.heard["joint_states"]
    bench.graph.until(lambda: len(joints) > 5)
    assert bench.set(drop=["current_pose"], force_n=55.0).successful
    assert bench.set(nan=["joint_states"], frame=["current_twist"]).successful
    assert bench.set(ahead=["perception/vectors"], ahead_s=5.0).successful
    wrench, twist = bench.heard["external_wrench"], bench.heard["current_twist"]
    bench.graph.until(lambda: np.isnan(joints[-1].position[0]))
    bench.graph.until(lambda: wrench and wrench_from(wrench[-1].wrench)[2] > 50.0)
    bench.graph.until(lambda: twist[-1].header.frame_id == "somewhere")
    now = bench.node.get_clock().now().nanoseconds
    bench.graph.until(
        lambda: ns_from_stamp(bench.heard["perception/vectors"][-1].header.stamp) > now + 4e9
    )
    count = len(pose)
    bench.graph.spin(0.3)
    assert len(pose) == count
    assert bench.set(drop=[""], nan=[""], frame=[""], force_n=0.0).successful
    bench.graph.until(lambda: len(pose) > count and np.isfinite(joints[-1].position[0]))


def test_a_frozen_topic_goes_on_with_fresh_stamps_and_old_content(bench: Bench) -> None:
    bench.hear(topic.EXTERNAL_WRENCH)
    wrench = bench.heard["external_wrench"]
    assert bench.set(freeze=["external_wrench"]).successful
    bench.graph.spin(0.2)
    wrench.clear()
    bench.graph.until(lambda: len(wrench) > 20)
    assert len({m.wrench.force.x for m in wrench}) == 1
    assert len({ns_from_stamp(m.header.stamp) for m in wrench}) == len(wrench)


def test_a_delayed_topic_comes_late_with_its_old_stamps(bench: Bench) -> None:
    bench.hear(topic.JOINT_STATES)
    assert bench.set(delay=["joint_states"], delay_s=0.5).successful
    joints = bench.heard["joint_states"]

    def late() -> bool:
        joints.clear()
        bench.graph.until(lambda: joints)
        now_ns = bench.node.get_clock().now().nanoseconds
        return now_ns - ns_from_stamp(joints[-1].header.stamp) > 0.45e9

    bench.graph.until(late)


def test_a_fault_of_a_topic_that_is_not_there_is_refused(bench: Bench) -> None:
    refused = bench.set(drop=["joint_state"])
    assert not refused.successful
    assert "fault.drop: no topic 'joint_state'; did you mean 'joint_states'?" in refused.reason


def test_a_second_publisher_comes_and_goes(bench: Bench) -> None:
    name = "/test/twist_controller/commands"
    bench.graph.until(lambda: bench.probe.count_publishers(name) == 1)
    assert bench.set(second_publisher=True).successful
    bench.graph.until(lambda: bench.probe.count_publishers(name) == 2)
    assert bench.set(second_publisher=False).successful
    bench.graph.until(lambda: bench.probe.count_publishers(name) == 1)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"cameras": ["wrst"]}, "did you mean 'wrist'"),
        ({"task": "configs/cells/sim_fr3.yaml"}, "task"),
        ({"state_rate_hz": 400.0}, "400 samples a second, expected at most 250"),
        ({"fault.drop": ["joints"]}, "fault.drop: no topic 'joints'"),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_configured(
    graph: Any, overrides: Any, words: str
) -> None:
    node = graph.make(SimRobotNode, driver=str(DRIVER), **overrides)
    node.trigger_configure()
    said: DiagnosticArray = node.diagnostics.message("x", node.get_clock().now().to_msg())
    assert any(words in status.message for status in said.status), said.status
    assert not node.active
