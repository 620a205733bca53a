"""Any robot as one stream: `robot/state`, joined from what its own driver publishes.

It says nothing of an instant of which a part is wrong or missing; /diagnostics says which. What
each robot's driver publishes: `robot_table`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from robot_rl_msgs.msg import NamedVector, RobotState
from std_srvs.srv import Trigger

from robot_rl_nodes.conversion import write_vectors
from robot_rl_nodes.diagnostic import Level
from robot_rl_nodes.managed_node import ManagedNode
from robot_rl_nodes.process import main
from robot_rl_nodes.robot.parameter import PARAMETERS, reader
from robot_rl_nodes.robot.reader import Reading
from robot_rl_nodes.robot.table import BASE_FRAME, ROBOTS
from robot_rl_nodes.topic import FT_ZERO, ROBOT_DIAGNOSTICS, ROBOT_STATE, Quality

_SILENT_S = 0.5


class RobotInterfaceNode(ManagedNode):
    """Joins a robot's topics to `robot/state`, in the callback of an instant's last part."""

    PARAMETERS = PARAMETERS

    def __init__(self, **of: Any) -> None:
        super().__init__("robot_interface", **of)

    def setup(self, values: Mapping[str, Any]) -> None:
        """Listen to the robot's topics.

        Raises:
            ConfigError: if cell, task and robot do not fit together.
        """
        robot = ROBOTS[values["robot"]]
        self.reader = reader(values)
        self.diagnostics.hardware_id = values["robot"]
        self._out = self.publish_on(ROBOT_STATE)
        self._complaint: str | None = None
        for part in sorted(self.reader.parts):
            # The newest alone would not do: parts of one instant belong together.
            topic = replace(robot.topics[part], quality=Quality.STREAM)
            self.listen_to(topic, self._hearer(part), max_age_s=_SILENT_S)
        self.listen_to(ROBOT_DIAGNOSTICS, self.reader.hear_diagnostics)
        for topic, words in robot.faults.items():
            self.listen_to(topic, self._fault_hearer(topic.name, words))
        if "wrench" in self.reader.parts:
            self.serve(Trigger, FT_ZERO, self._zero)

    def _hearer(self, part: str) -> Callable[[Any], None]:
        def hear(message: Any) -> None:
            reading = self.reader.hear(part, message)
            if reading is not None:
                self._out.publish(_message(reading))
            self._complain()

        return hear

    def _fault_hearer(self, source: str, words: Callable[[Any], str]) -> Callable[[Any], None]:
        return lambda message: self.reader.hear_fault(source, words(message))

    def _complain(self) -> None:
        complaint = self.reader.complaint
        if complaint != self._complaint:
            self._complaint = complaint
            level = Level.ERROR if complaint else Level.OK
            self.diagnostics.set("robot", level, complaint or "all parts are heard")

    def _zero(self, request: Any, response: Any) -> Any:
        tare = self.reader.zero()
        response.success, response.message = True, f"zero is now {tare.round(3).tolist()}"
        return response


def _message(reading: Reading) -> RobotState:
    message = RobotState(
        vectors=write_vectors(NamedVector, reading.vectors),
        fault=reading.fault,
        commands=reading.commands,
    )
    message.header.stamp, message.header.frame_id = reading.stamp, BASE_FRAME
    return message


if __name__ == "__main__":
    raise SystemExit(main(lambda context: RobotInterfaceNode(context=context)))
