from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from robot_rl_msgs.msg import ControlState, ExecutedAction, SafetyState
from robot_rl_msgs.srv import ClearStop, SetControlSource
from std_srvs.srv import Trigger

from robot_rl.control.watchdog import watched
from robot_rl.core.types import GateReason, GateState
from robot_rl.runtime.gate import seat
from robot_rl.runtime.gate.server import STARTED
from robot_rl_nodes import topic
from robot_rl_nodes.command_gate_node import CommandGateNode

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "bench"))
from ros_peers import Commander, Robot, Rogue, Time

pytestmark = pytest.mark.ros

HOME = Path(__file__).parents[2]
CELL = HOME / "configs/cells/sim_fr3.yaml"
TASK = str(HOME / "configs/tasks/pick_cube.yaml")


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing here is about time; on a machine that others use too it may stand still."""

    def patiently(name: str, watcher: str) -> Any:
        return replace(watched(name, watcher), limit_s=2.0)

    monkeypatch.setattr(seat, "watched", patiently)
    cell = CELL.read_text().replace("max_late_ticks: 3", "max_late_ticks: 200")
    for age in ("observation_age_s: 0.2", "command_age_s: 0.1"):
        cell = cell.replace(f"max_{age}", f"max_{age.split(':')[0]}: 0.6")
    (tmp_path / "cell.yaml").write_text(cell)
    monkeypatch.setenv("PATIENT_CELL", str(tmp_path / "cell.yaml"))


class Scene:
    """A gate with a robot, and what is heard of it."""

    def __init__(self, graph: Any, robot: bool = True, **overrides: Any) -> None:
        self.graph = graph
        of = {"context": graph.context, "namespace": "test"}
        self.of = of
        self.robot: Any = graph.add(Robot(**of)) if robot else None
        self.probe = graph.plain()
        self.executed: list[ExecutedAction] = []
        self.safety: list[SafetyState] = []
        self.control: list[ControlState] = []
        for heard, kept in (
            (topic.EXECUTED_ACTION, self.executed),
            (topic.SAFETY_STATE, self.safety),
            (topic.CONTROL_STATE, self.control),
        ):
            profile = heard.quality.subscribed
            self.probe.create_subscription(heard.type, heard.name, kept.append, profile)
        values = {"cell": os.environ["PATIENT_CELL"], "task": TASK, "wait_s": 0.0} | overrides
        self.node = graph.make(CommandGateNode, **values)
        self.node.trigger_configure()

    def activate(self) -> Scene:
        def active() -> bool:
            self.graph.spin(0.2)
            self.node.trigger_activate()
            return self.node.active

        self.graph.until(active)
        self.graph.until(lambda: self.safety and self.control)
        return self

    def clear(self, by: str = "Ada") -> Any:
        cause = self.safety[-1].cause
        request = ClearStop.Request(request=ClearStop.Request.CLEAR, by=by, cause=cause)
        return self.graph.call(ClearStop, topic.GATE_CLEAR, request)

    def resume(self, by: str = "Ada") -> Any:
        request = ClearStop.Request(request=ClearStop.Request.RESUME, by=by)
        return self.graph.call(ClearStop, topic.GATE_CLEAR, request)

    def drive(self) -> Any:
        """An actor who drives, as soon as a person has cleared."""
        actor = self.graph.add(Commander(**self.of))
        self.graph.until(lambda: actor.epoch)
        self.run()
        return actor

    def run(self) -> None:
        """Clear and resume until the arm moves: on a busy machine it may have to be again."""
        for _ in range(20):
            if self.safety[-1].state >= SafetyState.STOP:
                self.clear()
            elif self.safety[-1].state == SafetyState.HOLD:
                self.resume()
            self.graph.spin(0.3)
            if self.moves:
                return
        raise AssertionError(f"the arm does not move: {self.safety[-1]}")

    @property
    def moves(self) -> bool:
        return bool(self.executed) and bool(np.any(self.executed[-1].data[:6]))

    def rests(self, state: GateState, words: str) -> None:
        """Wait for a state with a cause that has these words, and no motion."""
        self.graph.until(lambda: self.safety[-1].state >= state and words in self.safety[-1].cause)
        self.graph.until(lambda: not self.moves)
        self.graph.until(lambda: not self.robot.commands[-1][1].any())

    def told(self, part: str) -> str:
        message = self.node.diagnostics.message("", self.node.get_clock().now().to_msg())
        return next((s.message for s in message.status if s.name.endswith(part)), "")


def test_a_gate_takes_the_arm_in_stop_and_drives_it_once_a_person_has_cleared(graph: Any) -> None:
    scene = Scene(graph).activate()
    assert scene.safety[0].state == SafetyState.STOP
    assert STARTED in scene.safety[0].cause
    wrong = ClearStop.Request(request=ClearStop.Request.CLEAR, by="Ada", cause="whatever")
    assert STARTED in graph.call(ClearStop, topic.GATE_CLEAR, wrong).message
    nobody = ClearStop.Request(request=ClearStop.Request.CLEAR, by=" ", cause=STARTED)
    assert "name of the person" in graph.call(ClearStop, topic.GATE_CLEAR, nobody).message
    actor = scene.drive()
    start = scene.robot.position_m.copy()
    graph.until(lambda: abs(scene.robot.position_m[1] - start[1]) > 0.01)
    assert scene.control[-1].actor == "actor"
    assert scene.control[-1].controller_publishers == 1
    assert scene.executed[-1].actor_seq >> 32 == actor.epoch
    assert scene.executed[-1].header.frame_id == "fr3_link0"
    assert scene.robot.gripper[-1] == 1.0
    stopped = graph.call(Trigger, topic.GATE_STOP, Trigger.Request())
    assert stopped.success
    scene.rests(GateState.STOP, "gate/stop")


def test_without_a_robot_or_a_controller_the_gate_is_not_activated_and_names_the_topic(
    graph: Any,
) -> None:
    scene = Scene(graph, robot=False)
    scene.node.trigger_activate()
    assert not scene.node.active
    assert "robot/state is silent" in scene.told("fault")
    state = topic.ROBOT_STATE
    mute = graph.add(Robot(**scene.of))
    for subscription in list(mute.subscriptions):
        if "twist" in subscription.topic_name:
            mute.destroy_subscription(subscription)
    graph.until(lambda: scene.node.diagnostics.flow(state.name, None) and mute.position_m.any())
    graph.spin(0.5)
    graph.until(
        lambda: not scene.node.trigger_activate() or "nobody listens" in scene.told("fault")
    )
    assert not scene.node.active
    assert "nobody listens to /test/twist_controller/commands" in scene.told("fault")


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"cell": "nowhere.yaml"}, "nowhere.yaml"),
        ({"task": ""}, "'task' is missing"),
        ({"controler": "pose"}, "did you mean 'controller'"),
        ({"controller": "joint_velocity"}, "carries out joint_delta"),
        ({"max_tcp_speed_m_s": 0.5}, "looser are: max_tcp_speed_m_s"),
        ({"task": str(HOME / "nowhere.yaml")}, "nowhere.yaml"),
    ],
)
def test_what_does_not_fit_refuses_the_configuration_by_name(
    graph: Any, overrides: dict[str, Any], words: str
) -> None:
    scene = Scene(graph, robot=False, **overrides)
    assert scene.node.state_id == 1
    assert words in scene.told("fault")


def test_an_actor_who_falls_silent_is_lost_until_a_person_resumes(graph: Any) -> None:
    scene = Scene(graph).activate()
    actor = scene.drive()
    actor.asks, actor.silent = False, True
    graph.until(lambda: scene.safety[-1].reason_name == "PEER_LOST")
    scene.rests(GateState.HOLD, "actor")
    graph.until(lambda: scene.control[-1].actor == "")
    actor.asks, actor.silent = True, False
    graph.spin(0.5)
    assert not scene.moves
    scene.run()


def test_a_seat_is_given_to_one_and_a_wrong_source_gets_none(graph: Any) -> None:
    scene = Scene(graph).activate()
    graph.add(Commander(**scene.of))
    graph.until(lambda: scene.control[-1].actor == "actor")
    take = SetControlSource.Request.TAKE
    second = SetControlSource.Request(request=take, source=0, name="second")
    assert (
        "'actor' commands" in graph.call(SetControlSource, topic.TAKE_ACTOR_SEAT, second).message
    )
    person = SetControlSource.Request(request=take, source=1, name="Ada")
    answer = graph.call(SetControlSource, topic.TAKE_ACTOR_SEAT, person)
    assert not answer.success
    assert "POLICY (0)" in answer.message
    answer = graph.call(SetControlSource, topic.TAKE_PERSON_SEAT, person)
    assert answer.success
    assert (answer.period_s, len(answer.action_names)) == (0.1, 7)


def test_a_second_publisher_on_the_controllers_topic_stops_the_arm_and_is_named(
    graph: Any,
) -> None:
    scene = Scene(graph).activate()
    scene.drive()
    rogue = graph.add(Rogue(**scene.of))
    scene.rests(GateState.STOP, "/test/rogue")
    assert scene.clear().success
    graph.spin(1.3)
    assert scene.safety[-1].state == SafetyState.STOP
    rogue.destroy_publisher(rogue._out)
    graph.until(lambda: not scene.safety[-1].fault)
    scene.run()


@pytest.mark.parametrize(
    ("wrong", "reason", "words"),
    [
        (
            lambda r: r.wrench.__setitem__(0, np.nan),
            "OBSERVATION_NON_FINITE",
            "observation.wrench",
        ),
        (
            lambda r: setattr(r, "ahead_s", 5.0),
            "STALE_OBSERVATION",
            "in the future: another clock",
        ),
        (lambda r: setattr(r, "ahead_s", -5.0), "STALE_OBSERVATION", "went back by"),
        (lambda r: setattr(r, "stamp_ns", 0), "STALE_OBSERVATION", "is zero"),
        (lambda r: setattr(r, "silent", True), "STALE_OBSERVATION", "old"),
    ],
    ids=["nan", "future", "past", "unstamped", "silent"],
)
def test_a_robot_state_that_cannot_be_true_holds_the_arm_and_is_named(
    graph: Any, wrong: Any, reason: str, words: str
) -> None:
    scene = Scene(graph).activate()
    scene.drive()
    before = len(scene.safety)
    wrong(scene.robot)
    graph.until(
        lambda: any(s.reason_name == reason and words in s.cause for s in scene.safety[before:])
    )
    scene.rests(GateState.HOLD, "")


def test_a_robot_that_stays_silent_stops_the_gate_which_lives_on(graph: Any) -> None:
    scene = Scene(graph).activate()
    scene.drive()
    scene.robot.silent = True
    scene.rests(GateState.STOP, "robot/state has been silent for more than 1 s")
    assert scene.node.active
    scene.robot.silent = False
    graph.until(lambda: not scene.safety[-1].fault)
    scene.run()


def test_a_robot_that_stops_by_itself_is_asked_to_recover_on_a_persons_word(graph: Any) -> None:
    scene = Scene(graph).activate()
    scene.drive()
    scene.robot.fault = "a reflex"
    scene.rests(GateState.STOP, "robot: a reflex")
    graph.spin(0.3)
    assert scene.robot.recoveries == 0
    scene.run()
    assert scene.robot.recoveries >= 1


def test_a_limit_is_not_raised_while_active_and_a_lower_one_holds_after_a_clear(
    graph: Any,
) -> None:
    scene = Scene(graph, max_tcp_speed_m_s=0.05).activate()
    set_limit = lambda v: scene.node.set_parameters(  # noqa: E731
        [type(scene.node.get_parameter("wait_s"))("max_tcp_speed_m_s", value=v)]
    )[0]
    assert "not raised" in set_limit(0.1).reason
    assert set_limit(0.01).successful
    graph.until(lambda: scene.robot.commands and scene.safety[-1].state == SafetyState.STOP)
    graph.spin(0.3)
    actor = scene.drive()
    actor.action = [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0]
    graph.spin(0.5)
    fastest = max(np.linalg.norm(v[:3]) for _, v in scene.robot.commands[-40:])
    assert 0.0 < fastest <= 0.0101


def test_deactivating_ends_in_a_hold(graph: Any) -> None:
    scene = Scene(graph).activate()
    scene.drive()
    scene.node.trigger_deactivate()
    graph.spin(0.3)
    assert not scene.robot.commands[-1][1].any()


def test_without_a_clock_the_gate_is_not_activated_and_once_it_jumps_back_the_arm_is_held(
    graph: Any,
) -> None:
    scene = Scene(graph, use_sim_time=True)
    graph.spin(0.5)
    scene.node.trigger_activate()
    assert not scene.node.active
    assert "another clock? Synchronise the machines, or set use_sim_time" in scene.told("fault")
    clock = graph.add(Time(**scene.of))
    scene.activate()
    actor = scene.drive()
    before = len(scene.safety)
    clock.jumped_s = -10.0
    scene.robot.ahead_s = actor.ahead_s = -10.0
    words = ("jumped by -", "went back by")
    graph.until(lambda: any(w in s.cause for w in words for s in scene.safety[before:]))
    ticks = scene.executed[-1].tick
    scene.rests(GateState.HOLD, "") if scene.safety[-1].state else None
    graph.until(lambda: scene.executed[-1].tick > ticks + 20)
    scene.run()
    clock.stands = True
    graph.until(lambda: scene.executed[-1].reason == GateReason.STALE_OBSERVATION)
    graph.until(lambda: "another clock" in scene.safety[-1].cause)
