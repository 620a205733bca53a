"""The gate at work between topics: link, desk and server in one, and how they begin and end.

Not here: rclpy. Whoever owns this makes the topics and keeps the time.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from robot_rl.control.rate import Tick
from robot_rl.core.clock import NS_PER_S, Clock
from robot_rl.core.types import GateReason
from robot_rl.runtime.gate.message import Report
from robot_rl.runtime.gate.process import build
from robot_rl.runtime.gate.server import GateServer
from robot_rl_nodes.conversion import stamp_from_ns
from robot_rl_nodes.diagnostic import Diagnostics, Level
from robot_rl_nodes.gate.desk import TopicDesk
from robot_rl_nodes.gate.link import TopicLink, Ways
from robot_rl_nodes.gate.plan import GatePlan, limited
from robot_rl_nodes.gate.report import Outlet, Reporter
from robot_rl_nodes.gate.schedule import Schedule
from robot_rl_nodes.gate.watch import ControllerWatch
from robot_rl_nodes.gate.writer import writer
from robot_rl_nodes.source import HeaderTime
from robot_rl_nodes.topic import ROBOT_STATE

_ENDING_S = 2.0
"""The arm has come to rest by then, or will not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlets:
    """Where messages go.

    Args:
        command: to the robot's controllers, one for each of `GatePlan.topics`.
        executed, control, safety: what is told.
        recover: asks the robot to obey again.
    """

    command: tuple[Outlet, ...]
    executed: Outlet
    control: Outlet
    safety: Outlet
    recover: Callable[[], object]


class GateWork:
    """One robot's gate.

    Args:
        plan: what it is to be.
        outlets: where messages go.
        watch: of the controller's topics.
        ros_now_ns: ROS time, for stamps [ns].
        clock: monotonic, by which all else is judged.
        diagnostics: of the node.

    Attributes:
        link, desk, schedule: the gate's.
    """

    def __init__(
        self,
        plan: GatePlan,
        outlets: Outlets,
        watch: ControllerWatch,
        ros_now_ns: Callable[[], int],
        clock: Clock,
        diagnostics: Diagnostics,
    ) -> None:
        self._plan = plan
        self._limit = plan.speed_m_s
        self._watch = watch
        self._ros_now_ns = ros_now_ns
        self._clock = clock
        self._diagnostics = diagnostics
        self._stamp_ns = 0
        time_of = HeaderTime(ros_now_ns, clock)
        limits = plan.cell.limits
        ways = Ways(
            command=outlets.command[0].publish,
            gripper=outlets.command[-1].publish,
            recover=outlets.recover,
            intruded=watch.intruded,
        )
        made = writer(plan.controller, plan.period_s, plan.leash, self._head)
        most_s = limits.max_observation_age_s
        self.link = TopicLink(plan.played, made, ways, time_of, most_s, clock)
        self.desk = TopicDesk(
            plan.action,
            plan.period_s,
            limits.max_command_age_s,
            time_of,
            clock,
            # A lease that the process before this one has given must not be good here.
            secrets.randbits(31),
            self._tell,
        )
        self.schedule = Schedule(clock, plan.period_s)
        self._reporter = Reporter(outlets.executed, outlets.control, outlets.safety, plan.period_s)
        self.server = self._build()

    def begin(self) -> None:
        """Take the robot, in STOP.

        Raises:
            ConfigError: if real time is required and not granted.
        """
        self._plan.realtime.apply()
        self.server = self._build()
        self.schedule.start()

    def tick(self) -> None:
        """Do what is due, if it is; see `GateServer.tick`."""
        if tick := self.schedule.wake():
            self._tick(tick)

    def rest(self, cause: str) -> None:
        """Bring the arm to rest; whatever happens, the last word to the controller is a hold."""
        self.server.gate.stop(cause)
        deadline_ns = self._clock.now_ns() + round(_ENDING_S * NS_PER_S)
        try:
            while not self.server.at_rest and self._clock.now_ns() < deadline_ns:
                self._clock.sleep_until_ns(self.schedule.due_ns)
                self.tick()
        finally:
            self.link.hold()

    def lower(self, speed_m_s: float) -> None:
        """Enforce another limit of speed, once the arm has come to rest."""
        if speed_m_s == self._limit:
            return
        cause = f"max_tcp_speed_m_s becomes {speed_m_s:g}: look at the arm, then clear it"
        self.server.gate.stop(cause)
        if self.server.at_rest:
            self._limit = speed_m_s
            self._plan = replace(self._plan, cell=limited(self._plan.cell, speed_m_s))
            self.server = self._build()

    def _build(self) -> GateServer:
        plan = self._plan
        return build(plan.cell, self.link, self.desk, plan.rule, self._clock)

    def _tick(self, tick: Tick) -> None:
        self._stamp_ns = self._ros_now_ns()
        if trouble := self.link.trouble:
            self.server.gate.hold(GateReason.STALE_OBSERVATION, trouble)
        self.server.tick(tick)
        self._complain(ROBOT_STATE.name, trouble)
        for entrance in (self.desk.actors, self.desk.persons):
            self._complain(entrance.topic, entrance.complaint)

    def _complain(self, about: str, words: str) -> None:
        if words:
            self._diagnostics.set(f"trust in {about}", Level.ERROR, words)
        else:
            self._diagnostics.clear(f"trust in {about}")

    def _tell(self, report: Report) -> None:
        seats = [seat.name if seat.party else "" for seat in (self.desk.actor, self.desk.person)]
        about = (*seats, self._watch.publishers)
        self._reporter.tell(report, self._stamp_ns, self.link.frame, self.link.stamp, about)
        latched = Level.OK if report.state == 0 else Level.WARN
        self._diagnostics.set("gate", latched, report.cause, state=report.state.name)

    def _head(self, header: Any) -> None:
        stamp_from_ns(max(0, self._ros_now_ns()), header.stamp)
        header.frame_id = self.link.frame
