"""The gate as a node: the only publisher on the controller's topics, in front of one robot.

Arbiter, safety gate and seats are the library's (`robot_rl.runtime.gate`). It begins in STOP, and
whatever ends it, its last word to the controller is a hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rclpy.clock import JumpThreshold, TimeJump
from rclpy.duration import Duration
from robot_rl_msgs.srv import ClearStop, SetControlSource
from std_srvs.srv import Trigger

from robot_rl_nodes import topic
from robot_rl_nodes.diagnostic import Level
from robot_rl_nodes.gate.desk import Entrance
from robot_rl_nodes.gate.plan import PARAMETERS, plan
from robot_rl_nodes.gate.service import GateServices, Recovery
from robot_rl_nodes.gate.watch import ControllerWatch, await_first, publishers_on, take
from robot_rl_nodes.gate.work import GateWork, Outlets
from robot_rl_nodes.managed_node import ManagedNode
from robot_rl_nodes.process import main
from robot_rl_nodes.topic import Topic


class CommandGateNode(ManagedNode):
    """Guards the arm of one cell."""

    PARAMETERS = PARAMETERS

    def __init__(self, **of: Any) -> None:
        super().__init__("command_gate", **of)

    def setup(self, values: Mapping[str, Any]) -> None:
        """Open cell and task, and listen; nothing moves yet."""
        made = plan(values)
        self._wait_s = float(values["wait_s"])
        recovery = self.create_client(Trigger, topic.ROBOT_RECOVER)
        self.when_unmade(lambda: self.destroy_client(recovery))
        outlets = Outlets(
            command=tuple(self.publish_on(each) for each in made.topics),
            executed=self.publish_on(topic.EXECUTED_ACTION),
            control=self.publish_on(topic.CONTROL_STATE),
            safety=self.publish_on(topic.SAFETY_STATE),
            recover=Recovery(recovery, Trigger.Request),
        )
        watch = ControllerWatch(self, [each.name for each in made.topics])
        self._work = GateWork(
            made, outlets, watch, lambda: self.now_ns, self.monotonic, self.diagnostics
        )
        self._listen(made.cell.limits.max_observation_age_s)
        self._timer = self.every(made.period_s, self._tick)
        self._timer.cancel()

    def begin(self) -> None:
        """Take the arm, in STOP.

        Raises:
            HardwareError: naming the topic on which robot or controller are missing.
        """
        # The clock too, which would stand still otherwise.
        heard = (s for s in self.subscriptions if s is self._states or s.topic_name == "/clock")
        await_first(heard, self._work.link.check, self._wait_s)
        # The first word of a logger takes a tenth of a second: not while the arm moves.
        self.get_logger().info("takes the arm, in STOP")
        self._work.begin()
        self._again()

    def rest(self) -> None:
        """Bring the arm to rest."""
        self._timer.cancel()
        self._work.rest("the gate was deactivated")

    def _listen(self, max_age_s: float) -> None:
        work, desk = self._work, self._work.desk
        # While inactive too: an arm is not taken before it was measured.
        self._states = self.listen_to(
            topic.ROBOT_STATE, self._hear, always=True, max_age_s=max_age_s
        )
        services = GateServices(desk, lambda: work.server, lambda name: publishers_on(self, name))
        self._heard = (
            self._states,
            self._admit(topic.POLICY_ACTION, desk.actors),
            self._admit(topic.PERSON_ACTION, desk.persons),
        )
        self.serve(SetControlSource, topic.TAKE_ACTOR_SEAT, services.seat(desk.actors))
        self.serve(SetControlSource, topic.TAKE_PERSON_SEAT, services.seat(desk.persons))
        self.serve(Trigger, topic.GATE_STOP, services.stop)
        self.serve(ClearStop, topic.GATE_CLEAR, services.clear)
        backward = Duration(nanoseconds=-1)
        jumps = self.get_clock().create_jump_callback(
            JumpThreshold(min_forward=None, min_backward=backward), post_callback=self._jumped
        )
        self.when_unmade(jumps.unregister)

    def _admit(self, said: Topic, entrance: Entrance) -> Any:
        return self.listen_to(
            said,
            lambda message: self._work.desk.put(entrance, message),
            events={
                "liveliness": lambda event: self._work.desk.noticed(entrance, event.alive_count),
                "deadline": lambda event: self.diagnostics.set(
                    f"deadline of {said.name}", Level.WARN, "missed", times=event.total_count
                ),
            },
        )

    def _hear(self, message: Any) -> None:
        self._work.schedule.arrived()
        self._work.link.put(message)

    def _tick(self) -> None:
        self._work.lower(float(self.get_parameter("max_tcp_speed_m_s").value or 0.0))
        take(self._heard)
        self._work.tick()
        self._again()

    def _again(self) -> None:
        """Be woken at the schedule's next instant."""
        self._timer.timer_period_ns = self._work.schedule.wait_ns
        self._timer.reset()

    def _jumped(self, jump: TimeJump) -> None:
        by_s = jump.delta.nanoseconds / 1e9
        self._work.link.distrust(f"/clock jumped by {by_s:.3f} s: stamps cannot be trusted")


if __name__ == "__main__":
    raise SystemExit(main(lambda context: CommandGateNode(context=context)))
