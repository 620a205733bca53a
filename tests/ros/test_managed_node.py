from __future__ import annotations

from typing import Any

import pytest
from lifecycle_msgs.msg import State
from rcl_interfaces.msg import Log
from rclpy.parameter import Parameter as RosParameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from robot_rl_msgs.msg import RobotState
from std_srvs.srv import Trigger

from robot_rl.core.errors import HardwareError
from robot_rl_nodes.managed_node import ManagedNode
from robot_rl_nodes.parameter import Parameter
from robot_rl_nodes.topic import ROBOT_STATE, WRENCH

pytestmark = pytest.mark.ros


class Echo(ManagedNode):
    PARAMETERS = (
        Parameter(
            name="rate_hz", default=20.0, description="[Hz]", minimum=1, maximum=100, limit=True
        ),
        Parameter(name="device", default="", description="what is opened", required=True),
        Parameter(name="mode", default="fast", description="how", choices=("fast", "slow")),
    )

    def __init__(self, **of: Any) -> None:
        super().__init__("echo", **of)
        self.heard: list[Any] = []
        self.closed = 0

    def setup(self, values: Any) -> None:
        if values["device"] == "broken":
            raise HardwareError("device 'broken' does not answer: is it connected?")
        self.when_unmade(self.close)
        self.out = self.publish_on(ROBOT_STATE)
        self.listen_to(ROBOT_STATE, self.hear, max_age_s=0.3)
        self.serve(Trigger, "echo/ask", self.answer)
        self.every(0.02, lambda: self.out.publish(RobotState()))

    def hear(self, message: Any) -> None:
        if message.fault:
            raise ValueError(message.fault)
        self.heard.append(message)

    def answer(self, request: Any, response: Any) -> Any:
        raise HardwareError("nobody is at home")

    def rest(self) -> None:
        self.out.publish(RobotState(fault="last word"))

    def close(self) -> None:
        self.closed += 1


def test_an_active_node_hears_itself_and_an_inactive_one_is_silent(graph: Any) -> None:
    node = graph.make(Echo, device="a")
    node.trigger_configure()
    graph.spin(0.3)
    assert not node.heard
    node.trigger_activate()
    graph.until(lambda: len(node.heard) > 3)
    node.trigger_deactivate()
    count = len(node.heard)
    graph.spin(0.3)
    assert len(node.heard) == count


def test_what_is_published_while_coming_to_rest_still_goes_out(graph: Any) -> None:
    node = graph.start(Echo, device="a")
    faults: list[str] = []
    graph.plain().create_subscription(
        RobotState, "robot/state", lambda m: faults.append(m.fault), 10
    )
    graph.until(lambda: faults)
    node.trigger_deactivate()
    graph.until(lambda: faults[-1] == "last word")


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({}, "'device' is missing"),
        ({"device": "a", "rate": 3.0}, "did you mean 'rate_hz'"),
        ({"device": "a", "mode": "slw"}, "expected one of: fast, slow"),
        ({"device": "broken"}, "does not answer"),
    ],
)
def test_a_node_that_cannot_be_configured_stays_unconfigured_and_says_why(
    graph: Any, overrides: Any, words: str
) -> None:
    node = graph.make(Echo, **overrides)
    node.trigger_configure()
    assert node.state_id == State.PRIMARY_STATE_UNCONFIGURED
    said = node.diagnostics.message("unconfigured", node.get_clock().now().to_msg()).status
    assert any(words in status.message for status in said), [s.message for s in said]


def test_a_limit_is_lowered_but_not_raised_while_active(graph: Any) -> None:
    node = graph.start(Echo, device="a")

    def set_rate(value: float) -> Any:
        return node.set_parameters([RosParameter("rate_hz", value=value)])[0]

    assert set_rate(10.0).successful
    assert "not raised while the node is active" in set_rate(15.0).reason
    assert not node.set_parameters([RosParameter("mode", value="slow")])[0].successful
    node.trigger_deactivate()
    assert set_rate(15.0).successful
    assert not set_rate(1000.0).successful


def test_an_exception_in_a_callback_deactivates_the_node_and_is_told(graph: Any) -> None:
    node = graph.start(Echo, device="a")
    heard: list[Any] = []
    probe = graph.plain()
    from diagnostic_msgs.msg import DiagnosticArray

    probe.create_subscription(
        DiagnosticArray, "/diagnostics", lambda m: heard.extend(m.status), 10
    )
    speaker = probe.create_publisher(RobotState, "robot/state", 1)
    graph.until(lambda: speaker.get_subscription_count() > 0)
    graph.until(lambda: speaker.publish(RobotState(fault="bad news")) or not node.active)
    graph.until(lambda: any("ValueError: bad news" in s.message for s in heard))
    assert node.state_id == State.PRIMARY_STATE_INACTIVE


