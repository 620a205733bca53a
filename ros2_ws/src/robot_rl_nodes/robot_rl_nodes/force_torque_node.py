"""One force-torque sensor: read as fast as it speaks, published at the rate that is asked for.

`ft/wrench` is what the environment does to the tool, about the tcp in the tcp's frame;
`ft/wrench_raw` is what the sensor says in its own. What cannot be true is not published.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geometry_msgs.msg import WrenchStamped
from std_srvs.srv import Trigger

from robot_rl.config.load import load
from robot_rl.core.errors import ContractError
from robot_rl.core.spec import TCP_POSE, WRENCH
from robot_rl.core.types import Observation, Vector
from robot_rl_hardware.force_torque.compensation import CompensationConfig
from robot_rl_hardware.force_torque.sensor import ForceTorqueConfig
from robot_rl_nodes import topic
from robot_rl_nodes.conversion import stamp_from_ns, vectors_from, write_wrench
from robot_rl_nodes.device import DEVICE, Device
from robot_rl_nodes.diagnostic import Level
from robot_rl_nodes.managed_node import ManagedNode
from robot_rl_nodes.parameter import Parameter
from robot_rl_nodes.process import main
from robot_rl_nodes.robot.table import TCP_FRAME

_STATE_MAX_AGE_S = 0.2


class ForceTorqueNode(ManagedNode):
    """Publishes one force-torque sensor."""

    PARAMETERS = (
        DEVICE,
        Parameter(
            name="compensation",
            default="",
            description="path of the YAML that says what hangs on the sensor and where it sits",
            required=True,
        ),
        Parameter(
            name="rate_hz",
            default=200.0,
            description="wrenches a second [Hz]",
            minimum=100.0,
            maximum=250.0,
        ),
        Parameter(name="frame_id", default="ft_link", description="the sensor's frame"),
    )

    def __init__(self, **of: Any) -> None:
        super().__init__("force_torque_node", **of)

    def setup(self, values: Mapping[str, Any]) -> None:
        """Begin to open the sensor."""
        config = load(Path(values["device"]), ForceTorqueConfig)
        self._tool = load(Path(values["compensation"]), CompensationConfig).build()
        self._frame_id = values["frame_id"]
        self._last_ns = 0
        self._turned_ns: int | None = None
        self._out = self.publish_on(topic.WRENCH)
        self._raw_out = self.publish_on(topic.WRENCH_RAW)
        self.serve(Trigger, topic.FT_ZERO, self._zero)
        if self._tool.needs_orientation:
            self.listen_to(topic.ROBOT_STATE, self._turn, max_age_s=_STATE_MAX_AGE_S)
        self._device = Device(self, "ft", config.build, heard=self._hear)
        self.every(1.0 / values["rate_hz"], self._publish)

    def begin(self) -> None:
        """Open the sensor anew if it is gone."""
        self._device.reopen()

    def _hear(self, said: Observation) -> None:
        self._tool.put(said.vectors[WRENCH], said.stamp_ns)

    def _turn(self, state: Any) -> None:
        vectors = vectors_from(state.vectors)
        if TCP_POSE not in vectors:
            raise ContractError(f"robot/state has no {TCP_POSE}, by which the tool is turned")
        self._turned_ns = self.monotonic.now_ns()
        self._tool.turn(vectors[TCP_POSE][3:])

    def _zero(self, request: Any, response: Any) -> Any:
        if trouble := self._turn_trouble():
            raise ContractError(f"not zeroed: {trouble}")
        bias = self._tool.zero()
        self.get_logger().info(f"zeroed; bias [N, N m] {bias.tolist()}")
        response.success, response.message = True, f"bias [N, N m] {bias.tolist()}"
        return response

    def _publish(self) -> None:
        said = self._device.latest()
        if said is None or said.stamp_ns == self._last_ns:
            return
        self._last_ns = said.stamp_ns
        taken_ns = self._device.ros_ns(said)
        self._send(self._raw_out, said.vectors[WRENCH], taken_ns, self._frame_id)
        wrench, trouble = self._tool.wrench(), self._turn_trouble()
        if not self._tool.zeroed:
            trouble = trouble or "not zeroed: call ft/zero while nothing touches the tool"
        self.diagnostics.set("wrench", Level.ERROR if trouble else Level.OK, trouble or "true")
        if wrench is not None and not trouble:
            self._send(self._out, wrench, taken_ns, TCP_FRAME)

    def _turn_trouble(self) -> str:
        """Why gravity cannot be taken off; empty if it can."""
        if not self._tool.needs_orientation:
            return ""
        if self._turned_ns is None:
            return "gravity cannot be taken off: nothing heard on robot/state"
        age_s = (self.monotonic.now_ns() - self._turned_ns) * 1e-9
        if age_s > _STATE_MAX_AGE_S:
            return f"gravity cannot be taken off: robot/state is silent for {age_s:.2f} s"
        return ""

    def _send(self, out: Any, wrench: Vector, taken_ns: int, frame_id: str) -> None:
        message = WrenchStamped()
        stamp_from_ns(taken_ns, message.header.stamp)
        message.header.frame_id = frame_id
        write_wrench(message.wrench, wrench)
        out.publish(message)


if __name__ == "__main__":
    raise SystemExit(main(lambda context: ForceTorqueNode(context=context)))
