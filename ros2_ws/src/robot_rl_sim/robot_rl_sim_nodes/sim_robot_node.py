"""A simulated robot in its cell, behind the topics and services of a real one.

Physics runs in real time in a thread of its own, messages go out from a second, pictures from a
third; none of them waits for the others, and the arm's watchdog is the arm's. What can be made to
fail, while it runs: `sim_fault`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.task import Future
from robot_rl_msgs.srv import CaptureImage
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from robot_rl.core.errors import HardwareError, RobotRlError
from robot_rl_nodes.conversion import ImageWriter
from robot_rl_nodes.diagnostic import Level
from robot_rl_nodes.managed_node import ManagedNode
from robot_rl_nodes.process import main
from robot_rl_nodes.topic import (
    GRIPPER_COMMAND,
    ROBOT_RECOVER,
    ROBOT_STOP,
    SIM_CAPTURE,
    TWIST_COMMAND,
)
from robot_rl_sim.driver import SimDriver
from robot_rl_sim.world import SimWorld
from robot_rl_sim_nodes.sim_cell import PARAMETERS, SimCell
from robot_rl_sim_nodes.sim_fault_parameter import FaultParameters
from robot_rl_sim_nodes.sim_intruder import Intruder

_WATCH_S = 0.02
_ASKED = "robot/stop was called"


class SimRobotNode(ManagedNode):
    """Robot, perception, cameras and judge of one simulated cell."""

    PARAMETERS = PARAMETERS

    def __init__(self, **of: Any) -> None:
        super().__init__("sim_robot", **of)
        self._intruder = Intruder(self)
        self._faults = FaultParameters(self)

    def setup(self, values: Mapping[str, Any]) -> None:
        """Build the cell and let its time pass.

        Raises:
            RobotRlError: if driver, task or cameras are wrong, or there is no OpenGL.
        """
        self._running = cell = SimCell(values, self)
        self.when_unmade(self._intruder.go)
        self._faults.check, self._faults.take = cell.check, cell.fail
        self.when_unmade(self._faults.end)
        self._faults.hand_on()
        self.listen_to(TWIST_COMMAND, cell.obey)
        self.listen_to(GRIPPER_COMMAND, cell.grip)
        self.serve(Trigger, ROBOT_RECOVER, self._recover)
        self.serve(Trigger, ROBOT_STOP, self._stop)
        # In a group of its own: commands are heard while the picture is drawn.
        group = MutuallyExclusiveCallbackGroup()
        capturing = self.create_service(
            CaptureImage, SIM_CAPTURE, self._capture, callback_group=group
        )
        self.when_unmade(lambda: self.destroy_service(capturing))
        self.every(_WATCH_S, self._watch)

    def rest(self) -> None:
        """Give up a reset; the arm comes to rest by its own watchdog."""
        self._running.reset.abandon()

    def _recover(self, request: Any, response: Any) -> Any:
        fault = self._ask(lambda driver: driver.clear("robot/recover"))
        response.success = not fault
        response.message = f"it still moves: {fault}" if fault else "it obeys again"
        return response

    def _stop(self, request: Any, response: Any) -> Any:
        response.success, response.message = True, self._ask(lambda driver: driver.stop(_ASKED))
        return response

    def _ask(self, work: Callable[[SimDriver], None]) -> str:
        """Do something with the arm; returns why it obeys nobody then, empty if it obeys."""

        def done(world: SimWorld) -> str:
            work(world.driver)
            return world.driver.fault

        return self._running.live.ask(done)

    async def _capture(self, request: Any, response: Any) -> Any:
        try:
            if not self.active:
                raise HardwareError(f"{self.get_name()} is not active")
            waiting = Future()
            width, height = int(request.width), int(request.height)
            self._running.eye.capture(width, height, waiting.set_result)
            drawn: Any = await waiting
            picture = drawn.result()
            response.image = ImageWriter(Image(), height, width).write(picture)
            response.image.header.stamp = self.get_clock().now().to_msg()
            response.success = True
        except RobotRlError as error:
            response.success, response.message = False, str(error)
        return response

    def _watch(self) -> None:
        cell = self._running
        if cell.error is not None:
            raise HardwareError(f"the simulation has ended: {cell.error}")
        cell.reset.poll()
        level = Level.ERROR if cell.complaint else Level.OK
        self.diagnostics.set("commands", level, cell.complaint or "obeyed")
        still_s = cell.live.stood_still_s
        self.diagnostics.set("time", Level.OK, f"has stood still for {still_s:.2f} s altogether")
        self._intruder.poll(wanted=bool(self.get_parameter("fault.second_publisher").value))


if __name__ == "__main__":
    raise SystemExit(main(lambda context: SimRobotNode(context=context)))