def test_a_service_that_fails_says_so(graph: Any) -> None:
    node = graph.start(Echo, device="a")
    answer = graph.call(Trigger, "echo/ask", Trigger.Request())
    assert not answer.success
    assert "nobody is at home" in answer.message
    node.trigger_deactivate()
    assert "not active" in graph.call(Trigger, "echo/ask", Trigger.Request()).message


def test_silence_and_a_mismatch_of_quality_are_told(graph: Any) -> None:
    class Listener(ManagedNode):
        def __init__(self, **of: Any) -> None:
            super().__init__("listener", **of)

        def setup(self, values: Any) -> None:
            self.listen_to(ROBOT_STATE, lambda m: None, max_age_s=0.1)
            self.listen_to(WRENCH, lambda m: None, recorded=True)

    from geometry_msgs.msg import WrenchStamped

    from robot_rl_nodes.topic import POLICY_ACTION

    node = graph.start(Listener)
    node.listen_to(POLICY_ACTION, lambda m: None)
    plain = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
    probe = graph.plain()
    foreign = probe.create_publisher(POLICY_ACTION.type, "policy/action", plain)
    probe.create_publisher(WrenchStamped, "ft/wrench", plain)

    def said() -> list[str]:
        stamp = node.get_clock().now().to_msg()
        return [s.message for s in node.diagnostics.message("active", stamp).status]

    graph.until(lambda: any("policy/action: somebody's quality" in words for words in said()))
    graph.until(lambda: any("silent for" in words for words in said()))
    assert foreign is not None


def test_a_node_that_ends_lets_go_of_everything(graph: Any) -> None:
    node = graph.start(Echo, device="a")
    node.end()
    assert node.state_id == State.PRIMARY_STATE_FINALIZED
    assert node.closed == 1


def test_what_cannot_be_let_go_of_is_logged_and_the_rest_is_let_go_of(graph: Any) -> None:
    gone: list[str] = []

    class Stuck(Echo):
        def setup(self, values: Any) -> None:
            self.when_unmade(lambda: gone.append("first"))
            super().setup(values)
            self.when_unmade(self.jam)
            self.when_unmade(lambda: gone.append("last"))

        def jam(self) -> None:
            raise HardwareError("it is stuck")

    node = graph.start(Stuck, device="a")
    publishers, timers = len(list(node.publishers)), len(list(node.timers))
    said: list[str] = []
    graph.plain().create_subscription(Log, "/rosout", lambda m: said.append(m.msg), 10)
    graph.spin(0.2)
    node.trigger_deactivate()
    node.trigger_cleanup()
    assert node.state_id == State.PRIMARY_STATE_UNCONFIGURED
    assert (node.closed, gone) == (1, ["last", "first"])
    assert len(list(node.publishers)) == publishers - 1
    assert len(list(node.timers)) == timers - 1
    graph.until(lambda: any("it is stuck" in words for words in said))
    node.trigger_configure()
    assert node.state_id == State.PRIMARY_STATE_INACTIVE


def test_who_listens_always_hears_while_inactive_too(graph: Any) -> None:
    heard: list[str] = []

    class Ear(ManagedNode):
        def __init__(self, **of: Any) -> None:
            super().__init__("ear", **of)

        def setup(self, values: Any) -> None:
            self.listen_to(ROBOT_STATE, lambda m: heard.append("always"), always=True)
            self.listen_to(ROBOT_STATE, lambda m: heard.append("active"))

    node = graph.make(Ear)
    node.trigger_configure()
    speaker = graph.plain().create_publisher(RobotState, "robot/state", 1)
    graph.until(lambda: speaker.get_subscription_count() == 2)
    graph.until(lambda: speaker.publish(RobotState()) or len(heard) > 3)
    assert set(heard) == {"always"}
    node.trigger_activate()
    graph.until(lambda: speaker.publish(RobotState()) or "active" in heard)


def test_a_node_that_is_destroyed_is_in_the_graph_no_more(graph: Any) -> None:
    def is_there() -> bool:
        return "echo" in probe.get_node_names()

    probe = graph.plain()
    # Kept here: no collector of garbage shall have done it.
    node = Echo(context=graph.context, overrides={"device": "a"})
    graph.until(is_there)
    node.end()
    node.destroy_node()
    graph.until(lambda: not is_there(), 5.0)
