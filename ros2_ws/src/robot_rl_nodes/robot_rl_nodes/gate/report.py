"""What the gate tells of each tick, as messages."""

from __future__ import annotations

from typing import Any, Protocol

from robot_rl_msgs.msg import ControlState, ExecutedAction, SafetyState

from robot_rl.core.types import GateReason, Source
from robot_rl.runtime.gate.message import Report
from robot_rl_nodes.conversion import float32s, float64s, stamp_from_ns

_REPEAT_S = 0.1


class Outlet(Protocol):
    """Where messages go."""

    def publish(self, msg: Any, /) -> None:
        """Publish a message."""
        ...


class Reporter:
    """Publishes each tick, and who drives and why the arm holds when that changes or at 10 Hz.

    Args:
        executed, control, safety: control/executed_action, control/state and safety/state.
        period_s: of the gate.
    """

    def __init__(self, executed: Outlet, control: Outlet, safety: Outlet, period_s: float) -> None:
        self._executed, self._control, self._safety = executed, control, safety
        self._repeat = max(1, round(_REPEAT_S / period_s))
        self._interventions = 0
        self._source: int | None = None
        self._since: Any = None
        self._said: Any = None

    def tell(
        self, report: Report, stamp_ns: int, frame: str, sample_stamp: Any, about: Any
    ) -> None:
        """Publish what is due.

        Args:
            report: of the tick.
            stamp_ns: ROS time at which it began.
            frame: the robot's base.
            sample_stamp: of the robot's state that was looked at.
            about: names of whoever sits as actor and as person, publishers of the controller.
        """
        executed = ExecutedAction(
            tick=report.tick,
            source=int(report.source),
            intervention_start=bool(report.intervening),
            state=int(report.state),
            reason=int(report.reason),
            data=float32s(report.executed),
            travel=float64s(report.travel),
            actor_seq=_seq(report.actor),
            person_seq=_seq(report.person),
        )
        self._head(executed, stamp_ns, frame)
        if sample_stamp is not None:
            executed.sample_stamp = sample_stamp
        self._executed.publish(executed)
        self._interventions += int(report.intervening)
        if report.source != self._source:
            self._source, self._since = int(report.source), executed.header.stamp
        said = (report.source, report.state, report.reason, report.cause, report.fault, about)
        if said != self._said or report.tick % self._repeat == 0:
            self._said = said
            self._control.publish(self._head(self._driver(report, *about), stamp_ns, frame))
            self._safety.publish(self._head(_safety(report), stamp_ns, frame))

    def _driver(self, report: Report, actor: str, person: str, publishers: int) -> ControlState:
        return ControlState(
            source=int(report.source),
            intervention=report.source == Source.HUMAN,
            intervention_id=self._interventions,
            since=self._since,
            actor=actor,
            person=person,
            actor_seq=_seq(report.actor),
            person_seq=_seq(report.person),
            controller_publishers=publishers,
        )

    def _head(self, message: Any, stamp_ns: int, frame: str) -> Any:
        stamp_from_ns(max(0, stamp_ns), message.header.stamp)
        message.header.frame_id = frame
        return message


def _safety(report: Report) -> SafetyState:
    return SafetyState(
        state=int(report.state),
        reason=int(report.reason),
        reason_name=GateReason(report.reason).name,
        cause=report.cause[:300],
        fault=report.fault[:300],
        tick=report.tick,
        missed=report.missed,
        lateness_s=float(report.late_s),
    )


def _seq(heard: tuple[int, int]) -> int:
    return (heard[0] << 32) | heard[1]
